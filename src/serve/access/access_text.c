#include "serve/access/access_text.h"

#include "base/mem.h"

#include <stdio.h>
#include <time.h>

void access_line_init(struct access_line *line)
{
    line->p = line->small;
    line->n = 0;
    line->capacity = sizeof(line->small);
    line->failed = false;
}

void access_line_free(struct access_line *line)
{
    if (line->p != line->small)
        mem_free(line->p);
}

static bool grow(struct access_line *line, size_t more)
{
    size_t capacity = line->capacity;
    while (capacity < line->n + more)
        capacity *= 2;
    char *p = line->p == line->small ? mem_alloc(capacity) : mem_realloc(line->p, capacity);
    if (!p) {
        line->failed = true;
        return false;
    }
    if (line->p == line->small)
        memcpy(p, line->small, line->n);
    line->p = p;
    line->capacity = capacity;
    return true;
}

/* Room for `more` bytes at the end, or NULL. */
static char *room(struct access_line *line, size_t more)
{
    if (line->n + more > line->capacity && !grow(line, more))
        return NULL;
    return line->p + line->n;
}

void access_put(struct access_line *line, struct str text)
{
    char *p = room(line, text.n);
    if (!p)
        return;
    memcpy(p, text.p, text.n);
    line->n += text.n;
}

enum kind { PLAIN, BACKSLASH, HEX, LATIN };

static enum kind kind_of(unsigned char c)
{
    if (c == '"' || c == '\\')
        return BACKSLASH;
    if (c < 0x20 || (c >= 0x7f && c < 0xa0))
        return HEX;
    return c < 0x80 ? PLAIN : LATIN;
}

static size_t put_hex(char *p, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    p[0] = '\\';
    p[1] = 'x';
    p[2] = digits[c >> 4];
    p[3] = digits[c & 15];
    return 4;
}

static size_t put_special(char *p, unsigned char c)
{
    switch (kind_of(c)) {
    case BACKSLASH:
        p[0] = '\\';
        p[1] = (char)c;
        return 2;
    case HEX:
        return put_hex(p, c);
    case LATIN:
        p[0] = (char)(0xc0 | c >> 6);
        p[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    default:
        p[0] = (char)c;
        return 1;
    }
}

enum { ESCAPE_MAX = 4 }; /* bytes that one character may become */

/* Appends what `put` makes of each byte; runs of plain ones are copied as a whole. */
static void put_each(struct access_line *line, struct str text, size_t most,
                     size_t (*put)(char *p, unsigned char c))
{
    size_t plain = 0;
    while (plain < text.n && kind_of((unsigned char)text.p[plain]) == PLAIN)
        plain++;
    access_put(line, (struct str){text.p, plain});
    char *p = plain < text.n ? room(line, (text.n - plain) * most) : NULL;
    if (!p)
        return;
    for (size_t i = plain; i < text.n; i++)
        p += put(p, (unsigned char)text.p[i]);
    line->n = (size_t)(p - line->p);
}

void access_put_escaped(struct access_line *line, struct str text)
{
    put_each(line, text, ESCAPE_MAX, put_special);
}

/* Bytes of the UTF-8 character at p; what is no valid one counts as a byte of its own. */
static size_t utf8_size(const char *p, size_t n, uint32_t *code)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t size = s[0] < 0x80   ? 1
                  : s[0] < 0xc2 ? 0
                  : s[0] < 0xe0 ? 2
                  : s[0] < 0xf0 ? 3
                  : s[0] < 0xf5 ? 4
                                : 0;
    if (size == 0 || size > n)
        return 0;
    *code = size == 1 ? s[0] : s[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3fu);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool surrogate = *code >= 0xd800 && *code < 0xe000;
    return *code < least[size] || *code > 0x10ffff || surrogate ? 0 : size;
}

void access_put_utf8(struct access_line *line, struct str text)
{
    uint32_t code = 0;
    for (size_t i = 0, size; i < text.n; i += size) {
        size = utf8_size(text.p + i, text.n - i, &code);
        if (code >= 0xa0 && size > 0) {
            access_put(line, (struct str){text.p + i, size});
            continue;
        }
        unsigned char c = size > 0 ? (unsigned char)code : (unsigned char)text.p[i];
        access_put_escaped(line, (struct str){(char *)&c, 1});
        size = size ? size : 1;
    }
}

