#ifndef PROTO_REQUEST_START_H
#define PROTO_REQUEST_START_H

#include "base/str.h"

#include <stdint.h>

/*
 * X-Request-Start: when a proxy in front got the request, as a time since 1970, with or without
 * "t=" before it. Proxies do not agree on the unit: seconds with a fraction (nginx), milliseconds
 * (Heroku), microseconds (Apache); the magnitude tells which. Returns microseconds, or -1 when it
 * is no such time.
 */
int64_t request_start_us(struct str value);

#endif
