#ifndef DEMO_ECHO_WEBSOCKET_H
#define DEMO_ECHO_WEBSOCKET_H

#include "serve/engine/engine.h"

/*
 * Accepts each WebSocket, with the first subprotocol that its client offers, and sends its messages
 * back. Other requests are answered with "Hello".
 */
enum run_result websocket_run(void *app, struct request *request);
void websocket_events(void *app, struct request *request, unsigned events);

#endif