static size_t put_json_unit(char *p, uint32_t unit)
{
    return (size_t)snprintf(p, 7, "\\u%04x", (unsigned)unit);
}

enum { JSON_MAX = 7 }; /* \u00e9 and snprintf's NUL */

static size_t put_json_byte(char *p, unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        p[0] = '\\';
        p[1] = (char)c;
        return 2;
    case '\n':
        memcpy(p, "\\n", 2);
        return 2;
    case '\r':
        memcpy(p, "\\r", 2);
        return 2;
    case '\t':
        memcpy(p, "\\t", 2);
        return 2;
    default:
        if (c >= 0x20 && c < 0x7f) {
            p[0] = (char)c;
            return 1;
        }
        return put_json_unit(p, c);
    }
}

void access_put_json(struct access_line *line, struct str text)
{
    put_each(line, text, JSON_MAX, put_json_byte);
}

static void put_json_code(struct access_line *line, uint32_t code)
{
    char units[2 * JSON_MAX];
    size_t n;
    if (code < 0x80) {
        n = put_json_byte(units, (unsigned char)code);
    } else if (code < 0x10000) {
        n = put_json_unit(units, code);
    } else {
        n = put_json_unit(units, 0xd800 + ((code - 0x10000) >> 10));
        n += put_json_unit(units + n, 0xdc00 + (code & 0x3ff));
    }
    access_put(line, (struct str){units, n});
}

void access_put_json_utf8(struct access_line *line, struct str text)
{
    uint32_t code = 0;
    for (size_t i = 0, size; i < text.n; i += size) {
        size = utf8_size(text.p + i, text.n - i, &code);
        put_json_code(line, size > 0 ? code : (unsigned char)text.p[i]);
        size = size ? size : 1;
    }
}

void access_put_number(struct access_line *line, uint64_t number, int digits)
{
    char text[20];
    size_t at = sizeof(text);
    while (at > 0 && (number > 0 || at == sizeof(text) || digits > 0)) {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
        digits--;
    }
    access_put(line, (struct str){text + at, sizeof(text) - at});
}

enum { TIME_SIZE = 40 };

void access_put_time(struct access_line *line)
{
    static _Thread_local time_t second;
    static _Thread_local char text[TIME_SIZE];
    static _Thread_local size_t size;
    time_t now = time(NULL);
    if (size == 0 || now != second) {
        struct tm local;
        localtime_r(&now, &local);
        size = strftime(text, sizeof(text), "[%d/%b/%Y:%H:%M:%S %z]", &local);
        second = now;
    }
    access_put(line, (struct str){text, size});
}

void access_put_iso_time(struct access_line *line)
{
    static _Thread_local time_t second;
    static _Thread_local char text[TIME_SIZE];
    static _Thread_local size_t size;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (size == 0 || now.tv_sec != second) {
        struct tm utc;
        gmtime_r(&now.tv_sec, &utc);
        size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.", &utc);
        second = now.tv_sec;
    }
    access_put(line, (struct str){text, size});
    access_put_number(line, (uint64_t)now.tv_nsec / 1000, 6);
    access_put(line, STR("Z"));
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_utf8(const char *p, size_t n)
{
    uint32_t code;
    for (size_t i = 0, size; i < n; i += size)
        if ((size = utf8_size(p + i, n - i, &code)) == 0)
            return false;
    return true;
}

size_t access_user(struct str authorization, char user[ACCESS_USER_MAX])
{
    if (!authorization.p || authorization.n < 7 ||
        !str_ieq((struct str){authorization.p, 6}, STR("basic ")))
        return 0;
    struct str coded = str_trim((struct str){authorization.p + 6, authorization.n - 6});
    while (coded.n > 0 && coded.p[coded.n - 1] == '=')
        coded.n--;
    size_t n = 0;
    uint32_t bits = 0;
    for (size_t i = 0, have = 0; i < coded.n && n < ACCESS_USER_MAX; i++) {
        int value = base64_value(coded.p[i]);
        if (value < 0)
            return 0;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        char c = (char)(bits >> have);
        if (c == ':')
            break;
        user[n++] = c;
    }
    return is_utf8(user, n) ? n : 0;
}
