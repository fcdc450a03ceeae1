#include "proto/websocket/extension.h"

#include "proto/token.h"
#include "proto/websocket/deflate.h"

#include <stdio.h>

struct parameter {
    struct str name;
    char value[3]; /* the first bytes: no known value is longer than two */
    size_t size;   /* of the whole value; 0: there is none */
};

/* Parameters that an offer has had. */
enum {
    SERVER_TAKEOVER = 1,
    CLIENT_TAKEOVER = 2,
    SERVER_WINDOW = 4,
    CLIENT_WINDOW = 8,
};

static void value_add(struct parameter *parameter, char c)
{
    if (parameter->size < sizeof(parameter->value))
        parameter->value[parameter->size] = c;
    parameter->size++;
}

/* A quoted-string whose text is a token (RFC 6455 §9.1), behind its first quote. */
static bool take_quoted(struct str *rest, struct parameter *parameter)
{
    for (; rest->n > 0 && rest->p[0] != '"'; rest->p++, rest->n--) {
        if (rest->p[0] == '\\' && rest->n > 1)
            rest->p++, rest->n--;
        if (!octet_is(rest->p[0], OCTET_TOKEN))
            return false;
        value_add(parameter, rest->p[0]);
    }
    return token_mark(rest, '"') && parameter->size > 0;
}

static bool take_value(struct str *rest, struct parameter *parameter)
{
    struct str token;
    token_blanks(rest);
    if (token_mark(rest, '"'))
        return take_quoted(rest, parameter);
    if (!token_take(rest, &token))
        return false;
    for (size_t i = 0; i < token.n; i++)
        value_add(parameter, token.p[i]);
    return true;
}

/* Behind a ';'. */
static bool take_parameter(struct str *rest, struct parameter *parameter)
{
    *parameter = (struct parameter){0};
    token_blanks(rest);
    if (!token_take(rest, &parameter->name))
        return false;
    token_blanks(rest);
    if (token_mark(rest, '=') && !take_value(rest, parameter))
        return false;
    token_blanks(rest);
    return true;
}

/* 8 to 15 without a leading zero; 0 for anything else. */
static uint8_t window_of(const struct parameter *parameter)
{
    const char *digits = parameter->value;
    if (parameter->size == 1 && (digits[0] == '8' || digits[0] == '9'))
        return (uint8_t)(digits[0] - '0');
    if (parameter->size == 2 && digits[0] == '1' && digits[1] >= '0' && digits[1] <= '5')
        return (uint8_t)(10 + digits[1] - '0');
    return 0;
}

static unsigned known(struct str name)
{
    if (str_eq(name, STR("server_no_context_takeover")))
        return SERVER_TAKEOVER;
    if (str_eq(name, STR("client_no_context_takeover")))
        return CLIENT_TAKEOVER;
    if (str_eq(name, STR("server_max_window_bits")))
        return SERVER_WINDOW;
    return str_eq(name, STR("client_max_window_bits")) ? CLIENT_WINDOW : 0;
}

static uint8_t smaller(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

/* Whether the offer can be accepted with this parameter. */
static bool apply(const struct parameter *parameter, struct ws_deflate_terms *terms, unsigned *seen)
{
    unsigned what = known(parameter->name);
    uint8_t window = window_of(parameter);
    if (what == 0 || (*seen & what) != 0)
        return false;
    *seen |= what;
    if (what == SERVER_TAKEOVER)
        terms->server_takeover = false;
    if (what == CLIENT_TAKEOVER)
        terms->client_takeover = false;
    if (what < SERVER_WINDOW)
        return parameter->size == 0;
    if (what == SERVER_WINDOW) {
        terms->name_server_window = true;
        terms->server_window = smaller(window, WS_DEFLATE_WINDOW);
        return window != 0;
    }
    terms->name_client_window = true;
    terms->client_window = window == 0 ? WS_INFLATE_WINDOW : smaller(window, WS_INFLATE_WINDOW);
    return window != 0 || parameter->size == 0;
}

static bool take_extension(struct str *rest, struct ws_deflate_terms *terms)
{
    struct ws_deflate_terms offer = {
        .server_takeover = true,
        .client_takeover = true,
        .server_window = WS_DEFLATE_WINDOW,
        .client_window = WS_WINDOW_MOST,
    };
    struct parameter parameter;
    struct str name;
    unsigned seen = 0;
    if (!token_take(rest, &name))
        return false;
    token_blanks(rest);
    offer.agreed = str_eq(name, STR("permessage-deflate"));
    while (token_mark(rest, ';')) {
        if (!take_parameter(rest, &parameter))
            return false;
        offer.agreed = offer.agreed && apply(&parameter, &offer, &seen);
    }
    if (offer.agreed && !terms->agreed)
        *terms = offer;
    return true;
}

bool ws_extension_offer(struct str value, struct ws_deflate_terms *terms)
{
    bool any = false;
    while (token_next_element(&value)) {
        any = true;
        if (!take_extension(&value, terms) || !token_element_ends(&value))
            return false;
    }
    return any;
}

size_t ws_extension_answer(const struct ws_deflate_terms *terms, char to[WS_EXTENSION_MAX])
{
    char server[32] = "", client[32] = "";
    if (terms->name_server_window)
        snprintf(server, sizeof(server), "; server_max_window_bits=%u", terms->server_window);
    if (terms->name_client_window)
        snprintf(client, sizeof(client), "; client_max_window_bits=%u", terms->client_window);
    return (size_t)snprintf(to, WS_EXTENSION_MAX, "permessage-deflate%s%s%s%s",
                            terms->server_takeover ? "" : "; server_no_context_takeover",
                            terms->client_takeover ? "" : "; client_no_context_takeover", server,
                            client);
}
