#include "demo/echo_websocket.h"

#include "serve/conn/websocket.h"
#include "serve/request/refusal.h"

static void echo_on(struct request *request)
{
    struct duplex_message *message;
    enum duplex_next next;
    while ((next = websocket_next(request, &message)) == DUPLEX_MESSAGE) {
        enum duplex_sent sent = websocket_send(request, message->text, message->payload);
        websocket_drop(request, message);
        if (sent == DUPLEX_FULL) {
            websocket_ask(request, REQUEST_ROOM | REQUEST_DEADLINE);
            return;
        }
    }
    if (next == DUPLEX_GONE)
        engine_finish(request->engine, request);
    else
        websocket_ask(request, REQUEST_BODY | REQUEST_DEADLINE);
}

static struct str first_subprotocol(const struct request *request)
{
    struct ws_subprotocols walk = {0};
    struct str name = {"", 0};
    ws_subprotocols_next(&request->head, request->input, &walk, &name);
    return name;
}

static enum run_result accept_client(struct request *request)
{
    enum response_error error = websocket_begin(request, first_subprotocol(request));
    if (error == RESPONSE_OK)
        error = websocket_accept(request);
    if (error != RESPONSE_OK && error != RESPONSE_GONE)
        refusal_send(request, 503, "The server has no room for a WebSocket");
    if (error != RESPONSE_OK)
        return RUN_DONE;
    echo_on(request);
    return RUN_LATER;
}

static enum run_result hello(struct request *request)
{
    bool kept;
    response_start(request, "200 OK", 6);
    response_field(request, STR("Content-Length"), STR("14"));
    response_write(request, "Hello, World!\n", 14, NULL, &kept, true);
    response_finish(request);
    return RUN_DONE;
}

enum run_result websocket_run(void *app, struct request *request)
{
    struct ws_handshake handshake;
    (void)app;
    enum ws_handshake_result asked = websocket_asked(request, &handshake);
    if (asked == WS_HANDSHAKE_OK)
        return accept_client(request);
    if (asked == WS_HANDSHAKE_NONE)
        return hello(request);
    websocket_refuse(request, asked, &handshake);
    return RUN_DONE;
}

void websocket_events(void *app, struct request *request, unsigned events)
{
    (void)app;
    (void)events;
    echo_on(request);
}
