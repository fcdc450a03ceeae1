#ifndef PROTO_HEAD_H
#define PROTO_HEAD_H

#include "base/str.h"
#include "proto/field.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The head of a request, whichever protocol it came by. All positions are offsets into one buffer,
 * which its owner may move: see head_slice().
 */

enum head_framing {
    HEAD_NO_BODY,
    HEAD_LENGTH,    /* head->content_length bytes */
    HEAD_UNTIL_END, /* until the protocol says that it ends, as the last chunk of HTTP/1 does */
};

struct head_field {
    uint32_t name, name_len;
    uint32_t value, value_len; /* without the white space around it */
    enum field_id id; /* FIELD_OTHER when not in the table, FIELD_DROPPED when to be ignored */
};

struct head {
    uint32_t size; /* bytes of the head, its empty line included */
    uint32_t method, method_len;
    uint32_t target, target_len; /* as sent: RAW_URI */
    uint32_t path, path_len;     /* inside the target, without scheme, authority, query, fragment */
    uint32_t query, query_len;   /* without '?' */
    uint8_t major, minor;        /* of the version */
    bool coded;                  /* the body has a coding that its framing does not undo */
    bool websocket;              /* asked for by an extended CONNECT (RFC 8441) */
    bool expect_continue;        /* the client waits for "100 Continue" before it sends the body */
    bool https;                  /* the scheme: forwarded_apply() sets it */
    enum head_framing framing;
    uint64_t content_length; /* at most INT64_MAX */
    uint64_t seen;           /* bit 1 << id for each id that occurs, FIELD_OTHER included */
    uint32_t script_name;    /* 1 + index of the last SCRIPT_NAME, or 0: forwarded_apply() */
    uint32_t underscores;    /* fields whose name has a '_' */
    uint32_t field_count;
    uint32_t field_capacity;
    struct head_field *fields; /* owned: head_free() */
};

void head_init(struct head *head);
void head_reset(struct head *head); /* ready for the next head; keeps the field table */
void head_free(struct head *head);

static inline struct str head_slice(const char *data, uint32_t at, uint32_t len)
{
    return (struct str){data + at, len};
}

#endif
