#ifndef PROTO_HEAD_LIST_H
#define PROTO_HEAD_LIST_H

#include "proto/head.h"

/* Whether one of the fields with this id, lists of tokens or of tokens with "/version", names
 * `wanted`, in any case. */
bool head_names(const struct head *head, const char *data, enum field_id id, struct str wanted);

#endif
