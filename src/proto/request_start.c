#include "proto/request_start.h"

/* A time of this century has so many digits before the point. */
enum { SECONDS_DIGITS = 10, MILLISECONDS_DIGITS = 13, MICROSECONDS_DIGITS = 16 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The number with six digits less or more, as its unit wants: further digits are cut. */
static int64_t scaled(struct str value, size_t at, size_t digits)
{
    int64_t number = 0;

    for (size_t i = 0; i < digits; i++, at++) {
        if (at < value.n && value.p[at] == '.')
            at++;
        if (at < value.n && !is_digit(value.p[at]))
            return -1;
        number = number * 10 + (at < value.n ? value.p[at] - '0' : 0);
    }
    for (bool point = false; at < value.n; at++) {
        if (!is_digit(value.p[at]) && (value.p[at] != '.' || point))
            return -1;
        point |= value.p[at] == '.';
    }
    return number;
}

int64_t request_start_us(struct str value)
{
    size_t at = value.n >= 2 && value.p[0] == 't' && value.p[1] == '=' ? 2 : 0;
    size_t whole = 0;

    while (at + whole < value.n && is_digit(value.p[at + whole]))
        whole++;
    if (whole != SECONDS_DIGITS && whole != MILLISECONDS_DIGITS && whole != MICROSECONDS_DIGITS)
        return -1;
    return scaled(value, at, MICROSECONDS_DIGITS);
}
