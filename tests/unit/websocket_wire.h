#ifndef TESTS_UNIT_WEBSOCKET_WIRE_H
#define TESTS_UNIT_WEBSOCKET_WIRE_H

#include "base/writer.h"
#include "proto/websocket/close.h"
#include "proto/websocket/mask.h"
#include "proto/websocket/reader.h"

#include <stdint.h>
#include <stdlib.h>

/*
 * The client's side of a WebSocket in tests: frames as a client sends them, and the transcript of
 * what a reader makes of them. Not assert(): these tests also run where it is compiled away.
 */

static inline void wire_require(bool condition)
{
    if (!condition)
        abort();
}

/* First bytes of frames. */
enum { FIN = 0x80, RSV1 = 0x40, TEXT = FIN | WS_TEXT, BINARY = FIN | WS_BINARY, LAST = FIN };
enum { PING = FIN | WS_PING, PONG = FIN | WS_PONG, CLOSE = FIN | WS_CLOSE };

struct wire {
    char *data;
    size_t size;
    uint32_t frames; /* so far: each has another key */
};

static inline void wire_bytes(struct wire *wire, const void *bytes, size_t n)
{
    wire->data = realloc(wire->data, wire->size + n + 1);
    wire_require(wire->data != NULL);
    if (n > 0)
        memcpy(wire->data + wire->size, bytes, n);
    wire->size += n;
}

/* A masked header whose length takes `bytes` bytes of its own: 0, 2 or 8. */
static inline void wire_header(struct wire *wire, unsigned first, uint64_t length, unsigned bytes,
                               const uint8_t key[4])
{
    uint8_t header[WS_HEADER_MAX] = {(uint8_t)first};
    header[1] = (uint8_t)(0x80 | (bytes == 0 ? length : bytes == 2 ? 126u : 127u));
    for (unsigned i = 0; i < bytes; i++)
        header[2 + i] = (uint8_t)(length >> 8 * (bytes - 1 - i));
    memcpy(header + 2 + bytes, key, 4);
    wire_bytes(wire, header, 6 + bytes);
}

static inline void wire_frame(struct wire *wire, unsigned first, const void *payload, size_t n)
{
    uint32_t seed = (++wire->frames) * 2654435761u;
    uint8_t key[4];
    memcpy(key, &seed, sizeof(key));
    wire_header(wire, first, n, n < 126 ? 0 : n <= UINT16_MAX ? 2 : 8, key);
    wire_bytes(wire, payload, n);
    for (size_t i = 0; i < n; i++)
        wire->data[wire->size - n + i] = (char)(wire->data[wire->size - n + i] ^ key[i & 3]);
}

static inline void wire_free(struct wire *wire)
{
    free(wire->data);
    *wire = (struct wire){0};
}

static inline uint32_t wire_hash(struct str bytes)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < bytes.n; i++)
        hash = (hash ^ (uint8_t)bytes.p[i]) * 16777619u;
    return hash;
}

/* T(text), B(binary), P(ping), O(pong), C1000(reason), F1002; long payloads as size and hash. */
static inline void transcript_add(struct writer *transcript, enum ws_event event,
                                  const struct ws_reader *reader, struct str payload)
{
    static const char names[] = " TBPOCF";
    writer_format(transcript, "%c", names[event]);
    if (event == WS_EVENT_CLOSE)
        writer_format(transcript, "%u", reader->code);
    if (event == WS_EVENT_FAILED) {
        wire_require(payload.n == 0);
        writer_format(transcript, "%u", ws_error_code((enum ws_error)reader->error));
        return;
    }
    writer_text(transcript, "(");
    if (payload.n <= WS_CONTROL_MAX)
        writer_escape(transcript, payload, false);
    else
        writer_format(transcript, "%zu:%08x", payload.n, wire_hash(payload));
    writer_text(transcript, ")");
}

/*
 * Gives the reader `size` bytes in a block of their own, and adds what it makes of them. Returns
 * false when nothing may follow.
 */
static inline bool transcript_feed(struct writer *transcript, struct ws_reader *reader,
                                   const char *bytes, size_t size)
{
    char *data = malloc(size > 0 ? size : 1);
    enum ws_event event;
    size_t at = 0;
    wire_require(data != NULL);
    memcpy(data, bytes, size);
    do {
        struct str payload;
        size_t consumed;
        event = ws_reader_next(reader, data + at, size - at, &consumed, &payload);
        wire_require(consumed <= size - at);
        at += consumed;
        wire_require(event != WS_EVENT_MORE || at == size);
        if (event != WS_EVENT_MORE)
            transcript_add(transcript, event, reader, payload);
    } while (event != WS_EVENT_MORE && event < WS_EVENT_CLOSE);
    free(data);
    return event < WS_EVENT_CLOSE;
}

#endif
