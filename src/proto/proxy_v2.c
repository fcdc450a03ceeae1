#include "proto/proxy_v2.h"

#include "proto/crc32c.h"

/* §2.2 of the specification: signature, version and command, family and transport, length. */
#define COMMAND_AT 12
#define FAMILY_AT 13
#define LENGTH_AT 14
#define HEADER_SIZE 16

#define VERSION 2
#define COMMAND_LOCAL 0
#define COMMAND_PROXY 1

enum { FAMILY_UNSPEC, FAMILY_INET, FAMILY_INET6, FAMILY_UNIX, FAMILY_COUNT };
enum { TRANSPORT_UNSPEC, TRANSPORT_STREAM, TRANSPORT_DGRAM, TRANSPORT_COUNT };

#define PATH_SIZE 108 /* of a Unix socket's address, whatever the system's own size is */

enum tlv_type {
    TLV_AUTHORITY = 0x02,
    TLV_CRC32C = 0x03,
    TLV_UNIQUE_ID = 0x05,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21,
    TLV_SSL_CN = 0x22,
    TLV_SSL_CIPHER = 0x23,
};

#define TLV_HEADER_SIZE 3
#define SSL_HEADER_SIZE 5 /* flags, and the result of the verification */
#define CRC_SIZE 4

enum { SSL_USED = 1, SSL_CERTIFICATE = 2 | 4 };

struct tlv {
    uint8_t type;
    struct str value;
};

static uint8_t byte_at(const char *p)
{
    return (uint8_t)*p;
}

static uint16_t big16(const char *p)
{
    return (uint16_t)(byte_at(p) << 8 | byte_at(p + 1));
}

static uint32_t big32(const char *p)
{
    return (uint32_t)big16(p) << 16 | big16(p + 2);
}

/* Takes one TLV off the rest. False: it goes beyond. */
static bool next_tlv(struct str *rest, struct tlv *tlv)
{
    if (rest->n < TLV_HEADER_SIZE)
        return false;
    size_t length = big16(rest->p + 1);
    if (rest->n - TLV_HEADER_SIZE < length)
        return false;
    tlv->type = byte_at(rest->p);
    tlv->value = (struct str){rest->p + TLV_HEADER_SIZE, length};
    size_t used = TLV_HEADER_SIZE + length;
    *rest = (struct str){rest->p + used, rest->n - used};
    return true;
}

static bool has_controls(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (byte_at(text.p + i) < 0x20 || text.p[i] == 0x7f)
            return true;
    return false;
}

/* Keeps a value in a slot that has none yet. `text`: it is short and has no control characters. */
static enum proxy_result keep(struct proxy *proxy, struct str *slot, struct str value, bool text)
{
    if (slot->p != NULL)
        return proxy_refuse(proxy, PROXY_REPEATED_TLV);
    if (text && (value.n > PROXY_TEXT_MAX || has_controls(value)))
        return proxy_refuse(proxy, PROXY_BAD_TLV);
    *slot = value;
    return PROXY_OK;
}

static enum proxy_result keep_of_ssl(struct proxy *proxy, const struct tlv *tlv)
{
    switch (tlv->type) {
    case TLV_SSL_VERSION:
        return keep(proxy, &proxy->tls.version, tlv->value, true);
    case TLV_SSL_CN:
        return keep(proxy, &proxy->tls.common_name, tlv->value, true);
    case TLV_SSL_CIPHER:
        return keep(proxy, &proxy->tls.cipher, tlv->value, true);
    default:
        return PROXY_OK;
    }
}

static enum proxy_result read_ssl(struct proxy *proxy, struct str value)
{
    struct tlv tlv;
    if (value.n < SSL_HEADER_SIZE)
        return proxy_refuse(proxy, PROXY_BAD_TLV);
    uint8_t flags = byte_at(value.p);
    proxy->tls.there = (flags & SSL_USED) != 0;
    proxy->tls.certificate = (flags & SSL_CERTIFICATE) != 0;
    proxy->tls.verified = proxy->tls.certificate && big32(value.p + 1) == 0;
    struct str rest = {value.p + SSL_HEADER_SIZE, value.n - SSL_HEADER_SIZE};
    while (rest.n > 0) {
        if (!next_tlv(&rest, &tlv))
            return proxy_refuse(proxy, PROXY_BAD_TLV);
        if (keep_of_ssl(proxy, &tlv) != PROXY_OK)
            return PROXY_ERROR;
    }
    return PROXY_OK;
}

/* The sum is that of the whole header with zeros in its own place. */
static bool crc_right(const char *data, size_t size, struct str sum)
{
    static const char zeros[CRC_SIZE];
    size_t before = (size_t)(sum.p - data);
    uint32_t crc = crc32c_add(CRC32C_START, data, before);
    crc = crc32c_add(crc, zeros, CRC_SIZE);
    crc = crc32c_add(crc, sum.p + CRC_SIZE, size - before - CRC_SIZE);
    return crc32c_end(crc) == big32(sum.p);
}

/* The values that must not occur twice, beside those that *proxy keeps. */
struct seen {
    struct str crc, ssl;
};

static enum proxy_result read_tlv(struct proxy *proxy, const struct tlv *tlv, struct seen *seen)
{
    switch (tlv->type) {
    case TLV_AUTHORITY:
        return keep(proxy, &proxy->authority, tlv->value, true);
    case TLV_UNIQUE_ID:
        if (tlv->value.n > PROXY_UNIQUE_ID_MAX)
            return proxy_refuse(proxy, PROXY_BAD_TLV);
        return keep(proxy, &proxy->unique_id, tlv->value, false);
    case TLV_CRC32C:
        if (tlv->value.n != CRC_SIZE)
            return proxy_refuse(proxy, PROXY_BAD_TLV);
        return keep(proxy, &seen->crc, tlv->value, false);
    case TLV_SSL:
        if (keep(proxy, &seen->ssl, tlv->value, false) != PROXY_OK)
            return PROXY_ERROR;
        return read_ssl(proxy, tlv->value);
    default:
        return PROXY_OK;
    }
}

