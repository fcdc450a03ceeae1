#include "serve/request/refusal.h"

#include "proto/status.h"
#include "serve/request/response.h"

#include <stdio.h>
#include <string.h>

enum { PAGE_MAX = 4096, TEXT_MAX = 3072 };

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#x27;";
    default:
        return NULL;
    }
}

static void escape(const char *text, char *out, size_t size)
{
    size_t at = 0;
    for (; *text && at + 8 < size; text++) {
        const char *with = entity(*text);
        if (with) {
            size_t n = strlen(with);
            memcpy(out + at, with, n);
            at += n;
        } else {
            out[at++] = *text;
        }
    }
    out[at] = '\0';
}

void refusal_send(struct request *request, int status, const char *text)
{
    static const char form[] = "<html>\n  <head>\n    <title>%s</title>\n  </head>\n  <body>\n"
                               "    <h1><p>%s</p></h1>\n    %s\n  </body>\n</html>\n";
    char escaped[TEXT_MAX], page[PAGE_MAX], line[64], length[16];
    struct response *response = &request->response;
    const char *reason = status_reason(status);
    escape(text, escaped, sizeof(escaped));
    int page_size = snprintf(page, sizeof(page), form, reason, reason, escaped);
    int line_size = snprintf(line, sizeof(line), "%d %s", status, reason);
    int length_size = snprintf(length, sizeof(length), "%d", page_size);
    bool kept;
    request->must_close = true;
    response_start(request, line, (size_t)line_size); /* fields that were set have not left */
    response->bare = true;
    response_field(request, STR("Content-Type"), STR("text/html"));
    response_field(request, STR("Content-Length"), (struct str){length, (size_t)length_size});
    if (status == 503)
        response_field(request, STR("Retry-After"), STR("1"));
    response_write(request, page, (size_t)page_size, NULL, &kept, true);
    response->finished = true;
}
