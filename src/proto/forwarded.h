#ifndef PROTO_FORWARDED_H
#define PROTO_FORWARDED_H

#include "proto/head.h"

/*
 * Trust in header fields: the peers that may say how a request reached them (forwarded_allow_ips),
 * and the treatment of fields whose names the environ cannot tell apart (header_map,
 * forwarder_headers, secure_scheme_headers).
 */

enum trust_result {
    TRUST_OK,
    TRUST_BAD_ADDRESS, /* neither an address nor a network nor "*" */
    TRUST_HOST_BITS,   /* a network with bits set behind its prefix, such as 192.0.2.1/24 */
    TRUST_NO_MEMORY,
};

struct trust_network {
    uint8_t address[16];
    uint8_t size;   /* bytes of the address: 4 or 16 */
    uint8_t prefix; /* bits that count */
};

/* A list of networks. Zeroed, it trusts nobody. */
struct trust {
    bool everybody; /* "*" was added */
    size_t count;
    struct trust_network *networks; /* owned: trust_free() */
};

/*
 * Adds "*", an IPv4 or IPv6 address, or ADDRESS/PREFIX; for IPv4 the prefix may be a netmask or its
 * inverse. Unless TRUST_OK is returned the list is as before.
 */
enum trust_result trust_add(struct trust *trust, struct str text);

/*
 * Whether the peer with this address, 4 or 16 bytes in network order, is in the list. An IPv4
 * address in IPv6 clothes (::ffff:192.0.2.1) is an IPv6 address, as for gunicorn. A peer without an
 * address (a unix socket) is the caller's to trust.
 */
bool trust_has(const struct trust *trust, const uint8_t *address, size_t size);

void trust_free(struct trust *trust);

/* header_map: the treatment of a field with '_' in its name. */
enum forwarded_map {
    FORWARDED_DROP,
    FORWARDED_REFUSE,
    FORWARDED_DANGEROUS, /* it is kept */
};

/* A name in capitals and, for the scheme, the value that means https. Both owned, in one block. */
struct forwarded_name {
    struct str name, value;
    enum field_id id;
};

/* Zeroed: drop, no trusted names. */
struct forwarded {
    enum forwarded_map map;
    bool any_name; /* forwarder_headers has "*" */
    uint32_t name_count, scheme_count;
    struct forwarded_name *names;   /* forwarder_headers */
    struct forwarded_name *schemes; /* secure_scheme_headers */
    uint64_t scheme_ids;            /* bits of head.seen that one of the schemes may have set */
};

/*
 * Add an entry of forwarder_headers ("*": every name) or secure_scheme_headers; the texts are
 * copied. As in gunicorn a name matches only if it is given in capitals. False: no memory, nothing
 * is changed.
 */
bool forwarded_add_name(struct forwarded *policy, struct str name);
bool forwarded_add_scheme(struct forwarded *policy, struct str name, struct str value);

void forwarded_free(struct forwarded *policy);

/* Whether it matters to forwarded_apply() that the peer's fields may be believed. */
static inline bool forwarded_needs_trust(const struct forwarded *policy, const struct head *head)
{
    return head->underscores != 0 || (head->seen & policy->scheme_ids) != 0;
}

enum forwarded_result {
    FORWARDED_OK,
    FORWARDED_CONTRADICTION, /* fields of the scheme that differ */
    FORWARDED_NO_FIELD,      /* a field that FORWARDED_REFUSE refuses: *culprit is its index */
};

/*
 * Applies the policy to a whole head: sets head->https (tls being the answer where no field tells
 * otherwise) and head->script_name, and gives fields that are to be ignored the id FIELD_DROPPED.
 * Costs two tests where there is nothing to do. `trusted`: the peer's fields may be believed; read
 * only if forwarded_needs_trust().
 */
enum forwarded_result forwarded_apply(const struct forwarded *policy, struct head *head,
                                      const char *data, bool trusted, bool tls, uint32_t *culprit);

#endif
