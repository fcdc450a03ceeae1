/*
 * Trust lists and the policy of forwarded fields. Up to the first NUL the input is a list of
 * networks, one a line; behind it stand a byte of settings and a head.
 */
#include "proto/forwarded.h"
#include "proto/http1/parse.h"

#include <stdlib.h>

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Whatever was taken as a network has its own address in it, and "everybody" has all. */
static void check_trust(const char *text, size_t size)
{
    static const uint8_t someone[16] = {0x20, 0x01, 0x0d, 0xb8};
    struct trust trust = {0};
    while (size > 0) {
        const char *lf = memchr(text, '\n', size);
        size_t n = lf != NULL ? (size_t)(lf - text) : size;
        size_t before = trust.count;
        enum trust_result result = trust_add(&trust, (struct str){text, n});
        require(trust.count == before || result == TRUST_OK);
        if (trust.count > before) {
            const struct trust_network *network = &trust.networks[before];
            require(network->prefix <= network->size * 8);
            require(trust_has(&trust, network->address, network->size));
        }
        size_t used = lf != NULL ? n + 1 : n;
        text += used;
        size -= used;
    }
    require(!trust.everybody || trust_has(&trust, someone, 16));
    trust_free(&trust);
}

static void init_policy(struct forwarded *policy, uint8_t bits)
{
    *policy = (struct forwarded){.map = bits % 3u, .any_name = (bits & 32) != 0};
    require(forwarded_add_name(policy, STR("SCRIPT_NAME")));
    require(forwarded_add_name(policy, STR("PATH_INFO")));
    require(forwarded_add_scheme(policy, STR("X-FORWARDED-PROTO"), STR("https")));
    require(forwarded_add_scheme(policy, STR("X-FORWARDED-SSL"), STR("on")));
    require(forwarded_add_scheme(policy, STR("X_OWN"), STR("1")));
}

/* Nothing with an underscore gets past "drop" from a peer that is not trusted, nor its scheme. */
static void check_result(const struct forwarded *policy, const struct head *head, const char *data,
                         bool trusted, bool tls)
{
    require(trusted || head->https == tls);
    require(head->script_name <= head->field_count);
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct head_field *field = &head->fields[i];
        bool underscore = memchr(data + field->name, '_', field->name_len) != NULL;
        require(underscore || field->id != FIELD_DROPPED);
        if (underscore && !trusted && policy->map != FORWARDED_DANGEROUS)
            require(field->id == FIELD_DROPPED);
    }
}

static void check_policy(uint8_t bits, const char *text, size_t size)
{
    struct http1_limits limits = {.fields = 100};
    struct forwarded policy;
    struct http1_parser parser = {0};
    struct head head;
    bool trusted = (bits & 64) != 0;
    bool tls = (bits & 128) != 0;
    char *data = malloc(size);
    require(data != NULL);
    memcpy(data, text, size);
    init_policy(&policy, bits & 63);
    head_init(&head);
    if (http1_parse(&parser, &head, data, size, &limits) == HTTP1_OK) {
        if (http1_apply_forwarded(&parser, &policy, &head, data, trusted, tls) == HTTP1_OK)
            check_result(&policy, &head, data, trusted, tls);
        else
            require(parser.error == HTTP1_REFUSED_FIELD ||
                    parser.error == HTTP1_CONTRADICTORY_SCHEME);
    }
    head_free(&head);
    forwarded_free(&policy);
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    const char *text = (const char *)input;
    const char *nul = size > 0 ? memchr(text, '\0', size) : NULL;
    size_t list = nul != NULL ? (size_t)(nul - text) : size;
    check_trust(text, list);
    if (size > list + 2)
        check_policy(input[list + 1], text + list + 2, size - list - 2);
    return 0;
}
