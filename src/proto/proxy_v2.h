#ifndef PROTO_PROXY_V2_H
#define PROTO_PROXY_V2_H

#include "proto/proxy.h"

/* What the files of the PROXY parser share. */

static inline enum proxy_result proxy_refuse(struct proxy *proxy, enum proxy_error error)
{
    proxy->error = error;
    return PROXY_ERROR;
}

/* The signature is there, all 12 bytes of it. */
enum proxy_result proxy_v2_parse(struct proxy *proxy, const char *data, size_t size);

#define PROXY_V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define PROXY_V2_SIGNATURE_SIZE 12

#endif
