/*
 * Packets of uwsgi: whole and in pieces the same is made of them, all inside the packet, without
 * bytes that would end a line; a second parse of what the first has rewritten says the same. The
 * first byte chooses the limits, the second the size of the pieces.
 */
#include "proto/uwsgi.h"

#include "variables.h"

#include <stdlib.h>

#define SETTINGS 2

static enum uwsgi_result parse(struct cgi *cgi, struct head *head, const uint8_t *input,
                               size_t size, uint8_t bits)
{
    struct http1_limits limits = limits_from(bits);
    struct uwsgi uwsgi;
    struct cgi again;
    struct head same;
    char words[128];
    char *data = malloc(size + (size == 0));
    require(data != NULL);
    memcpy(data, input, size);
    uwsgi_init(&uwsgi, cgi);
    head_reset(head);
    enum uwsgi_result result = uwsgi_parse(&uwsgi, head, data, size, &limits);
    if (result == UWSGI_OK) {
        require(head->size <= size);
        check_request(cgi, head, data, head->size);
        cgi_init(&again);
        uwsgi_init(&uwsgi, &again);
        head_init(&same);
        require(uwsgi_parse(&uwsgi, &same, data, size, &limits) == UWSGI_OK);
        check_same(cgi, head, &again, &same);
        cgi_free(&again);
        head_free(&same);
    } else if (result == UWSGI_ERROR) {
        uwsgi_error_text(&uwsgi, words, sizeof words);
        require(words[0] != '\0' && uwsgi_error_status(&uwsgi) >= 400);
    }
    free(data);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < SETTINGS + 1)
        return 0;
    size_t step = input[1] % 32 + 1u;
    struct cgi whole, pieces;
    struct head a, b;
    cgi_init(&whole);
    cgi_init(&pieces);
    head_init(&a);
    head_init(&b);
    enum uwsgi_result result = UWSGI_PARTIAL;
    enum uwsgi_result expected = parse(&whole, &a, input + SETTINGS, size - SETTINGS, input[0]);
    for (size_t there = 0; there < size - SETTINGS && result == UWSGI_PARTIAL;) {
        there = step < size - SETTINGS - there ? there + step : size - SETTINGS;
        result = parse(&pieces, &b, input + SETTINGS, there, input[0]);
    }
    require(result == expected);
    if (result == UWSGI_OK)
        check_same(&whole, &a, &pieces, &b);
    cgi_free(&whole);
    cgi_free(&pieces);
    head_free(&a);
    head_free(&b);
    return 0;
}
