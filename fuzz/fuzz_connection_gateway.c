/*
 * A connection of a gateway through the whole engine: world.h. The first byte chooses the protocol:
 * uwsgi, whose answers are those of HTTP, or FastCGI, whose answers are whole records of requests
 * that have begun, or, before any has, a refusal in HTTP.
 */
#include "world.h"

#include "proto/fastcgi.h"
#include "serve/conn/http1.h"

#include <string.h>

#define SETTING_UWSGI 32

enum { STDOUT = 6, END_REQUEST = 3, VALUES = 10, UNKNOWN = 11 };

/* The bytes of the record at the front; 0: it is cut off. */
static size_t record_size(const char *data, size_t size)
{
    const uint8_t *header = (const uint8_t *)data;
    if (size < FASTCGI_HEADER_SIZE)
        return 0;
    require(header[0] == 1);
    require(header[1] == STDOUT || header[1] == END_REQUEST || header[1] == VALUES ||
            header[1] == UNKNOWN);
    size_t whole = FASTCGI_HEADER_SIZE + ((size_t)header[4] << 8 | header[5]) + header[6];
    return whole <= size ? whole : 0;
}

static void check_records(void)
{
    for (size_t at = 0; at < world.output_size;) {
        const char *data = world.output + at;
        size_t left = world.output_size - at;
        if (left >= 5 && memcmp(data, "HTTP/", 5) == 0)
            return;
        size_t size = record_size(data, left);
        require(size > 0 || world.may_be_cut);
        if (size == 0)
            return;
        at += size;
    }
}

static const struct wire uwsgi = {
    .send = plain_send,
    .recv = plain_recv,
    .end = plain_end,
    .protocol = &uwsgi_protocol,
};

static const struct wire fastcgi = {
    .send = plain_send,
    .recv = plain_recv,
    .end = plain_end,
    .protocol = &fastcgi_protocol,
    .check = check_records,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    world_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size >= 2)
        world_run(input[0] & SETTING_UWSGI ? &uwsgi : &fastcgi, NULL, input, size);
    return 0;
}
