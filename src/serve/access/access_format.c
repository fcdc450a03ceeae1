#include "serve/access/access_format.h"

#include "base/mem.h"
#include "serve/access/access_text.h"

#include <unistd.h>

/* The atoms of a format, beside the texts (enum access_text). */
enum atom {
    ATOM_LITERAL = ACCESS_VARIABLE + 1,
    ATOM_DASH,
    ATOM_USER,
    ATOM_TIME,
    ATOM_REQUEST,
    ATOM_STATUS,
    ATOM_BYTES,
    ATOM_SECONDS,
    ATOM_MILLISECONDS,
    ATOM_MICROSECONDS,
    ATOM_DECIMAL_SECONDS,
    ATOM_WAITED,
    ATOM_PID,
};

struct piece {
    int atom;        /* enum access_text or enum atom */
    struct str text; /* of a literal, or the name in {name}i; in format->bytes */
};

struct access_format {
    bool json;
    size_t count;
    struct piece *pieces;
    char *bytes;
};

static const struct {
    char letter;
    uint8_t atom;
} letters[] = {
    {'h', ACCESS_REMOTE},     {'l', ATOM_DASH},         {'u', ATOM_USER},
    {'t', ATOM_TIME},         {'r', ATOM_REQUEST},      {'s', ATOM_STATUS},
    {'m', ACCESS_METHOD},     {'U', ACCESS_PATH},       {'q', ACCESS_QUERY},
    {'H', ACCESS_PROTOCOL},   {'b', ATOM_BYTES},        {'B', ATOM_BYTES},
    {'f', ACCESS_REFERER},    {'a', ACCESS_AGENT},      {'T', ATOM_SECONDS},
    {'D', ATOM_MICROSECONDS}, {'M', ATOM_MILLISECONDS}, {'L', ATOM_DECIMAL_SECONDS},
    {'p', ATOM_PID},          {'Q', ATOM_WAITED},
};

/* An absent path, query and the like is written as Python shows None. */
static struct str when_absent(int atom)
{
    switch (atom) {
    case ACCESS_METHOD:
    case ACCESS_PATH:
    case ACCESS_QUERY:
    case ACCESS_PROTOCOL:
        return STR("None");
    default:
        return STR("-");
    }
}

static int letter_atom(char letter)
{
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
        if (letters[i].letter == letter)
            return letters[i].atom;
    return ATOM_DASH;
}

/* The atom of the name between %( and ); *name is the part in braces. */
static int name_atom(struct str *name)
{
    if (name->n == 1)
        return letter_atom(name->p[0]);
    if (name->n < 3 || name->p[0] != '{' || name->p[name->n - 2] != '}')
        return ATOM_DASH;
    char kind = ascii_lower(name->p[name->n - 1]);
    *name = (struct str){name->p + 1, name->n - 3};
    switch (kind) {
    case 'i':
        return ACCESS_FIELD_IN;
    case 'o':
        return ACCESS_FIELD_OUT;
    case 'e':
        return ACCESS_VARIABLE;
    default:
        return ATOM_DASH;
    }
}

static void add(struct access_format *format, int atom, struct str text)
{
    if (atom == ATOM_LITERAL && text.n == 0)
        return;
    format->pieces[format->count++] = (struct piece){atom, text};
}

/* The ) that closes the ( before `at`, as Python finds it: parentheses nest. */
static size_t closing(struct str format, size_t at)
{
    for (int depth = 1; at < format.n; at++) {
        depth += format.p[at] == '(' ? 1 : format.p[at] == ')' ? -1 : 0;
        if (depth == 0)
            return at;
    }
    return format.n;
}

static void lower(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = ascii_lower(p[i]);
}

/* Splits format->bytes into pieces; false when it takes Python to format it. */
static bool split(struct access_format *format, size_t n)
{
    struct str all = {format->bytes, n};
    size_t begin = 0, at = 0;
    while (at < n) {
        if (all.p[at] != '%') {
            at++;
            continue;
        }
        add(format, ATOM_LITERAL, (struct str){all.p + begin, at - begin});
        if (at + 1 < n && all.p[at + 1] == '%') {
            begin = at + 1; /* the second one is literal */
            at += 2;
            continue;
        }
        size_t end = at + 1 < n && all.p[at + 1] == '(' ? closing(all, at + 2) : n;
        if (end + 1 >= n || all.p[end + 1] != 's')
            return false;
        struct str name = {all.p + at + 2, end - at - 2};
        int atom = name_atom(&name);
        lower(format->bytes + (name.p - all.p), name.n);
        add(format, atom, name);
        at = begin = end + 2;
    }
    add(format, ATOM_LITERAL, (struct str){all.p + begin, n - begin});
    return true;
}

struct access_format *access_format_compile(struct str text)
{
    struct access_format *format = mem_alloc(sizeof(*format));
    if (!format)
        return NULL;
    *format = (struct access_format){.json = str_eq(text, STR("json"))};
    if (format->json)
        return format;
    format->bytes = mem_alloc(text.n + 1);
    format->pieces = mem_alloc((text.n + 2) * sizeof(*format->pieces));
    if (format->bytes && format->pieces) {
        memcpy(format->bytes, text.p, text.n);
        if (split(format, text.n))
            return format;
    }
    access_format_free(format);
    return NULL;
}

void access_format_free(struct access_format *format)
{
    if (!format)
        return;
    mem_free(format->bytes);
    mem_free(format->pieces);
    mem_free(format);
}

static struct str ask(const struct access_entry *entry, enum access_text what, struct str name)
{
    return entry->text(entry->context, what, name);
}

static bool is_wide(const struct access_entry *entry)
{
    return entry->utf8 && *entry->utf8;
}

