#ifndef SERVE_CONN_WEBSOCKET_H
#define SERVE_CONN_WEBSOCKET_H

#include "proto/websocket/handshake.h"
#include "serve/conn/duplex.h"
#include "serve/conn/protocol.h"
#include "serve/request/response.h"

/*
 * A WebSocket on a connection whose HTTP/1 request was answered with 101. For applications whose
 * requests run later (app_ops.events): run() returns RUN_LATER, and the request is the
 * application's until engine_finish().
 *
 *   HTTP/1's RUNNING --- websocket_accept() ---> open ---> DUPLEX_GONE ---> engine_finish()
 *                   \___ any other answer                \_________________^
 *
 * engine_finish() may come at any time: the close handshake is the engine's.
 */
extern const struct protocol websocket_protocol;

/* Called by the thread that has the request, attached. */

/* Whether the request is a handshake, and whether it is valid. */
enum ws_handshake_result websocket_asked(const struct request *request,
                                         struct ws_handshake *handshake);

/* Answers a handshake that websocket_asked() has found invalid, 400 or 426, and logs it. */
void websocket_refuse(struct request *request, enum ws_handshake_result result,
                      const struct ws_handshake *handshake);

/*
 * Begins the answer to a valid handshake; response_field() may add fields, then websocket_accept()
 * sends it. subprotocol: one that the client offers, or empty.
 */
enum response_error websocket_begin(struct request *request, struct str subprotocol);

/*
 * RESPONSE_OK: messages may be sent and received. RESPONSE_NO_MEMORY: nothing was sent, and any
 * other answer may follow. RESPONSE_GONE: the client has left. The request's time is not bounded by
 * request_timeout from here on, and request->input has moved.
 */
enum response_error websocket_accept(struct request *request);

/* The application waits for these (REQUEST_BODY: websocket_next() has something to give;
 * REQUEST_ROOM: websocket_send() may go on; REQUEST_GONE: the WebSocket has ended, also if messages
 * wait; REQUEST_DEADLINE), once each: see request_ask(). */
void websocket_ask(struct request *request, unsigned events);

/* Whether websocket_send() may go on after DUPLEX_FULL. */
bool websocket_room(const struct request *request);

/* As those of duplex.h. */
enum duplex_next websocket_next(struct request *request, struct duplex_message **message);
void websocket_drop(struct request *request, struct duplex_message *message);
enum duplex_sent websocket_send(struct request *request, bool text, struct str payload);
void websocket_close(struct request *request, uint16_t code, struct str reason);

/* The code and the reason of the end, after DUPLEX_GONE; the reason is borrowed until the request
 * is finished. */
uint16_t websocket_code(const struct request *request, struct str *reason);

/* Called by HTTP/1, as the leader. */

/* The application has accepted: the connection is a WebSocket's from here on. */
void websocket_open(struct engine *engine, struct conn *conn);

/* The engine ends before it was opened. */
void websocket_forget(struct request *request);

#endif
