#include "proto/uwsgi.h"

#include <stdio.h>

#define MODIFIER_REQUEST 0
#define LENGTH_SIZE 2

/* What other protocols begin with, read as a modifier and the size behind it. */
#define TLS_HANDSHAKE 22 /* RFC 8446 §5.1, and the major version 3 behind it */

void uwsgi_init(struct uwsgi *uwsgi, struct cgi *cgi)
{
    cgi_reset(cgi);
    *uwsgi = (struct uwsgi){.cgi = cgi};
}

static enum uwsgi_result refuse(struct uwsgi *uwsgi, enum uwsgi_error error)
{
    uwsgi->error = error;
    return UWSGI_ERROR;
}

static size_t little16(const char *p)
{
    return (size_t)((uint8_t)p[0] | (uint8_t)p[1] << 8);
}

static bool is_letter(char c)
{
    return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

/* A packet that is none: all methods of HTTP begin with three letters. */
static enum uwsgi_result check_modifier(struct uwsgi *uwsgi, const char *data)
{
    uwsgi->modifier1 = (uint8_t)data[0];
    uwsgi->modifier2 = (uint8_t)data[3];
    if (uwsgi->modifier1 == MODIFIER_REQUEST)
        return UWSGI_OK;
    if (is_letter(data[0]) && is_letter(data[1]) && is_letter(data[2]))
        return refuse(uwsgi, UWSGI_IS_HTTP);
    if (uwsgi->modifier1 == TLS_HANDSHAKE && data[1] == 3)
        return refuse(uwsgi, UWSGI_IS_TLS);
    return refuse(uwsgi, UWSGI_BAD_MODIFIER);
}

/* Takes a length and that many bytes from *at on. False: they go beyond the end. */
static bool take(const char *data, size_t size, uint32_t *at, uint32_t *from, uint32_t *len)
{
    if (size - *at < LENGTH_SIZE)
        return false;
    size_t length = little16(data + *at);
    *at += LENGTH_SIZE;
    if (size - *at < length)
        return false;
    *from = *at;
    *len = (uint32_t)length;
    *at += *len;
    return true;
}

static enum uwsgi_result read_variables(struct uwsgi *uwsgi, struct head *head, char *data,
                                        const struct http1_limits *limits)
{
    uint32_t at = UWSGI_HEADER_SIZE;
    struct cgi_variable variable = {0};
    while (at < head->size) {
        if (!take(data, head->size, &at, &variable.name, &variable.name_len) ||
            !take(data, head->size, &at, &variable.value, &variable.value_len))
            return refuse(uwsgi, UWSGI_TRUNCATED);
        if (!cgi_add(uwsgi->cgi, head, data, &variable, limits))
            return refuse(uwsgi, UWSGI_BAD_VARIABLE);
    }
    if (!cgi_finish(uwsgi->cgi, head, data, limits))
        return refuse(uwsgi, UWSGI_BAD_VARIABLE);
    return UWSGI_OK;
}

enum uwsgi_result uwsgi_parse(struct uwsgi *uwsgi, struct head *head, char *data, size_t size,
                              const struct http1_limits *limits)
{
    if (size < UWSGI_HEADER_SIZE)
        return UWSGI_PARTIAL;
    if (check_modifier(uwsgi, data) != UWSGI_OK)
        return UWSGI_ERROR;
    head->size = (uint32_t)(UWSGI_HEADER_SIZE + little16(data + 1));
    return size < head->size ? UWSGI_PARTIAL : read_variables(uwsgi, head, data, limits);
}

int uwsgi_error_status(const struct uwsgi *uwsgi)
{
    if (uwsgi->error == UWSGI_BAD_VARIABLE)
        return cgi_error_status(uwsgi->cgi->error);
    return uwsgi->error == UWSGI_BAD_MODIFIER ? 501 : 400;
}

static const char *text_of(const struct uwsgi *uwsgi)
{
    switch (uwsgi->error) {
    case UWSGI_IS_HTTP:
        return "Invalid uWSGI header: an HTTP request; protocol is uwsgi here";
    case UWSGI_IS_TLS:
        return "Invalid uWSGI header: a TLS handshake; protocol is uwsgi here, without TLS";
    case UWSGI_TRUNCATED:
        return "Invalid uWSGI header: a variable goes beyond the packet";
    case UWSGI_BAD_VARIABLE:
        return cgi_error_text(uwsgi->cgi->error);
    default:
        return "";
    }
}

void uwsgi_error_text(const struct uwsgi *uwsgi, char *out, size_t size)
{
    if (uwsgi->error == UWSGI_BAD_MODIFIER)
        snprintf(out, size, "Unsupported uWSGI modifier1: %u", uwsgi->modifier1);
    else
        snprintf(out, size, "%s", text_of(uwsgi));
}
