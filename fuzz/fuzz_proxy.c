/*
 * The PROXY protocol's header: parsed at once and in pieces it is the same, a header consumes no
 * more than there is, every slice lies inside it, and what is not accepted before its end stays so.
 * The first byte chooses the versions, the second the size of the pieces.
 */
#include "proto/proxy.h"

#include <stdlib.h>

#define SETTINGS 2

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_slice(struct str slice, const char *data, size_t size)
{
    if (slice.p == NULL)
        require(slice.n == 0);
    else
        require(slice.p >= data && slice.p + slice.n <= data + size);
}

static void check_header(const struct proxy *proxy, const char *data)
{
    require(proxy->size <= (proxy->version == PROXY_V1 ? PROXY_V1_MAX : PROXY_V2_MAX));
    check_slice(proxy->client.path, data, proxy->size);
    check_slice(proxy->server.path, data, proxy->size);
    check_slice(proxy->authority, data, proxy->size);
    check_slice(proxy->unique_id, data, proxy->size);
    check_slice(proxy->tls.version, data, proxy->size);
    check_slice(proxy->tls.cipher, data, proxy->size);
    check_slice(proxy->tls.common_name, data, proxy->size);
    require(!proxy->tls.verified || proxy->tls.certificate);
    for (size_t i = 0; i < proxy->authority.n; i++)
        require(proxy->authority.p[i] != '\n');
}

/* In a buffer that has no byte more than what is there. */
static enum proxy_result parse(struct proxy *proxy, const uint8_t *input, size_t size,
                               unsigned versions)
{
    char *data = malloc(size + (size == 0));
    require(data != NULL);
    memcpy(data, input, size);
    enum proxy_result result = proxy_parse(proxy, data, size, versions);
    require((result == PROXY_ERROR) == (proxy->error != PROXY_NO_ERROR));
    if (result == PROXY_OK) {
        require(proxy->size <= size && (proxy->version & versions) != 0);
        check_header(proxy, data);
    }
    require(result != PROXY_ERROR || *proxy_error_text(proxy) != '\0');
    free(data);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < SETTINGS)
        return 0;
    unsigned versions = input[0] & (PROXY_V1 | PROXY_V2);
    size_t step = input[1] % 32 + 1u;
    struct proxy whole, pieces;
    enum proxy_result result = PROXY_PARTIAL;
    input += SETTINGS;
    size -= SETTINGS;
    enum proxy_result expected = parse(&whole, input, size, versions);
    for (size_t there = 0; there < size && result == PROXY_PARTIAL;) {
        there = step < size - there ? there + step : size;
        result = parse(&pieces, input, there, versions);
    }
    require(size == 0 || result == expected);
    require(expected != PROXY_OK || (size > 0 && pieces.size == whole.size));
    return 0;
}
