#ifndef FUZZ_VARIABLES_H
#define FUZZ_VARIABLES_H

#include "proto/cgi.h"

/* What the targets of uwsgi and FastCGI check alike. */

void require(bool condition);

struct http1_limits limits_from(uint8_t bits);

/* A request that was accepted: all inside `size` bytes, nothing that would end a line. */
void check_request(const struct cgi *cgi, const struct head *head, const char *data, size_t size);

/* Twice the same buffer gives twice the same. */
void check_same(const struct cgi *cgi, const struct head *head, const struct cgi *again,
                const struct head *same);

#endif
