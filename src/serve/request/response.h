#ifndef SERVE_REQUEST_RESPONSE_H
#define SERVE_REQUEST_RESPONSE_H

#include "serve/request/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The answer to one request: status, fields, then the body in items. Called by the thread that runs
 * the request, attached. The head leaves with the first bytes of the body. How it is framed is the
 * business of the request's stream.
 */

enum { RESPONSE_GAP = 160 }; /* bytes for a protocol before the fields, beside the own fields */

enum response_error {
    RESPONSE_OK,
    RESPONSE_BAD_STATUS, /* not "3DIGIT [SP reason]" */
    RESPONSE_BAD_NAME,   /* not a token (RFC 9110 §5.1) */
    RESPONSE_BAD_VALUE,  /* a control character in a field value or reason */
    RESPONSE_BAD_LENGTH, /* Content-Length is no decimal number */
    RESPONSE_NO_MEMORY,
    RESPONSE_FULL, /* more waits for the client than may: see response_room() */
    RESPONSE_GONE, /* the client does not take it any more */
};

/* Sets the status and forgets the fields that were set before. Not after the head was sent. */
enum response_error response_start(struct request *request, const char *status, size_t n);

/* Adds a field. Those that are the server's own (RFC 9110 §7.6.1, Server, Date) are dropped. */
enum response_error response_field(struct request *request, struct str name, struct str value);

/*
 * Sends an item of the body; bytes beyond the declared length are cut off. When `ref` is given and
 * the client is slow, the bytes are not copied: they stay valid until ops->release(ref), and *kept
 * is set. `last` says that response_finish() follows.
 */
enum response_error response_write(struct request *request, const char *data, size_t n, void *ref,
                                   bool *kept, bool last);

/* Sends n bytes of a file from offset on. The descriptor stays the caller's. */
enum response_error response_file(struct request *request, int file, off_t offset, uint64_t n);

/* Sends the head, and all that follows is the stream's. */
enum response_error response_open(struct request *request);

/* The body is complete: sends the head if nothing has, and the end of the framing. */
enum response_error response_finish(struct request *request);

/* The answer cannot be completed: the connection is closed so that the client sees it. */
void response_abort(struct request *request);

/* An interim answer, "103 Early Hints" and the like (RFC 8297), with lines of fields that are
 * valid, each with its CRLF. */
enum response_error response_interim(struct request *request, int status, struct str fields);

/* Fields behind the body, as lines that are valid, each with its CRLF: dropped where the protocol
 * has none, or when the body has ended. */
enum response_error response_trailers(struct request *request, struct str fields);

/* For streams: the lines of the server's own fields, and whether one with the date belongs to them.
 */
struct str response_own_fields(const struct request *request);

static inline bool response_has_own_date(const struct response *response)
{
    return !response->has_date && !response->bare;
}

#endif
