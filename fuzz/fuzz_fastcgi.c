/*
 * Records of FastCGI: whole and in pieces they give the same requests, bodies and answers, and the
 * variables lie inside what was collected. The first byte chooses the limits, the second the size
 * of the pieces.
 */
#include "proto/fastcgi.h"

#include "variables.h"

#include <stdlib.h>

#define SETTINGS 2

/* The events but those of pieces, which depend on how the bytes are cut, and all bytes together. */
struct outcome {
    char *text; /* events, answers and bodies, at most what `capacity` says */
    size_t size, capacity;
    char *params;
    size_t params_size;
    uint8_t bits;
};

static void add(struct outcome *outcome, const void *bytes, size_t size)
{
    require(size <= outcome->capacity - outcome->size);
    memcpy(outcome->text + outcome->size, bytes, size);
    outcome->size += size;
}

static void check_variables(const struct outcome *outcome)
{
    struct http1_limits limits = limits_from(outcome->bits);
    struct cgi cgi, again;
    struct head head, same;
    cgi_init(&cgi);
    cgi_init(&again);
    head_init(&head);
    head_init(&same);
    size_t size = outcome->params_size;
    char *data = malloc(size + (size == 0));
    require(data != NULL);
    memcpy(data, outcome->params, size);
    enum fastcgi_error error = fastcgi_params(&cgi, &head, data, 0, size, &limits);
    if (error == FASTCGI_NO_ERROR && cgi.error == CGI_NO_ERROR) {
        check_request(&cgi, &head, data, size);
        require(fastcgi_params(&again, &same, data, 0, size, &limits) == FASTCGI_NO_ERROR);
        check_same(&cgi, &head, &again, &same);
    } else if (error == FASTCGI_NO_ERROR) {
        require(*cgi_error_text(cgi.error) != '\0' && cgi_error_status(cgi.error) >= 400);
    }
    cgi_free(&cgi);
    cgi_free(&again);
    head_free(&head);
    head_free(&same);
    free(data);
}

static void note(struct outcome *outcome, const struct fastcgi *fastcgi, enum fastcgi_event event,
                 struct str piece)
{
    uint8_t letter = (uint8_t)event;
    if (event == FASTCGI_PARAMS) {
        memcpy(outcome->params + outcome->params_size, piece.p, piece.n);
        outcome->params_size += piece.n;
        require(outcome->params_size <= FASTCGI_PARAMS_MAX);
    } else if (event == FASTCGI_STDIN) {
        add(outcome, piece.p, piece.n);
    } else if (event != FASTCGI_MORE) {
        add(outcome, &letter, 1);
    }
    if (event == FASTCGI_ANSWER)
        add(outcome, fastcgi->answer, fastcgi->answer_size);
    if (event == FASTCGI_BEGIN)
        outcome->params_size = 0;
    if (event == FASTCGI_PARAMS_END)
        check_variables(outcome);
    require(event != FASTCGI_ERROR || *fastcgi_error_text(fastcgi->error) != '\0');
}

static struct outcome run(const uint8_t *input, size_t size, size_t step, uint8_t bits)
{
    /* A record of 8 bytes is answered by at most FASTCGI_ANSWER_MAX and an event. */
    struct outcome outcome = {.capacity = size * (FASTCGI_ANSWER_MAX + 1) + 1, .bits = bits};
    struct fastcgi fastcgi;
    enum fastcgi_event event = FASTCGI_MORE;
    outcome.text = malloc(outcome.capacity);
    outcome.params = malloc(FASTCGI_PARAMS_MAX);
    require(outcome.text != NULL && outcome.params != NULL);
    fastcgi_init(&fastcgi);
    for (size_t at = 0; at < size && event != FASTCGI_ERROR;) {
        size_t n = step < size - at ? step : size - at;
        size_t consumed;
        struct str piece;
        char *data = malloc(n);
        require(data != NULL);
        memcpy(data, input + at, n);
        event = fastcgi_next(&fastcgi, data, n, &consumed, &piece);
        require(consumed <= n && (event != FASTCGI_MORE || consumed == n));
        require(piece.p >= data && piece.p + piece.n <= data + n);
        note(&outcome, &fastcgi, event, piece);
        at += consumed;
        free(data);
    }
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < SETTINGS + 1)
        return 0;
    size_t step = input[1] % 32 + 1u;
    struct outcome whole = run(input + SETTINGS, size - SETTINGS, size, input[0]);
    struct outcome pieces = run(input + SETTINGS, size - SETTINGS, step, input[0]);
    require(whole.size == pieces.size && memcmp(whole.text, pieces.text, whole.size) == 0);
    require(whole.params_size == pieces.params_size);
    require(memcmp(whole.params, pieces.params, whole.params_size) == 0);
    free(whole.text);
    free(whole.params);
    free(pieces.text);
    free(pieces.params);
    return 0;
}
