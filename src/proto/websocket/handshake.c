#include "proto/websocket/handshake.h"

#include "proto/head_list.h"
#include "proto/token.h"
#include "proto/websocket/sha1.h"

enum { GUID_SIZE = 36 };
static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool has(const struct head *head, enum field_id id)
{
    return (head->seen >> id & 1) != 0;
}

static struct str value_of(const char *data, const struct head_field *field)
{
    return head_slice(data, field->value, field->value_len);
}

static bool is_asked_for(const struct head *head, const char *data)
{
    bool newer = head->major > 1 || (head->major == 1 && head->minor >= 1);
    return newer && str_eq(head_slice(data, head->method, head->method_len), STR("GET")) &&
           head_names(head, data, FIELD_UPGRADE, STR("websocket"));
}

/* The only field with this id; false: there is none, or more than one. */
static bool single(const struct head *head, const char *data, enum field_id id, struct str *value)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id != id)
            continue;
        *value = value_of(data, &head->fields[i]);
        count++;
    }
    return count == 1;
}

/* Sixteen bytes in base64: 22 digits, the last with bits to spare, and two pads. */
static bool key_is_valid(struct str key)
{
    if (key.n != WS_KEY_SIZE || key.p[22] != '=' || key.p[23] != '=')
        return false;
    for (unsigned i = 0; i < 22; i++)
        if (key.p[i] == '\0' || strchr(BASE64, key.p[i]) == NULL)
            return false;
    return true;
}

static bool subprotocols_are_valid(const struct head *head, const char *data)
{
    struct str token;
    for (uint32_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id != FIELD_SEC_WEBSOCKET_PROTOCOL)
            continue;
        struct str list = value_of(data, &head->fields[i]);
        if (!token_next_element(&list))
            return false;
        do {
            if (!token_take(&list, &token) || !token_element_ends(&list))
                return false;
        } while (token_next_element(&list));
    }
    return true;
}

static bool read_extensions(const struct head *head, const char *data,
                            struct ws_deflate_terms *terms)
{
    for (uint32_t i = 0; i < head->field_count; i++)
        if (head->fields[i].id == FIELD_SEC_WEBSOCKET_EXTENSIONS &&
            !ws_extension_offer(value_of(data, &head->fields[i]), terms))
            return false;
    return true;
}

static bool has_valid_key(const struct head *head, const char *data, struct str *key)
{
    return single(head, data, FIELD_SEC_WEBSOCKET_KEY, key) && key_is_valid(*key);
}

static const char *problem_of(const struct head *head, const char *data,
                              struct ws_handshake *handshake)
{
    if (head->framing == HEAD_UNTIL_END || head->content_length > 0)
        return "a WebSocket handshake with a body";
    if (!head->websocket && !has_valid_key(head, data, &handshake->key))
        return "invalid Sec-WebSocket-Key";
    if (!subprotocols_are_valid(head, data))
        return "invalid Sec-WebSocket-Protocol";
    if (!read_extensions(head, data, &handshake->deflate))
        return "invalid Sec-WebSocket-Extensions";
    return NULL;
}

/* The reason for 426; NULL: none. */
static const char *missing_of(const struct head *head, const char *data, bool upgrades)
{
    struct str version;
    if (!upgrades)
        return "a WebSocket handshake without \"Connection: upgrade\"\n";
    if (!single(head, data, FIELD_SEC_WEBSOCKET_VERSION, &version) || !str_eq(version, STR("13")))
        return "Sec-WebSocket-Version must be 13\n";
    return NULL;
}

enum ws_handshake_result ws_handshake_read(const struct head *head, const char *data,
                                           struct ws_handshake *handshake)
{
    *handshake = (struct ws_handshake){0};
    if (!head->websocket && !is_asked_for(head, data))
        return WS_HANDSHAKE_NONE;
    bool upgrades = head->websocket || head_names(head, data, FIELD_CONNECTION, STR("upgrade"));
    if (!upgrades && !has(head, FIELD_SEC_WEBSOCKET_KEY))
        return WS_HANDSHAKE_NONE;
    handshake->problem = missing_of(head, data, upgrades);
    if (handshake->problem != NULL)
        return WS_HANDSHAKE_UPGRADE;
    handshake->problem = problem_of(head, data, handshake);
    return handshake->problem == NULL ? WS_HANDSHAKE_OK : WS_HANDSHAKE_BAD;
}

/* RFC 4648 §4 of a digest: six groups of three bytes and one of two. */
static void encode(const uint8_t digest[SHA1_SIZE], char text[WS_ACCEPT_SIZE])
{
    uint8_t padded[SHA1_SIZE + 1] = {0};
    memcpy(padded, digest, SHA1_SIZE);
    for (unsigned i = 0; i < WS_ACCEPT_SIZE; i++) {
        const uint8_t *group = padded + i / 4 * 3;
        uint32_t bits = (uint32_t)group[0] << 16 | (uint32_t)group[1] << 8 | group[2];
        text[i] = BASE64[bits >> (18 - i % 4 * 6) & 63];
    }
    text[WS_ACCEPT_SIZE - 1] = '=';
}

void ws_handshake_accept(struct str key, char accept[WS_ACCEPT_SIZE])
{
    char text[WS_KEY_SIZE + GUID_SIZE];
    uint8_t digest[SHA1_SIZE];
    memcpy(text, key.p, WS_KEY_SIZE);
    memcpy(text + WS_KEY_SIZE, GUID, GUID_SIZE);
    sha1((struct str){text, sizeof(text)}, digest);
    encode(digest, accept);
}

bool ws_subprotocols_next(const struct head *head, const char *data, struct ws_subprotocols *walk,
                          struct str *name)
{
    while (!token_next_element(&walk->rest)) {
        while (walk->field < head->field_count &&
               head->fields[walk->field].id != FIELD_SEC_WEBSOCKET_PROTOCOL)
            walk->field++;
        if (walk->field == head->field_count)
            return false;
        walk->rest = value_of(data, &head->fields[walk->field++]);
    }
    return token_take(&walk->rest, name);
}
