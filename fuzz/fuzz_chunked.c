/*
 * The chunked decoder: whole, in pieces and without moving, the same bytes come out, no more than
 * went in. The first byte chooses the limits, the second the size of the pieces.
 */
#include "proto/http1/chunked.h"

#include <stdlib.h>

#define SETTINGS 2

struct outcome {
    enum chunked_result result;
    size_t consumed, produced;
    uint8_t error;
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void start(struct chunked *dec, uint8_t bits)
{
    chunked_init(dec, (bits & 1) != 0 ? 16 : 0, (bits & 2) != 0 ? 2 : 0);
}

/* Each call gets a buffer of its own that has no byte more than what is there. */
static struct outcome decode(uint8_t bits, const uint8_t *input, size_t size, size_t step,
                             char *out)
{
    struct chunked dec;
    struct outcome all = {.result = CHUNKED_MORE};
    start(&dec, bits);
    while (all.consumed < size && all.result == CHUNKED_MORE) {
        size_t n = step < size - all.consumed ? step : size - all.consumed;
        size_t consumed, produced;
        char *data = malloc(n);
        require(data != NULL);
        memcpy(data, input + all.consumed, n);
        all.result = chunked_decode(&dec, data, n, &consumed, &produced);
        require(produced <= consumed && consumed <= n);
        require(all.result != CHUNKED_MORE || consumed == n);
        memcpy(out + all.produced, data, produced);
        all.produced += produced;
        all.consumed += consumed;
        free(data);
    }
    all.error = dec.error;
    require((all.result == CHUNKED_ERROR) == (dec.error != CHUNKED_NO_ERROR));
    require(all.result != CHUNKED_ERROR || *chunked_error_text(&dec) != '\0');
    return all;
}

static struct outcome collect(uint8_t bits, const uint8_t *input, size_t size, char *out)
{
    struct chunked dec;
    struct outcome all = {.result = CHUNKED_MORE};
    start(&dec, bits);
    while (all.consumed < size && all.result == CHUNKED_MORE) {
        size_t consumed;
        struct str piece;
        all.result = chunked_next(&dec, (const char *)input + all.consumed, size - all.consumed,
                                  &consumed, &piece);
        require(consumed > 0 || all.result != CHUNKED_MORE);
        memcpy(out + all.produced, piece.p, piece.n);
        all.produced += piece.n;
        all.consumed += consumed;
    }
    all.error = dec.error;
    return all;
}

static void compare(struct outcome a, const char *a_out, struct outcome b, const char *b_out)
{
    require(a.result == b.result && a.error == b.error);
    require(a.consumed == b.consumed && a.produced == b.produced);
    require(memcmp(a_out, b_out, a.produced) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < SETTINGS + 1)
        return 0;
    uint8_t bits = input[0];
    size_t step = input[1] % 32 + 1u;
    input += SETTINGS;
    size -= SETTINGS;
    char *out[3];
    for (int i = 0; i < 3; i++)
        require((out[i] = malloc(size)) != NULL);
    struct outcome whole = decode(bits, input, size, size, out[0]);
    struct outcome pieces = decode(bits, input, size, step, out[1]);
    struct outcome borrowed = collect(bits, input, size, out[2]);
    compare(whole, out[0], pieces, out[1]);
    compare(whole, out[0], borrowed, out[2]);
    for (int i = 0; i < 3; i++)
        free(out[i]);
    return 0;
}
