#ifndef PROTO_FIELD_H
#define PROTO_FIELD_H

#include "base/str.h"

#include <stdint.h>

/*
 * Field names that clients commonly send. The parser turns a name into its id once; the layers
 * above index tables by it (interned environ keys, framing rules) and never compare the name again.
 * X(identifier, "canonical-lower-case-name")
 */
#define FIELD_TABLE(X)                                                                             \
    X(ACCEPT, "accept")                                                                            \
    X(ACCEPT_CHARSET, "accept-charset")                                                            \
    X(ACCEPT_ENCODING, "accept-encoding")                                                          \
    X(ACCEPT_LANGUAGE, "accept-language")                                                          \
    X(ACCESS_CONTROL_REQUEST_HEADERS, "access-control-request-headers")                            \
    X(ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method")                              \
    X(AUTHORIZATION, "authorization")                                                              \
    X(CACHE_CONTROL, "cache-control")                                                              \
    X(CONNECTION, "connection")                                                                    \
    X(CONTENT_ENCODING, "content-encoding")                                                        \
    X(CONTENT_LENGTH, "content-length")                                                            \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(COOKIE, "cookie")                                                                            \
    X(DNT, "dnt")                                                                                  \
    X(EXPECT, "expect")                                                                            \
    X(FORWARDED, "forwarded")                                                                      \
    X(HOST, "host")                                                                                \
    X(IF_MATCH, "if-match")                                                                        \
    X(IF_MODIFIED_SINCE, "if-modified-since")                                                      \
    X(IF_NONE_MATCH, "if-none-match")                                                              \
    X(IF_RANGE, "if-range")                                                                        \
    X(IF_UNMODIFIED_SINCE, "if-unmodified-since")                                                  \
    X(KEEP_ALIVE, "keep-alive")                                                                    \
    X(ORIGIN, "origin")                                                                            \
    X(PRAGMA, "pragma")                                                                            \
    X(PRIORITY, "priority")                                                                        \
    X(RANGE, "range")                                                                              \
    X(REFERER, "referer")                                                                          \
    X(SEC_CH_UA, "sec-ch-ua")                                                                      \
    X(SEC_CH_UA_MOBILE, "sec-ch-ua-mobile")                                                        \
    X(SEC_CH_UA_PLATFORM, "sec-ch-ua-platform")                                                    \
    X(SEC_FETCH_DEST, "sec-fetch-dest")                                                            \
    X(SEC_FETCH_MODE, "sec-fetch-mode")                                                            \
    X(SEC_FETCH_SITE, "sec-fetch-site")                                                            \
    X(SEC_FETCH_USER, "sec-fetch-user")                                                            \
    X(SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions")                                        \
    X(SEC_WEBSOCKET_KEY, "sec-websocket-key")                                                      \
    X(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol")                                            \
    X(SEC_WEBSOCKET_VERSION, "sec-websocket-version")                                              \
    X(TE, "te")                                                                                    \
    X(TRACEPARENT, "traceparent")                                                                  \
    X(TRACESTATE, "tracestate")                                                                    \
    X(TRAILER, "trailer")                                                                          \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                      \
    X(UPGRADE, "upgrade")                                                                          \
    X(UPGRADE_INSECURE_REQUESTS, "upgrade-insecure-requests")                                      \
    X(USER_AGENT, "user-agent")                                                                    \
    X(VIA, "via")                                                                                  \
    X(X_AMZN_TRACE_ID, "x-amzn-trace-id")                                                          \
    X(X_CSRFTOKEN, "x-csrftoken")                                                                  \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                          \
    X(X_FORWARDED_HOST, "x-forwarded-host")                                                        \
    X(X_FORWARDED_PORT, "x-forwarded-port")                                                        \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                      \
    X(X_FORWARDED_PROTOCOL, "x-forwarded-protocol")                                                \
    X(X_FORWARDED_SSL, "x-forwarded-ssl")                                                          \
    X(X_REAL_IP, "x-real-ip")                                                                      \
    X(X_REQUEST_ID, "x-request-id")                                                                \
    X(X_REQUEST_START, "x-request-start")                                                          \
    X(X_REQUESTED_WITH, "x-requested-with")

enum field_id {
#define FIELD_ENUM(identifier, name) FIELD_##identifier,
    FIELD_TABLE(FIELD_ENUM)
#undef FIELD_ENUM
        FIELD_OTHER, /* a name that is not in the table */
    FIELD_DROPPED,   /* a field that policy hides from the application */
    FIELD_COUNT = FIELD_OTHER
};

/* Its bit in the set of ids that a head has: head->seen. */
static inline uint64_t field_bit(enum field_id id)
{
    return (uint64_t)1 << id;
}

/* The id of a name, in any case; FIELD_OTHER when it is not in the table. */
enum field_id field_lookup(struct str name);

/* The lower-case name of a table id (id < FIELD_COUNT). */
struct str field_name(enum field_id id);

#endif
