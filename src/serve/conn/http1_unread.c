#include "net/transport.h"
#include "serve/conn/http1_private.h"
#include "serve/engine/engine.h"
#include "serve/engine/limits.h"

#include <errno.h>

/* A body in chunks may be of any length. A client that waits for "100 Continue" may send none. */
bool http1_rest_is_small(struct request *request)
{
    const struct body *body = &request->body;
    if (!request->inflow.used || body->framing != HEAD_LENGTH || body->wanted > READ_AHEAD ||
        body->continue_due)
        return false;
    enum inflow_end end = inflow_state(request);
    return end == INFLOW_GOES_ON || end == INFLOW_WHOLE;
}

enum http1_rest http1_waste_rest(struct engine *engine, struct conn *conn)
{
    struct body *body = &conn->request->body;
    char waste[WASTE_SIZE];
    assert_leader(engine);
    while (body->stored < body->wanted) {
        uint64_t left = body->wanted - body->stored;
        size_t most = left < sizeof(waste) ? (size_t)left : sizeof(waste);
        ssize_t n = transport_recv(conn->io.fd, conn->tls, waste, most);
        if (n < 0 && errno == EAGAIN)
            return REST_COMES;
        if (n <= 0)
            return REST_CUT;
        metrics_add(&engine->metrics->bytes_in, (uint64_t)n);
        body->stored += (uint64_t)n;
    }
    body->complete = true;
    return REST_WHOLE;
}

bool http1_may_have_unread(const struct conn *conn)
{
    struct request *request = conn->request;
    const struct http1_parser *parser = &http1_state(request)->parser;
    return !request->body.complete || request->input_at < request->input_size || conn->readable ||
           (parser->keep_alive && socket_has_data(conn->io.fd)) ||
           (conn->tls && tls_has_unread(conn->tls));
}

void http1_waste_unread(const struct conn *conn)
{
    char waste[WASTE_SIZE];
    (void)!socket_recv(conn->io.fd, waste, sizeof(waste));
}
