/*
 * The upgrade from HTTP/1.1: settings that are taken are those that a session of HTTP/2 takes
 * without an error, and the fields of the upgrade are hidden from the application. The first byte
 * chooses the limits of the head.
 */
#include "proto/http2/upgrade.h"

#include "proto/http1/parse.h"
#include "proto/http2/session.h"
#include "variables.h"

#include <stdlib.h>

enum { OUT_SIZE = 32 * 1024, NO_RFC7540_PRIORITIES = 9 };

static void *refuse(void *context, int32_t id, struct http2_head *in)
{
    (void)context, (void)id, (void)in;
    return NULL;
}

static void closed(void *stream, uint32_t code)
{
    (void)stream, (void)code;
}

/* nghttp2 refuses to be told both, which no client says. */
static bool has_priorities_twice(const struct http2_upgrade *upgrade)
{
    int count = 0;
    for (size_t at = 0; at < upgrade->size; at += HTTP2_SETTING_SIZE)
        count += upgrade->settings[at] == 0 && upgrade->settings[at + 1] == NO_RFC7540_PRIORITIES;
    return count > 1;
}

static void begin_session(const struct http2_upgrade *upgrade)
{
    static const struct http1_limits limits;
    static const struct http2_events events = {.begin = refuse, .closed = closed};
    const struct http2_settings settings = {
        .streams = 100, .window = 65535, .frame_size = 16384, .limits = &limits};
    char out[OUT_SIZE];
    int stream;
    struct http2_session *session = http2_new(&settings, &events, NULL);
    require(session && http2_upgrade(session, upgrade->settings, upgrade->size, false, &stream));
    while (http2_send(session, out, sizeof(out)) > 0)
        ;
    require(!http2_violation(session) || has_priorities_twice(upgrade));
    http2_free(session);
}

static void check_hidden(struct head *head, const char *data)
{
    http2_upgrade_apply(head, data);
    require(head->major == 2 && head->minor == 0);
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        struct str name = head_slice(data, field->name, field->name_len);
        bool hides = str_ieq(name, STR("connection")) || str_ieq(name, STR("upgrade")) ||
                     str_ieq(name, STR("http2-settings"));
        require(!hides || field->id == FIELD_DROPPED);
    }
}

static void check(struct head *head, const char *data)
{
    struct http2_upgrade upgrade;
    enum http2_asked asked = http2_upgrade_read(head, data, &upgrade);
    require((asked == HTTP2_ASKED_WRONGLY) == (upgrade.problem != NULL));
    require(asked != HTTP2_ASKED || upgrade.size % HTTP2_SETTING_SIZE == 0);
    if (asked == HTTP2_ASKED) {
        begin_session(&upgrade);
        check_hidden(head, data);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct http1_parser parser = {0};
    struct head head;
    if (size < 2)
        return 0;
    struct http1_limits limits = limits_from(input[0]);
    char *data = malloc(size - 1);
    require(data != NULL);
    memcpy(data, input + 1, size - 1);
    head_init(&head);
    if (http1_parse(&parser, &head, data, size - 1, &limits) == HTTP1_OK)
        check(&head, data);
    head_free(&head);
    free(data);
    return 0;
}
