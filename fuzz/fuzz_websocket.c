/*
 * WebSocket: frames whole and in pieces give the same events, texts are UTF-8, no message and no
 * memory is beyond the limit, nothing is left; a message that is deflated comes back by the reader
 * byte for byte. The first byte chooses limit and compression, the second the size of the pieces,
 * the third one of the two tests.
 */
#include "proto/websocket/close.h"
#include "proto/websocket/mask.h"
#include "proto/websocket/reader.h"
#include "proto/websocket/utf8.h"
#include "proto/websocket/writer.h"

#include <stdlib.h>

enum { SETTINGS = 3, OVERHEAD = 64 * 1024, ROOM = 300 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static size_t held;

static void *resize(void *owner, void *block, size_t old, size_t size)
{
    (void)owner;
    require(old <= held && (block != NULL) == (old > 0));
    held = held - old + size;
    if (size == 0) {
        free(block);
        return NULL;
    }
    void *resized = realloc(block, size);
    require(resized != NULL);
    return resized;
}

static const struct ws_memory memory = {resize, NULL};

static size_t limit_of(uint8_t bits)
{
    return (bits & 1) != 0 ? 100 : 100 * 1000;
}

static struct ws_deflate_terms terms_of(uint8_t bits)
{
    uint8_t window = (uint8_t)(WS_WINDOW_LEAST + (bits >> 4 & 7));
    bool takeover = (bits & 4) != 0;
    return (struct ws_deflate_terms){
        .agreed = (bits & 2) != 0,
        .server_takeover = takeover,
        .client_takeover = takeover,
        .server_window = window,
        .client_window = window,
    };
}

struct outcome {
    size_t events;
    uint64_t hash;
    uint8_t error;
};

static void add(struct outcome *outcome, uint64_t value)
{
    outcome->hash = (outcome->hash ^ value) * 1099511628211u;
}

static void note(struct outcome *outcome, const struct ws_reader *reader, enum ws_event event,
                 struct str payload, size_t limit)
{
    uint8_t text = WS_UTF8_START;
    outcome->events++;
    add(outcome, event);
    for (size_t i = 0; i < payload.n; i++)
        add(outcome, (uint8_t)payload.p[i]);
    if (event == WS_EVENT_TEXT || event == WS_EVENT_CLOSE)
        require(ws_utf8_check(&text, payload.p, payload.n) && ws_utf8_complete(text));
    if (event == WS_EVENT_TEXT || event == WS_EVENT_BINARY)
        require(payload.n <= limit);
    else
        require(payload.n <= WS_CONTROL_MAX);
    if (event == WS_EVENT_CLOSE)
        require(reader->code == WS_CLOSE_NONE || ws_close_allowed(reader->code));
    if (event == WS_EVENT_FAILED)
        require(ws_close_allowed(ws_error_code((enum ws_error)reader->error)));
}

/* One piece in a block without a byte to spare. False: nothing may follow. */
static bool feed(struct ws_reader *reader, const uint8_t *input, size_t size, size_t limit,
                 struct outcome *outcome)
{
    char *data = malloc(size);
    enum ws_event event;
    size_t at = 0;
    require(data != NULL);
    memcpy(data, input, size);
    do {
        struct str payload;
        size_t consumed;
        event = ws_reader_next(reader, data + at, size - at, &consumed, &payload);
        at += consumed;
        require(at <= size && (event != WS_EVENT_MORE || at == size));
        require(held <= 2 * limit + OVERHEAD);
        if (event != WS_EVENT_MORE)
            note(outcome, reader, event, payload, limit);
    } while (event != WS_EVENT_MORE && event < WS_EVENT_CLOSE);
    free(data);
    return event < WS_EVENT_CLOSE;
}

static struct outcome read_frames(uint8_t bits, const uint8_t *input, size_t size, size_t step)
{
    struct outcome outcome = {0};
    struct ws_reader reader;
    struct ws_deflate_terms terms = terms_of(bits);
    size_t limit = limit_of(bits);
    ws_reader_init(&reader, limit, &terms, &memory);
    for (size_t at = 0, n = step; at < size; at += n) {
        n = step < size - at ? step : size - at;
        if (!feed(&reader, input + at, n, limit, &outcome))
            break;
    }
    outcome.error = reader.error;
    ws_reader_free(&reader);
    require(held == 0);
    return outcome;
}

/* Masks a server's frame, as a client's would be, and reads it. */
static enum ws_event deliver(struct ws_reader *reader, const struct ws_piece *piece,
                             struct str *payload)
{
    static const uint8_t key[4] = {1, 2, 3, 4};
    static char frame[WS_HEADER_MAX + ROOM];
    size_t consumed, size = piece->header_size;
    require(piece->payload.n <= ROOM);
    memcpy(frame, piece->header, size);
    frame[1] = (char)(frame[1] | 0x80);
    memcpy(frame + size, key, sizeof(key));
    size += sizeof(key);
    ws_mask(frame + size, piece->payload.p, piece->payload.n, key, 0);
    size += piece->payload.n;
    enum ws_event event = ws_reader_next(reader, frame, size, &consumed, payload);
    require(consumed == size);
    return event;
}

/* Pieces of the input as messages, all of them by one deflater and one reader. */
static void round_trip(uint8_t bits, const uint8_t *input, size_t size, size_t step)
{
    char room[ROOM];
    struct ws_reader reader;
    struct ws_deflate_terms terms = terms_of(bits | 2);
    struct ws_deflater *deflater =
        ws_deflater_new(&memory, terms.server_window, terms.server_takeover);
    require(deflater != NULL);
    ws_reader_init(&reader, size, &terms, &memory);
    for (size_t at = 0, n = step; at < size; at += n) {
        struct ws_writer writer;
        struct ws_piece piece;
        struct str payload;
        n = step < size - at ? step : size - at;
        ws_writer_begin(&writer, WS_BINARY, (struct str){(const char *)input + at, n}, deflater);
        do {
            ws_writer_next(&writer, room, WS_DEFLATE_ROOM + step % (ROOM - WS_DEFLATE_ROOM),
                           &piece);
            enum ws_event event = deliver(&reader, &piece, &payload);
            require(event == (piece.last ? WS_EVENT_BINARY : WS_EVENT_MORE));
        } while (!piece.last);
        require(payload.n == n && memcmp(payload.p, input + at, n) == 0);
    }
    ws_reader_free(&reader);
    ws_deflater_free(deflater);
    require(held == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < SETTINGS + 1)
        return 0;
    uint8_t bits = input[0];
    size_t step = input[1] + 1u;
    bool frames = (input[2] & 1) == 0;
    input += SETTINGS;
    size -= SETTINGS;
    if (!frames) {
        round_trip(bits, input, size, step * 7);
        return 0;
    }
    struct outcome whole = read_frames(bits, input, size, size);
    struct outcome pieces = read_frames(bits, input, size, step);
    require(whole.events == pieces.events && whole.hash == pieces.hash);
    require(whole.error == pieces.error);
    return 0;
}
