#include "proto/proxy.h"

#include "proto/octet.h"
#include "proto/proxy_v2.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#define V1_PREFIX "PROXY "
#define V1_PREFIX_SIZE (sizeof(V1_PREFIX) - 1)
#define V1_FIELDS 4 /* behind the protocol: two addresses, two ports */
#define PORT_DIGITS 5

enum beginning {
    BEGINS_NOT,
    BEGINS_SO_FAR,
    BEGINS,
};

static enum beginning begins_with(const char *data, size_t size, const char *prefix, size_t length)
{
    if (memcmp(data, prefix, size < length ? size : length) != 0)
        return BEGINS_NOT;
    return size < length ? BEGINS_SO_FAR : BEGINS;
}

/* The first word of the rest, which ends at a space; moves the rest behind that space. */
static struct str next_word(struct str *rest)
{
    const char *space = memchr(rest->p, ' ', rest->n);
    struct str word = {rest->p, space != NULL ? (size_t)(space - rest->p) : rest->n};
    size_t used = word.n + (space != NULL);
    *rest = (struct str){rest->p + used, rest->n - used};
    return word;
}

static bool read_address(struct proxy *proxy, struct str word, struct proxy_end *end)
{
    char text[INET6_ADDRSTRLEN];
    if (word.n >= sizeof text)
        return false;
    for (size_t i = 0; i < word.n; i++)
        text[i] = word.p[i] != '\0' ? word.p[i] : ' ';
    text[word.n] = '\0';
    return inet_pton(proxy->family == PROXY_INET ? AF_INET : AF_INET6, text, end->address) == 1;
}

/* Digits without zeros before them. */
static bool read_port(struct str word, uint16_t *port)
{
    unsigned value = 0;
    if (word.n == 0 || word.n > PORT_DIGITS || (word.p[0] == '0' && word.n > 1))
        return false;
    for (size_t i = 0; i < word.n; i++) {
        if (!octet_is(word.p[i], OCTET_DIGIT))
            return false;
        value = value * 10 + (unsigned)(word.p[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

static enum proxy_result read_ends(struct proxy *proxy, struct str rest)
{
    struct str words[V1_FIELDS];
    for (unsigned i = 0; i < V1_FIELDS; i++) {
        words[i] = next_word(&rest);
        if (words[i].n == 0)
            return proxy_refuse(proxy, PROXY_BAD_FIELDS);
    }
    const char *end = words[V1_FIELDS - 1].p + words[V1_FIELDS - 1].n;
    if (*end != '\r')
        return proxy_refuse(proxy, PROXY_BAD_FIELDS);
    if (!read_address(proxy, words[0], &proxy->client) ||
        !read_address(proxy, words[1], &proxy->server))
        return proxy_refuse(proxy, PROXY_BAD_ADDRESS);
    if (!read_port(words[2], &proxy->client.port) || !read_port(words[3], &proxy->server.port))
        return proxy_refuse(proxy, PROXY_BAD_PORT);
    return PROXY_OK;
}

/* A line without its prefix and CRLF, behind which it stands. */
static enum proxy_result read_line(struct proxy *proxy, struct str line)
{
    struct str protocol = next_word(&line);
    if (str_eq(protocol, STR("UNKNOWN"))) {
        proxy->protocol = "UNKNOWN";
        return PROXY_OK;
    }
    if (str_eq(protocol, STR("TCP4"))) {
        proxy->protocol = "TCP4";
        proxy->family = PROXY_INET;
    } else if (str_eq(protocol, STR("TCP6"))) {
        proxy->protocol = "TCP6";
        proxy->family = PROXY_INET6;
    } else {
        return proxy_refuse(proxy, PROXY_BAD_PROTOCOL);
    }
    return read_ends(proxy, line);
}

/* The first CR or LF, or the end of what can be part of a line. */
static const char *line_end(const char *p, const char *end)
{
    while (p < end && *p != '\r' && *p != '\n')
        p++;
    return p;
}

static enum proxy_result v1_parse(struct proxy *proxy, const char *data, size_t size)
{
    const char *end = data + (size < PROXY_V1_MAX ? size : PROXY_V1_MAX);
    const char *line = data + V1_PREFIX_SIZE;
    const char *stop = line_end(line, end);
    proxy->version = PROXY_V1;
    if (stop < end && *stop == '\n')
        return proxy_refuse(proxy, PROXY_BAD_LINE_END);
    if (end - stop < 2)
        return size < PROXY_V1_MAX ? PROXY_PARTIAL : proxy_refuse(proxy, PROXY_LINE_TOO_LONG);
    if (stop[1] != '\n')
        return proxy_refuse(proxy, PROXY_BAD_LINE_END);
    proxy->size = (size_t)(stop - data) + 2;
    return read_line(proxy, (struct str){line, (size_t)(stop - line)});
}

enum proxy_result proxy_parse(struct proxy *proxy, const char *data, size_t size, unsigned versions)
{
    enum beginning v1 = BEGINS_NOT;
    enum beginning v2 = BEGINS_NOT;
    *proxy = (struct proxy){.protocol = "UNKNOWN"};
    if ((versions & PROXY_V1) != 0)
        v1 = begins_with(data, size, V1_PREFIX, V1_PREFIX_SIZE);
    if ((versions & PROXY_V2) != 0)
        v2 = begins_with(data, size, PROXY_V2_SIGNATURE, PROXY_V2_SIGNATURE_SIZE);
    if (v1 == BEGINS)
        return v1_parse(proxy, data, size);
    if (v2 == BEGINS)
        return proxy_v2_parse(proxy, data, size);
    return v1 == BEGINS_SO_FAR || v2 == BEGINS_SO_FAR ? PROXY_PARTIAL : PROXY_ABSENT;
}

#define LINE "Invalid PROXY line: "
#define HEADER "Invalid PROXY header: "

const char *proxy_error_text(const struct proxy *proxy)
{
    static const char *const texts[PROXY_ERROR_COUNT] = {
        [PROXY_NO_ERROR] = "",
        [PROXY_LINE_TOO_LONG] = LINE "no CRLF within 107 bytes",
        [PROXY_BAD_LINE_END] = LINE "the line does not end with CRLF",
        [PROXY_BAD_PROTOCOL] = LINE "the protocol is none of TCP4, TCP6 and UNKNOWN",
        [PROXY_BAD_FIELDS] = LINE "two addresses and two ports, one space apart, are expected",
        [PROXY_BAD_ADDRESS] = LINE "an address does not have the form of its family",
        [PROXY_BAD_PORT] = LINE "a port is no decimal number from 0 to 65535",
        [PROXY_BAD_VERSION] = HEADER "the version is not 2",
        [PROXY_BAD_COMMAND] = HEADER "the command is neither LOCAL nor PROXY",
        [PROXY_BAD_FAMILY] = HEADER "unknown address family",
        [PROXY_BAD_TRANSPORT] = HEADER "unknown transport protocol",
        [PROXY_TOO_LONG] = HEADER "longer than 16384 bytes",
        [PROXY_NO_ADDRESS] = HEADER "shorter than the addresses of its family",
        [PROXY_BAD_PATH] = HEADER "control character in the path of a Unix socket",
        [PROXY_BAD_TLV] = HEADER "malformed TLV",
        [PROXY_REPEATED_TLV] = HEADER "a TLV that must be unique occurs twice",
        [PROXY_BAD_CRC] = HEADER "wrong CRC32c",
    };
    return texts[proxy->error];
}
