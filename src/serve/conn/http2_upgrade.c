#include "serve/conn/http2_upgrade.h"

#include "base/mem.h"
#include "serve/conn/http1_private.h"
#include "serve/conn/http2.h"
#include "serve/conn/http2_private.h"

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"

/* Bytes that came behind the request. */
struct rest {
    char *data; /* owned */
    size_t size;
};

enum http2_asked http2_upgrade_asked(const struct conn *conn, const char **problem)
{
    struct http2_upgrade upgrade;
    const struct request *request = conn->request;
    enum http2_asked asked = http2_upgrade_read(&request->head, request->input, &upgrade);
    *problem = upgrade.problem;
    return asked;
}

/* False: no memory. */
static bool take_rest(struct request *request, struct rest *rest)
{
    *rest = (struct rest){.size = request->input_size - request->input_at};
    if (rest->size == 0)
        return true;
    rest->data = mem_alloc(rest->size);
    if (!rest->data)
        return false;
    memcpy(rest->data, request->input + request->input_at, rest->size);
    request->input_size = request->input_at;
    return true;
}

/* The connection has a request of HTTP/1 or a session, in one place. False: no memory, and it has
 * its request. */
static bool begin_session(struct engine *engine, struct conn *conn)
{
    struct http2_upgrade upgrade;
    struct request *request = conn->request;
    http2_upgrade_read(&request->head, request->input, &upgrade);
    conn->session = NULL;
    if (!http2_open(engine, conn)) {
        conn->request = request;
        return false;
    }
    if (http2_take_request(conn->session, request, upgrade.settings, upgrade.size))
        return true;
    http2_protocol.release(engine, conn);
    conn->request = request;
    return false;
}

/* The answer to the request follows the first frame, and whatever follows the request is HTTP/2. */
static void begin(struct engine *engine, struct conn *conn, struct request *request,
                  const struct rest *rest)
{
    struct http2_conn *h2 = conn->session;
    conn->protocol = &http2_protocol;
    conn->upgraded = true;
    http2_upgrade_apply(&request->head, request->input);
    http2_ready(request);
    if (rest->size > 0 && !http2_receive(h2->session, rest->data, rest->size, engine->now_ms))
        h2->ended = true;
    if (engine->drained)
        http2_protocol.drain(engine, conn);
    http2_protocol.readable(engine, conn);
}

void http2_upgrade_conn(struct engine *engine, struct conn *conn)
{
    struct request *request = conn->request;
    struct rest rest;
    bool sent = take_rest(request, &rest) && http1_send_aside(request, STR(SWITCHING));
    if (sent && begin_session(engine, conn))
        begin(engine, conn, request, &rest);
    else
        conn_close_because(engine, conn, CLOSE_ERROR);
    mem_free(rest.data);
}
