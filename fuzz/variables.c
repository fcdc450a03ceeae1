#include "variables.h"

#include <stdlib.h>

void require(bool condition)
{
    if (!condition)
        abort();
}

struct http1_limits limits_from(uint8_t bits)
{
    struct http1_limits limits = {0};
    if ((bits & 1) != 0)
        limits.fields = 2;
    if ((bits & 2) != 0)
        limits.field_size = 24;
    if ((bits & 4) != 0)
        limits.request_line = 8;
    return limits;
}

static void check_text(const char *data, size_t size, uint32_t at, uint32_t len, bool target)
{
    require(at <= size && len <= size - at);
    for (uint32_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)data[at + i];
        require((c >= 0x20 || (c == '\t' && !target)) && c != 0x7f);
    }
}

void check_request(const struct cgi *cgi, const struct head *head, const char *data, size_t size)
{
    bool encoded = cgi->known[CGI_REQUEST_URI] != 0 &&
                   cgi->variables[cgi->known[CGI_REQUEST_URI] - 1].value_len > 0;
    require(cgi->error == CGI_NO_ERROR && cgi->count <= CGI_VARIABLES_MAX);
    require(head->method_len > 0);
    check_text(data, size, head->method, head->method_len, true);
    if (encoded)
        check_text(data, size, head->target, head->target_len, true);
    require(head->path >= head->target && head->path_len <= head->target_len);
    check_text(data, size, head->query, head->query_len, false);
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        require(field->name_len > 0 && memchr(data + field->name, '_', field->name_len) == NULL);
        check_text(data, size, field->name, field->name_len, true);
        check_text(data, size, field->value, field->value_len, false);
    }
    for (uint32_t i = 0; i < cgi->count; i++)
        require(cgi->variables[i].value + cgi->variables[i].value_len <= size);
}

void check_same(const struct cgi *cgi, const struct head *head, const struct cgi *again,
                const struct head *same)
{
    require(cgi->count == again->count && head->field_count == same->field_count);
    require(head->size == same->size && head->content_length == same->content_length);
    require(head->framing == same->framing && head->seen == same->seen);
    for (uint32_t i = 0; i < head->field_count; i++)
        require(memcmp(&head->fields[i], &same->fields[i], sizeof head->fields[i]) == 0);
    require(memcmp(cgi->known, again->known, sizeof cgi->known) == 0);
}
