#include "proto/http2/upgrade.h"

#include "proto/head_list.h"

#include <string.h>

#define SETTINGS_FIELD STR("http2-settings")

enum { DIGIT_BITS = 6, NO_DIGIT = 64 };

/* Settings whose values are limited (RFC 9113 §6.5.2, RFC 8441 §3, RFC 9218 §2.1). */
enum {
    ENABLE_PUSH = 2,
    INITIAL_WINDOW_SIZE = 4,
    MAX_FRAME_SIZE = 5,
    ENABLE_CONNECT_PROTOCOL = 8,
    NO_RFC7540_PRIORITIES = 9,
};
enum { LEAST_FRAME = 1 << 14, MOST_FRAME = (1 << 24) - 1 };

static struct str value_of(const char *data, const struct head_field *field)
{
    return head_slice(data, field->value, field->value_len);
}

static bool is_settings_field(const char *data, const struct head_field *field)
{
    return str_ieq(head_slice(data, field->name, field->name_len), SETTINGS_FIELD);
}

/* How many of these fields there are; *value: of the last. */
static uint32_t find_settings(const struct head *head, const char *data, struct str *value)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (!is_settings_field(data, &head->fields[i]))
            continue;
        *value = value_of(data, &head->fields[i]);
        count++;
    }
    return count;
}

/* Of base64url (RFC 4648 §5). */
static unsigned digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (unsigned)(at - digits) : NO_DIGIT;
}

/* Without padding, which clients may leave there. */
static bool decode(struct str text, struct http2_upgrade *upgrade)
{
    uint32_t bits = 0, count = 0;
    for (int i = 0; i < 2 && text.n > 0 && text.p[text.n - 1] == '='; i++)
        text.n--;
    for (size_t i = 0; i < text.n; i++) {
        unsigned digit = digit_of(text.p[i]);
        if (digit == NO_DIGIT)
            return false;
        bits = bits << DIGIT_BITS | digit;
        count += DIGIT_BITS;
        if (count < 8)
            continue;
        count -= 8;
        if (upgrade->size == sizeof(upgrade->settings))
            return false;
        upgrade->settings[upgrade->size++] = (uint8_t)(bits >> count);
    }
    return count < DIGIT_BITS && upgrade->size % HTTP2_SETTING_SIZE == 0;
}

static bool is_valid(const uint8_t *setting)
{
    uint32_t name = (uint32_t)setting[0] << 8 | setting[1];
    uint32_t value = (uint32_t)setting[2] << 24 | (uint32_t)setting[3] << 16 |
                     (uint32_t)setting[4] << 8 | setting[5];
    switch (name) {
    case ENABLE_PUSH:
    case ENABLE_CONNECT_PROTOCOL:
    case NO_RFC7540_PRIORITIES:
        return value <= 1;
    case INITIAL_WINDOW_SIZE:
        return value <= INT32_MAX;
    case MAX_FRAME_SIZE:
        return value >= LEAST_FRAME && value <= MOST_FRAME;
    default:
        return true;
    }
}

static bool are_valid(const struct http2_upgrade *upgrade)
{
    for (size_t at = 0; at < upgrade->size; at += HTTP2_SETTING_SIZE)
        if (!is_valid(upgrade->settings + at))
            return false;
    return true;
}

static const char *problem_of(const struct head *head, const char *data,
                              struct http2_upgrade *upgrade)
{
    struct str value = STR("");
    if (find_settings(head, data, &value) != 1)
        return "Invalid upgrade to h2c: HTTP2-Settings has to be there once";
    if (!head_names(head, data, FIELD_CONNECTION, SETTINGS_FIELD))
        return "Invalid upgrade to h2c: Connection does not name HTTP2-Settings";
    if (!decode(value, upgrade) || !are_valid(upgrade))
        return "Invalid upgrade to h2c: the value of HTTP2-Settings";
    return NULL;
}

/* An Upgrade that Connection does not name, or one of HTTP/1.0, is ignored (RFC 9110 §7.8). */
enum http2_asked http2_upgrade_read(const struct head *head, const char *data,
                                    struct http2_upgrade *upgrade)
{
    upgrade->size = 0;
    upgrade->problem = NULL;
    if (head->minor == 0 || !head_names(head, data, FIELD_UPGRADE, STR("h2c")) ||
        !head_names(head, data, FIELD_CONNECTION, STR("upgrade")))
        return HTTP2_NOT_ASKED;
    upgrade->problem = problem_of(head, data, upgrade);
    return upgrade->problem ? HTTP2_ASKED_WRONGLY : HTTP2_ASKED;
}

void http2_upgrade_apply(struct head *head, const char *data)
{
    head->major = 2;
    head->minor = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        struct head_field *field = &head->fields[i];
        if (field->id == FIELD_CONNECTION || field->id == FIELD_UPGRADE ||
            is_settings_field(data, field))
            field->id = FIELD_DROPPED;
    }
}
