#ifndef SERVE_REQUEST_REFUSAL_H
#define SERVE_REQUEST_REFUSAL_H

#include "serve/request/request.h"

/*
 * Answers with gunicorn's error page and `Connection: close`; `text` is escaped into it. For
 * requests that no application sees, or whose application failed before it answered.
 */
void refusal_send(struct request *request, int status, const char *text);

#endif