static void put_text(const struct access_entry *entry, int what, struct str name,
                     struct access_line *line)
{
    struct str text = ask(entry, (enum access_text)what, name);
    if (!text.p)
        access_put(line, when_absent(what));
    else if (is_wide(entry))
        access_put_utf8(line, text);
    else
        access_put_escaped(line, text);
}

static void put_request(const struct access_entry *entry, struct access_line *line)
{
    put_text(entry, ACCESS_METHOD, STR(""), line);
    access_put(line, STR(" "));
    put_text(entry, ACCESS_TARGET, STR(""), line);
    access_put(line, STR(" "));
    put_text(entry, ACCESS_PROTOCOL, STR(""), line);
}

static void put_user(const struct access_entry *entry, struct access_line *line)
{
    char user[ACCESS_USER_MAX];
    size_t n = access_user(ask(entry, ACCESS_AUTHORIZATION, STR("")), user);
    if (n > 0)
        access_put_utf8(line, (struct str){user, n});
    else
        access_put(line, STR("-"));
}

static void put_pid(struct access_line *line)
{
    access_put(line, STR("<"));
    access_put_number(line, (uint64_t)getpid(), 0);
    access_put(line, STR(">"));
}

static void put_decimal_seconds(uint64_t us, struct access_line *line)
{
    access_put_number(line, us / 1000000, 0);
    access_put(line, STR("."));
    access_put_number(line, us % 1000000, 6);
}

static void put_piece(const struct piece *piece, const struct access_entry *entry,
                      struct access_line *line)
{
    uint64_t us = entry->duration_ns / 1000;
    switch (piece->atom) {
    case ATOM_LITERAL:
        access_put(line, piece->text);
        break;
    case ATOM_DASH:
        access_put(line, STR("-"));
        break;
    case ATOM_USER:
        put_user(entry, line);
        break;
    case ATOM_TIME:
        access_put_time(line);
        break;
    case ATOM_REQUEST:
        put_request(entry, line);
        break;
    case ATOM_STATUS:
        access_put_number(line, (uint64_t)entry->status, 0);
        break;
    case ATOM_BYTES:
        access_put_number(line, entry->sent, 0);
        break;
    case ATOM_SECONDS:
        access_put_number(line, us / 1000000, 0);
        break;
    case ATOM_MILLISECONDS:
        access_put_number(line, us / 1000, 0);
        break;
    case ATOM_MICROSECONDS:
        access_put_number(line, us, 0);
        break;
    case ATOM_DECIMAL_SECONDS:
        put_decimal_seconds(us, line);
        break;
    case ATOM_WAITED:
        put_decimal_seconds(entry->waited_ns / 1000, line);
        break;
    case ATOM_PID:
        put_pid(line);
        break;
    default:
        put_text(entry, piece->atom, piece->text, line);
    }
}

/* The fields of a JSON object that are texts of the request. */
static const struct {
    const char *key;
    enum access_text what;
} json_before[] =
    {
        {"method", ACCESS_METHOD}, {"target", ACCESS_TARGET},     {"path", ACCESS_PATH},
        {"query", ACCESS_QUERY},   {"protocol", ACCESS_PROTOCOL}, {"host", ACCESS_HOST},
},
  json_after[] = {
      {"referer", ACCESS_REFERER},
      {"user_agent", ACCESS_AGENT},
};

static void json_key(struct access_line *line, const char *key)
{
    access_put(line, STR(", \""));
    access_put(line, (struct str){key, strlen(key)});
    access_put(line, STR("\": "));
}

static void json_text(struct access_line *line, const char *key, const struct access_entry *entry,
                      enum access_text what)
{
    json_key(line, key);
    struct str text = ask(entry, what, STR(""));
    if (!text.p) {
        access_put(line, STR("null"));
        return;
    }
    access_put(line, STR("\""));
    if (is_wide(entry))
        access_put_json_utf8(line, text);
    else
        access_put_json(line, text);
    access_put(line, STR("\""));
}

static void json_number(struct access_line *line, const char *key, uint64_t number)
{
    json_key(line, key);
    access_put_number(line, number, 0);
}

static void json_user(struct access_line *line, const struct access_entry *entry)
{
    char user[ACCESS_USER_MAX];
    size_t n = access_user(ask(entry, ACCESS_AUTHORIZATION, STR("")), user);
    json_key(line, "user");
    if (n == 0) {
        access_put(line, STR("null"));
        return;
    }
    access_put(line, STR("\""));
    access_put_json_utf8(line, (struct str){user, n});
    access_put(line, STR("\""));
}

static void put_json(const struct access_entry *entry, struct access_line *line)
{
    access_put(line, STR("{\"time\": \""));
    access_put_iso_time(line);
    access_put(line, STR("\""));
    json_number(line, "pid", (uint64_t)getpid());
    json_text(line, "remote_addr", entry, ACCESS_REMOTE);
    json_user(line, entry);
    for (size_t i = 0; i < sizeof(json_before) / sizeof(json_before[0]); i++)
        json_text(line, json_before[i].key, entry, json_before[i].what);
    json_number(line, "status", (uint64_t)entry->status);
    json_number(line, "bytes", entry->sent);
    json_number(line, "duration_us", entry->duration_ns / 1000);
    for (size_t i = 0; i < sizeof(json_after) / sizeof(json_after[0]); i++)
        json_text(line, json_after[i].key, entry, json_after[i].what);
    access_put(line, STR("}"));
}

void access_format_line(const struct access_format *format, const struct access_entry *entry,
                        struct access_line *line)
{
    if (format->json)
        put_json(entry, line);
    for (size_t i = 0; i < format->count; i++)
        put_piece(&format->pieces[i], entry, line);
    access_put(line, STR("\n"));
}
