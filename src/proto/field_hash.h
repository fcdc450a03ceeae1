#ifndef PROTO_FIELD_HASH_H
#define PROTO_FIELD_HASH_H

/* Written by tools/field_hash.py from FIELD_TABLE: not to be edited. */

#define FIELD_HASH_NAMES 60
#define FIELD_HASH_SHIFT 24
#define FIELD_HASH_MULTIPLIER 0xfbbe9381u
#define FIELD_NAME_MAX 30

/* X(slot, identifier): the slots that are taken. */
#define FIELD_HASH_SLOTS(X)                                                                        \
    X(0, REFERER)                                                                                  \
    X(8, ACCEPT_LANGUAGE)                                                                          \
    X(9, X_FORWARDED_HOST)                                                                         \
    X(16, HOST)                                                                                    \
    X(21, TRACESTATE)                                                                              \
    X(24, IF_MODIFIED_SINCE)                                                                       \
    X(25, X_CSRFTOKEN)                                                                             \
    X(28, CONNECTION)                                                                              \
    X(41, IF_NONE_MATCH)                                                                           \
    X(42, X_FORWARDED_PROTOCOL)                                                                    \
    X(47, VIA)                                                                                     \
    X(53, EXPECT)                                                                                  \
    X(54, AUTHORIZATION)                                                                           \
    X(55, UPGRADE_INSECURE_REQUESTS)                                                               \
    X(60, CONTENT_LENGTH)                                                                          \
    X(65, X_AMZN_TRACE_ID)                                                                         \
    X(71, X_FORWARDED_FOR)                                                                         \
    X(75, SEC_CH_UA_MOBILE)                                                                        \
    X(86, SEC_WEBSOCKET_VERSION)                                                                   \
    X(96, ACCESS_CONTROL_REQUEST_METHOD)                                                           \
    X(112, SEC_FETCH_MODE)                                                                         \
    X(117, X_FORWARDED_PORT)                                                                       \
    X(121, X_REQUESTED_WITH)                                                                       \
    X(124, X_REQUEST_ID)                                                                           \
    X(128, UPGRADE)                                                                                \
    X(138, CONTENT_TYPE)                                                                           \
    X(143, X_FORWARDED_SSL)                                                                        \
    X(144, SEC_FETCH_USER)                                                                         \
    X(145, RANGE)                                                                                  \
    X(148, SEC_WEBSOCKET_EXTENSIONS)                                                               \
    X(151, TRANSFER_ENCODING)                                                                      \
    X(152, IF_UNMODIFIED_SINCE)                                                                    \
    X(154, COOKIE)                                                                                 \
    X(160, SEC_WEBSOCKET_KEY)                                                                      \
    X(163, SEC_FETCH_DEST)                                                                         \
    X(164, IF_RANGE)                                                                               \
    X(168, SEC_FETCH_SITE)                                                                         \
    X(169, DNT)                                                                                    \
    X(178, CONTENT_ENCODING)                                                                       \
    X(179, PRAGMA)                                                                                 \
    X(180, CACHE_CONTROL)                                                                          \
    X(185, TE)                                                                                     \
    X(186, SEC_WEBSOCKET_PROTOCOL)                                                                 \
    X(192, PRIORITY)                                                                               \
    X(194, X_REQUEST_START)                                                                        \
    X(195, ACCEPT)                                                                                 \
    X(196, USER_AGENT)                                                                             \
    X(206, SEC_CH_UA_PLATFORM)                                                                     \
    X(209, TRACEPARENT)                                                                            \
    X(217, IF_MATCH)                                                                               \
    X(221, ACCEPT_ENCODING)                                                                        \
    X(223, ACCEPT_CHARSET)                                                                         \
    X(226, SEC_CH_UA)                                                                              \
    X(230, ACCESS_CONTROL_REQUEST_HEADERS)                                                         \
    X(231, FORWARDED)                                                                              \
    X(242, TRAILER)                                                                                \
    X(244, X_REAL_IP)                                                                              \
    X(245, X_FORWARDED_PROTO)                                                                      \
    X(246, ORIGIN)                                                                                 \
    X(252, KEEP_ALIVE)

#endif
