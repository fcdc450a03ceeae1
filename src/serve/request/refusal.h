#ifndef SERVE_REQUEST_REFUSAL_H
#define SERVE_REQUEST_REFUSAL_H

#include "serve/request/request.h"

/*
 * Answers with gunicorn's error page and `Connection: close`; `text` is escaped into it. For
 * requests that no application sees, or whose application failed before it answered.
 */
void refusal_send(struct request *request, int status, const char *text);

/* The same for a request whose connection is closed next: it goes if the socket takes it at once.
 * With its line in the access log. Leader only. */
void refusal_send_last(struct request *request, int status, const char *text);

#endif
