#ifndef PROTO_HTTP2_UPGRADE_H
#define PROTO_HTTP2_UPGRADE_H

#include "proto/head.h"

/* The upgrade from HTTP/1.1 to HTTP/2 without TLS (RFC 7540 §3.2), which RFC 9113 has dropped. */

enum {
    HTTP2_UPGRADE_SETTINGS = 32, /* at most */
    HTTP2_SETTING_SIZE = 6,
};

enum http2_asked {
    HTTP2_NOT_ASKED, /* the request goes on as one of HTTP/1 */
    HTTP2_ASKED,
    HTTP2_ASKED_WRONGLY, /* 400: upgrade->problem says why */
};

struct http2_upgrade {
    size_t size; /* bytes of the client's settings: the payload of a frame */
    uint8_t settings[HTTP2_UPGRADE_SETTINGS * HTTP2_SETTING_SIZE];
    const char *problem; /* static */
};

/* Looks at a whole head. */
enum http2_asked http2_upgrade_read(const struct head *head, const char *data,
                                    struct http2_upgrade *upgrade);

/* The request is the first of HTTP/2: fields of the upgrade are hidden from the application. */
void http2_upgrade_apply(struct head *head, const char *data);

#endif
