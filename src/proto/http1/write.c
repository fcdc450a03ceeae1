#include "proto/http1/write.h"

#include "proto/status.h"

#include <stdio.h>
#include <string.h>

#define PUT(p, literal) (memcpy(p, literal, sizeof(literal) - 1), (p) + sizeof(literal) - 1)

enum { VERSION_SIZE = sizeof("HTTP/1.1 ") - 1 };

static size_t connection_size(enum http1_connection connection)
{
    static const uint8_t sizes[] = {
        [HTTP1_CLOSE] = sizeof("Connection: close\r\n") - 1,
        [HTTP1_KEEP_ALIVE] = sizeof("Connection: keep-alive\r\n") - 1,
        [HTTP1_UPGRADE] = sizeof("Connection: upgrade\r\n") - 1,
    };
    return sizes[connection];
}

static size_t prefix_size(const struct http1_prefix *prefix)
{
    return VERSION_SIZE + prefix->status.n + 2 + prefix->own.n +
           (prefix->date ? sizeof("Date: \r\n") - 1 + CLOCK_DATE_SIZE : 0) +
           connection_size(prefix->connection) +
           (prefix->chunked ? sizeof("Transfer-Encoding: chunked\r\n") - 1 : 0);
}

char *http1_write_prefix_at(char *out, const struct http1_prefix *prefix)
{
    memmove(out + VERSION_SIZE, prefix->status.p, prefix->status.n);
    memcpy(out, "HTTP/1.1 ", VERSION_SIZE);
    out[5] = (char)('0' + prefix->major);
    out[7] = (char)('0' + prefix->minor);
    char *p = out + VERSION_SIZE + prefix->status.n;
    p = PUT(p, "\r\n");
    memcpy(p, prefix->own.p, prefix->own.n);
    p += prefix->own.n;
    if (prefix->date) {
        p = PUT(p, "Date: ");
        memcpy(p, prefix->date, CLOCK_DATE_SIZE);
        p = PUT(p + CLOCK_DATE_SIZE, "\r\n");
    }
    if (prefix->connection == HTTP1_UPGRADE)
        p = PUT(p, "Connection: upgrade\r\n");
    else if (prefix->connection == HTTP1_KEEP_ALIVE)
        p = PUT(p, "Connection: keep-alive\r\n");
    else
        p = PUT(p, "Connection: close\r\n");
    if (prefix->chunked)
        p = PUT(p, "Transfer-Encoding: chunked\r\n");
    return p;
}

char *http1_write_prefix(char *end, const struct http1_prefix *prefix)
{
    char *begin = end - prefix_size(prefix);
    http1_write_prefix_at(begin, prefix);
    return begin;
}

size_t http1_write_chunk_line(char out[HTTP1_CHUNK_LINE_MAX], uint64_t n)
{
    char digits[16];
    size_t count = 0, at = 0;
    do
        digits[count++] = "0123456789ABCDEF"[n & 15]; /* in capitals, as gunicorn */
    while (n >>= 4);
    while (count > 0)
        out[at++] = digits[--count];
    out[at++] = '\r';
    out[at++] = '\n';
    return at;
}

size_t http1_write_interim(char out[HTTP1_INTERIM_MAX], int status)
{
    return (size_t)snprintf(out, HTTP1_INTERIM_MAX, "HTTP/1.1 %d %s\r\n", status,
                            status_reason(status));
}
