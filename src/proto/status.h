#ifndef PROTO_STATUS_H
#define PROTO_STATUS_H

/* The reason phrase of a status code (RFC 9110 §15 and the IANA registry), static; "Unknown" for
 * one that is not registered. */
const char *status_reason(int status);

#endif
