#include "serve/request/refusal.h"

#include "serve/access/refused.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"
#include "serve/request/send.h"

#include <stdio.h>
#include <string.h>

enum { PAGE_MAX = 4096, TEXT_MAX = 3072 };

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {400, "Bad Request"},
    {403, "Forbidden"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {417, "Expectation Failed"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

const char *status_reason(int status)
{
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

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

/* A request line that is not whole has no method yet. */
static bool asks_for_head(const struct request *request)
{
    struct str start = {request->input, request->input_size < 5 ? request->input_size : 5};
    if (request->head.method_len > 0)
        return str_eq(request_method(request), STR("HEAD"));
    return str_eq(start, STR("HEAD "));
}

void refusal_send(struct request *request, int status, const char *text)
{
    static const char form[] = "<html>\n  <head>\n    <title>%s</title>\n  </head>\n  <body>\n"
                               "    <h1><p>%s</p></h1>\n    %s\n  </body>\n</html>\n";
    char escaped[TEXT_MAX], page[PAGE_MAX], head[256];
    const char *more = status == 503 ? "Retry-After: 1\r\n" : "";
    const char *reason = status_reason(status);
    escape(text, escaped, sizeof(escaped));
    int page_size = snprintf(page, sizeof(page), form, reason, reason, escaped);
    int head_size = snprintf(head, sizeof(head),
                             "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: text/html\r\n"
                             "Content-Length: %d\r\n%s\r\n",
                             status, reason, page_size, more);
    struct iovec parts[] = {{head, (size_t)head_size}, {page, (size_t)page_size}};
    bool kept, page_goes = !asks_for_head(request);
    send_parts(request, parts, page_goes ? 2 : 1, -1, NULL, &kept);
    request->response.status = (uint16_t)status;
    request->response.head_size = request->response.gap; /* fields that were set have not left */
    request->response.sent_head = true;
    request->response.finished = true;
    request->response.body_sent = page_goes ? (uint64_t)page_size : 0;
    request->conn->close_after = true;
}

/* Unread bytes would make close() a reset, in which the answer is lost. */
static void waste_unread(const struct conn *conn)
{
    char waste[WASTE_SIZE];
    (void)!socket_recv(conn->io.fd, waste, sizeof(waste));
}

void refusal_send_last(struct request *request, int status, const char *text)
{
    metrics_add(&request->engine->metrics->rejected[metrics_class((unsigned)status)], 1);
    refusal_send(request, status, text);
    refused_log(request->engine, request);
    waste_unread(request->conn);
}
