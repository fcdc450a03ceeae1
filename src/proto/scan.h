#ifndef PROTO_SCAN_H
#define PROTO_SCAN_H

#include "proto/octet.h"

#include <stdbool.h>
#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#define SCAN_BLOCK 16
#endif

/*
 * Finding the byte that ends a run, sixteen at a time where the baseline of the machine allows it.
 * Each function looks at [p, end) and may also read between `begin` and p, never outside
 * [begin, end). It returns end when nothing stops the run.
 */

static inline bool scan_stops_value(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

static inline bool scan_stops_path(unsigned char c)
{
    return c <= 0x20 || c >= 0x7f || c == '?' || c == '#';
}

static inline bool scan_stops_query(unsigned char c)
{
    return c <= 0x20 || c >= 0x7f || c == '#';
}

static inline bool scan_stops_name(unsigned char c)
{
    return c <= 0x20 || c >= 0x80 || c == ':';
}

#if defined(SCAN_BLOCK)

static inline unsigned scan_block_value(const char *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);
    __m128i tab = _mm_cmpeq_epi8(x, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

/* As signed numbers, the bytes from 0x80 on are below 0x21 too. */
static inline unsigned scan_block_name(const char *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x21)),
                                                    _mm_cmpeq_epi8(x, _mm_set1_epi8(':'))));
}

static inline __m128i scan_not_visible(__m128i x)
{
    return _mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x21)),
                        _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f)));
}

static inline unsigned scan_block_query(const char *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(scan_not_visible(x), _mm_cmpeq_epi8(x, _mm_set1_epi8('#'))));
}

static inline unsigned scan_block_path(const char *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i mark =
        _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('?')), _mm_cmpeq_epi8(x, _mm_set1_epi8('#')));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(scan_not_visible(x), mark));
}

/* The last bytes are read as part of the sixteen that end with them, if there are so many. */
static inline const char *scan_run(const char *begin, const char *p, const char *end,
                                   unsigned (*block)(const char *), bool (*stops)(unsigned char))
{
    for (; end - p >= SCAN_BLOCK; p += SCAN_BLOCK) {
        unsigned found = block(p);
        if (found != 0)
            return p + __builtin_ctz(found);
    }
    if (end - begin >= SCAN_BLOCK) {
        unsigned found = block(end - SCAN_BLOCK) >> (SCAN_BLOCK - (end - p));
        return found != 0 ? p + __builtin_ctz(found) : end;
    }
    while (p < end && !stops((unsigned char)*p))
        p++;
    return p;
}

#else

#define scan_block_value NULL
#define scan_block_name NULL
#define scan_block_path NULL
#define scan_block_query NULL

static inline const char *scan_run(const char *begin, const char *p, const char *end,
                                   unsigned (*block)(const char *), bool (*stops)(unsigned char))
{
    (void)begin;
    (void)block;
    while (p < end && !stops((unsigned char)*p))
        p++;
    return p;
}

#endif

/* To the first control character other than HTAB. */
static inline const char *scan_value(const char *begin, const char *p, const char *end)
{
    return scan_run(begin, p, end, scan_block_value, scan_stops_value);
}

/* To the first ':', or byte that is no visible ASCII or DEL. */
static inline const char *scan_name(const char *begin, const char *p, const char *end)
{
    return scan_run(begin, p, end, scan_block_name, scan_stops_name);
}

/* To the first byte that is no visible ASCII, '?' or '#'. */
static inline const char *scan_path(const char *begin, const char *p, const char *end)
{
    return scan_run(begin, p, end, scan_block_path, scan_stops_path);
}

/* To the first byte that is no visible ASCII, or '#'. */
static inline const char *scan_query(const char *begin, const char *p, const char *end)
{
    return scan_run(begin, p, end, scan_block_query, scan_stops_query);
}

#endif
