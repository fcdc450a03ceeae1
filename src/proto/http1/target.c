#include "proto/http1/private.h"
#include "proto/octet.h"

#include <arpa/inet.h>
#include <sys/socket.h>

/*
 * The parts of a request target as gunicorn finds them with Python's urlsplit(): "//path" is a
 * path, everything else may have a scheme, and an authority where "//" follows. The rest of a
 * CONNECT's "host:port" is the port, "host" having the form of a scheme; nobody should rely on it.
 */

#define ADDRESS_MAX INET6_ADDRSTRLEN

static size_t span_to(struct str s, const char *stops)
{
    size_t n = 0;
    while (n < s.n && strchr(stops, s.p[n]) == NULL)
        n++;
    return n;
}

static struct str after(struct str s, size_t n)
{
    return (struct str){s.p + n, s.n - n};
}

static struct str until(struct str s, size_t n)
{
    return (struct str){s.p, n};
}

/* The length of "scheme:", or 0. */
static size_t scheme_size(struct str target)
{
    size_t n = 0;
    while (n < target.n && octet_is(target.p[n], OCTET_SCHEME))
        n++;
    bool letter = n > 0 && ascii_lower(target.p[0]) >= 'a' && ascii_lower(target.p[0]) <= 'z';
    return letter && n < target.n && target.p[n] == ':' ? n + 1 : 0;
}

static bool is_hex(char c)
{
    return octet_is(c, OCTET_DIGIT) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

/* RFC 3986 §3.2.2: "v" 1*HEXDIG "." and something. */
static bool future_address_valid(struct str host)
{
    size_t n = 1;
    while (n < host.n && is_hex(host.p[n]))
        n++;
    return n > 1 && n + 1 < host.n && host.p[n] == '.';
}

/* Python takes a zone ("%" and a name without another "%") as part of an address. */
static bool ipv6_valid(struct str host)
{
    char text[ADDRESS_MAX + 1];
    unsigned char address[16];
    size_t n = span_to(host, "%");
    if (n > ADDRESS_MAX)
        return false;
    if (n < host.n) {
        struct str zone = after(host, n + 1);
        if (zone.n == 0 || span_to(zone, "%") < zone.n)
            return false;
    }
    memcpy(text, host.p, n);
    text[n] = '\0';
    return inet_pton(AF_INET6, text, address) == 1;
}

/* Brackets in an authority: one pair, at the beginning of the host, a port at most behind it. */
static bool authority_valid(struct str authority)
{
    size_t open = span_to(authority, "[");
    size_t close = span_to(authority, "]");
    if (open == authority.n && close == authority.n)
        return true;
    if (open == authority.n || close == authority.n || close < open)
        return false;
    struct str host = until(after(authority, open + 1), close - open - 1);
    struct str rest = after(authority, close + 1);
    if (open > 0 && authority.p[open - 1] != '@')
        return false;
    if ((rest.n > 0 && rest.p[0] != ':') || span_to(rest, "[]") < rest.n)
        return false;
    return host.n > 0 && host.p[0] == 'v' ? future_address_valid(host) : ipv6_valid(host);
}

static bool starts_with_slashes(struct str s)
{
    return s.n >= 2 && s.p[0] == '/' && s.p[1] == '/';
}

bool http1_split_target(struct head *head, const char *data)
{
    struct str rest = head_slice(data, head->target, head->target_len);
    if (!starts_with_slashes(rest)) {
        rest = after(rest, scheme_size(rest));
        if (starts_with_slashes(rest)) {
            struct str authority = until(after(rest, 2), span_to(after(rest, 2), "/?#"));
            if (!authority_valid(authority))
                return false;
            rest = after(rest, 2 + authority.n);
        }
    }
    rest = until(rest, span_to(rest, "#"));
    size_t mark = span_to(rest, "?");
    struct str query = after(rest, mark < rest.n ? mark + 1 : mark);
    head->path = (uint32_t)(rest.p - data);
    head->path_len = (uint32_t)mark;
    head->query = (uint32_t)(query.p - data);
    head->query_len = (uint32_t)query.n;
    return true;
}
