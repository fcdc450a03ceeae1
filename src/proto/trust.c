#include "base/mem.h"
#include "proto/forwarded.h"

#include <arpa/inet.h>
#include <sys/socket.h>

/* Room for the longest address, "/" and a mask of IPv4. */
#define TEXT_MAX (INET6_ADDRSTRLEN + 1 + INET_ADDRSTRLEN)

static unsigned bits_of(const struct trust_network *network)
{
    return network->size * 8u;
}

/* The bits of the byte at `index` that are inside the prefix. */
static uint8_t mask_at(const struct trust_network *network, unsigned index)
{
    unsigned before = index * 8;
    if (network->prefix <= before)
        return 0;
    unsigned inside = network->prefix - before;
    if (inside >= 8)
        return 0xff;
    return (uint8_t)(0xffu << (8 - inside));
}

static bool parse_digits(const char *text, unsigned most, uint8_t *prefix)
{
    unsigned value = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (unsigned)(*text - '0');
        if (value > most)
            return false;
    }
    *prefix = (uint8_t)value;
    return true;
}

/* 255.255.255.0, or 0.0.0.255: ones on one side only. Zero is a netmask, as Python reads it. */
static bool parse_mask(const char *text, uint8_t *prefix)
{
    uint8_t bytes[4];
    if (inet_pton(AF_INET, text, bytes) != 1)
        return false;
    uint32_t mask = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
                    (uint32_t)bytes[3];
    if (mask != 0 && (mask & 0x80000000u) == 0)
        mask = ~mask;
    uint32_t zeros = ~mask;
    if ((zeros & (zeros + 1)) != 0)
        return false;
    *prefix = (uint8_t)__builtin_popcount(mask);
    return true;
}

static bool parse_prefix(struct trust_network *network, const char *text)
{
    if (parse_digits(text, bits_of(network), &network->prefix))
        return true;
    return network->size == 4 && parse_mask(text, &network->prefix);
}

static bool has_host_bits(const struct trust_network *network)
{
    for (unsigned i = 0; i < network->size; i++)
        if ((network->address[i] & (uint8_t)~mask_at(network, i)) != 0)
            return true;
    return false;
}

static enum trust_result parse_network(struct trust_network *network, struct str text)
{
    char copy[TEXT_MAX + 1];
    if (text.n > TEXT_MAX || memchr(text.p, '\0', text.n) != NULL)
        return TRUST_BAD_ADDRESS;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    char *slash = strchr(copy, '/');
    if (slash != NULL)
        *slash = '\0';
    if (inet_pton(AF_INET, copy, network->address) == 1)
        network->size = 4;
    else if (inet_pton(AF_INET6, copy, network->address) == 1)
        network->size = 16;
    else
        return TRUST_BAD_ADDRESS;
    network->prefix = (uint8_t)bits_of(network);
    if (slash != NULL && !parse_prefix(network, slash + 1))
        return TRUST_BAD_ADDRESS;
    return has_host_bits(network) ? TRUST_HOST_BITS : TRUST_OK;
}

enum trust_result trust_add(struct trust *trust, struct str text)
{
    struct trust_network network = {0};
    if (str_eq(text, STR("*"))) {
        trust->everybody = true;
        return TRUST_OK;
    }
    enum trust_result result = parse_network(&network, text);
    if (result != TRUST_OK)
        return result;
    struct trust_network *networks =
        mem_realloc(trust->networks, (trust->count + 1) * sizeof network);
    if (networks == NULL)
        return TRUST_NO_MEMORY;
    trust->networks = networks;
    networks[trust->count++] = network;
    return TRUST_OK;
}

static bool contains(const struct trust_network *network, const uint8_t *address)
{
    for (unsigned i = 0; i < network->size; i++)
        if (((address[i] ^ network->address[i]) & mask_at(network, i)) != 0)
            return false;
    return true;
}

bool trust_has(const struct trust *trust, const uint8_t *address, size_t size)
{
    if (trust->everybody)
        return true;
    for (size_t i = 0; i < trust->count; i++)
        if (trust->networks[i].size == size && contains(&trust->networks[i], address))
            return true;
    return false;
}

void trust_free(struct trust *trust)
{
    mem_free(trust->networks);
    *trust = (struct trust){0};
}