/* All behind the addresses. */
static enum proxy_result read_tlvs(struct proxy *proxy, const char *data, struct str rest)
{
    struct seen seen = {0};
    struct tlv tlv;
    while (rest.n > 0) {
        if (!next_tlv(&rest, &tlv))
            return proxy_refuse(proxy, PROXY_BAD_TLV);
        if (read_tlv(proxy, &tlv, &seen) != PROXY_OK)
            return PROXY_ERROR;
    }
    if (seen.crc.p != NULL && !crc_right(data, proxy->size, seen.crc))
        return proxy_refuse(proxy, PROXY_BAD_CRC);
    return PROXY_OK;
}

static void read_inet(struct proxy *proxy, const char *block, size_t size)
{
    memcpy(proxy->client.address, block, size);
    memcpy(proxy->server.address, block + size, size);
    proxy->client.port = big16(block + 2 * size);
    proxy->server.port = big16(block + 2 * size + 2);
}

static enum proxy_result read_unix(struct proxy *proxy, const char *block)
{
    proxy->client.path = (struct str){block, strnlen(block, PATH_SIZE)};
    proxy->server.path = (struct str){block + PATH_SIZE, strnlen(block + PATH_SIZE, PATH_SIZE)};
    if (has_controls(proxy->client.path) || has_controls(proxy->server.path))
        return proxy_refuse(proxy, PROXY_BAD_PATH);
    return PROXY_OK;
}

static size_t addresses_size(unsigned family)
{
    static const size_t sizes[FAMILY_COUNT] = {
        [FAMILY_INET] = 2 * 4 + 2 * 2,
        [FAMILY_INET6] = 2 * 16 + 2 * 2,
        [FAMILY_UNIX] = 2 * PATH_SIZE,
    };
    return sizes[family];
}

static enum proxy_result read_addresses(struct proxy *proxy, const char *block, unsigned family,
                                        bool dgram)
{
    switch (family) {
    case FAMILY_INET:
        proxy->family = PROXY_INET;
        proxy->protocol = dgram ? "UDP4" : "TCP4";
        read_inet(proxy, block, 4);
        return PROXY_OK;
    case FAMILY_INET6:
        proxy->family = PROXY_INET6;
        proxy->protocol = dgram ? "UDP6" : "TCP6";
        read_inet(proxy, block, 16);
        return PROXY_OK;
    default:
        proxy->family = PROXY_UNIX;
        proxy->protocol = "UNIX";
        return read_unix(proxy, block);
    }
}

/*
 * The block of a forwarded connection. Without a family or transport its addresses, if there are
 * any, are to be ignored, so that nobody knows where TLVs would begin.
 */
static enum proxy_result read_block(struct proxy *proxy, const char *data, unsigned family,
                                    unsigned transport)
{
    struct str block = {data + HEADER_SIZE, proxy->size - HEADER_SIZE};
    size_t size = addresses_size(family);
    if (family == FAMILY_UNSPEC || transport == TRANSPORT_UNSPEC) {
        proxy->protocol = "UNSPEC";
        return PROXY_OK;
    }
    if (block.n < size)
        return proxy_refuse(proxy, PROXY_NO_ADDRESS);
    if (read_addresses(proxy, block.p, family, transport == TRANSPORT_DGRAM) != PROXY_OK)
        return PROXY_ERROR;
    return read_tlvs(proxy, data, (struct str){block.p + size, block.n - size});
}

/* Each byte of the fixed part is judged as soon as it is there. */
static enum proxy_result check_fixed(struct proxy *proxy, const char *data, size_t size)
{
    uint8_t command = size > COMMAND_AT ? byte_at(data + COMMAND_AT) : VERSION << 4;
    bool local = (command & 15) == COMMAND_LOCAL;
    uint8_t family = size > FAMILY_AT && !local ? byte_at(data + FAMILY_AT) : 0;
    if (command >> 4 != VERSION)
        return proxy_refuse(proxy, PROXY_BAD_VERSION);
    if (!local && (command & 15) != COMMAND_PROXY)
        return proxy_refuse(proxy, PROXY_BAD_COMMAND);
    if (family >> 4 >= FAMILY_COUNT)
        return proxy_refuse(proxy, PROXY_BAD_FAMILY);
    if ((family & 15) >= TRANSPORT_COUNT)
        return proxy_refuse(proxy, PROXY_BAD_TRANSPORT);
    return PROXY_OK;
}

enum proxy_result proxy_v2_parse(struct proxy *proxy, const char *data, size_t size)
{
    proxy->version = PROXY_V2;
    if (check_fixed(proxy, data, size) != PROXY_OK)
        return PROXY_ERROR;
    if (size < HEADER_SIZE)
        return PROXY_PARTIAL;
    proxy->size = HEADER_SIZE + (size_t)big16(data + LENGTH_AT);
    if (proxy->size > PROXY_V2_MAX)
        return proxy_refuse(proxy, PROXY_TOO_LONG);
    if (size < proxy->size)
        return PROXY_PARTIAL;
    if ((data[COMMAND_AT] & 15) == COMMAND_LOCAL) {
        proxy->protocol = "LOCAL";
        return PROXY_OK;
    }
    uint8_t family = byte_at(data + FAMILY_AT);
    return read_block(proxy, data, family >> 4, family & 15);
}
