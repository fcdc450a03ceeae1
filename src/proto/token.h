#ifndef PROTO_TOKEN_H
#define PROTO_TOKEN_H

#include "base/str.h"
#include "proto/octet.h"

/* Reading lists of tokens (RFC 9110 §5.6.1, §5.6.2) off the front of a field's value. */

static inline void token_blanks(struct str *rest)
{
    while (rest->n > 0 && octet_is_blank(rest->p[0]))
        rest->p++, rest->n--;
}

/* Takes one mark, if it is there. */
static inline bool token_mark(struct str *rest, char mark)
{
    if (rest->n == 0 || rest->p[0] != mark)
        return false;
    rest->p++, rest->n--;
    return true;
}

/* False: there is no token. */
static inline bool token_take(struct str *rest, struct str *token)
{
    *token = (struct str){rest->p, 0};
    while (rest->n > 0 && octet_is(rest->p[0], OCTET_TOKEN))
        rest->p++, rest->n--, token->n++;
    return token->n > 0;
}

/* Goes to the next element of a list, past empty ones; false at the end. */
static inline bool token_next_element(struct str *rest)
{
    do {
        token_blanks(rest);
    } while (token_mark(rest, ','));
    return rest->n > 0;
}

/* Whether an element that was taken ends here: at a comma or at the value's end. */
static inline bool token_element_ends(struct str *rest)
{
    token_blanks(rest);
    return rest->n == 0 || rest->p[0] == ',';
}

#endif
