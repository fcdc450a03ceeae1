#include "proto/websocket/reader.h"

#include "proto/websocket/close.h"
#include "proto/websocket/mask.h"
#include "proto/websocket/utf8.h"

#include <assert.h>

/*
 *   HEADER ─▶ PAYLOAD ─▶ HEADER
 *      └─────────┴─▶ CLOSED, FAILED
 */
enum state {
    HEADER,
    PAYLOAD,
    CLOSED,
    FAILED,
};

void ws_reader_init(struct ws_reader *reader, size_t limit, const struct ws_deflate_terms *deflate,
                    const struct ws_memory *memory)
{
    *reader = (struct ws_reader){.deflate = *deflate};
    ws_frame_init(&reader->frame);
    ws_buffer_init(&reader->message, limit, memory);
}

void ws_reader_free(struct ws_reader *reader)
{
    ws_inflater_free(reader->inflater);
    reader->inflater = NULL;
    ws_buffer_free(&reader->message);
}

static enum ws_event fail(struct ws_reader *reader, enum ws_error error)
{
    reader->state = FAILED;
    reader->error = (uint8_t)error;
    ws_reader_free(reader);
    return WS_EVENT_FAILED;
}

static bool make_inflater(struct ws_reader *reader)
{
    if (reader->inflater == NULL)
        reader->inflater = ws_inflater_new(reader->message.memory, reader->deflate.client_window);
    return reader->inflater != NULL;
}

/* The first frame of a message, or a continuation of one. */
static enum ws_error begin_data(struct ws_reader *reader)
{
    const struct ws_frame *frame = &reader->frame;
    bool first = frame->opcode != WS_CONTINUATION;
    if (first != (reader->opcode == 0))
        return first ? WS_MESSAGE_OPEN : WS_NO_MESSAGE;
    if (first) {
        reader->opcode = frame->opcode;
        reader->compressed = frame->compressed;
        reader->text = WS_UTF8_START;
    }
    if (reader->compressed)
        return make_inflater(reader) ? WS_NO_ERROR : WS_NO_MEMORY;
    return frame->length > reader->message.limit - reader->message.size ? WS_TOO_LARGE
                                                                        : WS_NO_ERROR;
}

static enum ws_error begin_frame(struct ws_reader *reader)
{
    reader->state = PAYLOAD;
    reader->left = reader->frame.length;
    if (!ws_is_control(reader->frame.opcode))
        return begin_data(reader);
    reader->control_size = 0;
    return WS_NO_ERROR;
}

static uint64_t position(const struct ws_reader *reader)
{
    return reader->frame.length - reader->left;
}

static enum ws_error check_text(struct ws_reader *reader, const char *bytes, size_t size)
{
    if (reader->opcode != WS_TEXT || ws_utf8_check(&reader->text, bytes, size))
        return WS_NO_ERROR;
    return WS_BAD_TEXT;
}

static enum ws_error append_plain(struct ws_reader *reader, const char *data, size_t size)
{
    struct ws_buffer *message = &reader->message;
    if (size == 0)
        return WS_NO_ERROR;
    if (!ws_buffer_reserve(message, size))
        return WS_NO_MEMORY;
    char *to = message->data + message->size;
    ws_mask(to, data, size, reader->frame.key, position(reader));
    message->size += size;
    return check_text(reader, to, size);
}

/* A bad character counts before a message that is too large: it stands earlier in it. */
static enum ws_error append_compressed(struct ws_reader *reader, char *data, size_t size)
{
    struct ws_buffer *message = &reader->message;
    size_t before = message->size;
    ws_mask(data, data, size, reader->frame.key, position(reader));
    enum ws_error error = ws_inflate(reader->inflater, data, size, message);
    if (message->size == before)
        return error;
    enum ws_error text = check_text(reader, message->data + before, message->size - before);
    return text != WS_NO_ERROR ? text : error;
}

static enum ws_error end_inflating(struct ws_reader *reader)
{
    struct ws_buffer *message = &reader->message;
    size_t before = message->size;
    enum ws_error error = ws_inflate_end(reader->inflater, message);
    if (error == WS_NO_ERROR && message->size > before)
        error = check_text(reader, message->data + before, message->size - before);
    if (!reader->deflate.client_takeover) {
        ws_inflater_free(reader->inflater);
        reader->inflater = NULL;
    }
    return error;
}

static enum ws_event end_message(struct ws_reader *reader, struct str *payload)
{
    enum ws_error error = reader->compressed ? end_inflating(reader) : WS_NO_ERROR;
    if (error == WS_NO_ERROR && !ws_utf8_complete(reader->text))
        error = WS_BAD_TEXT;
    if (error != WS_NO_ERROR)
        return fail(reader, error);
    bool text = reader->opcode == WS_TEXT;
    if (payload->p == NULL)
        *payload = (struct str){reader->message.size > 0 ? reader->message.data : "",
                                reader->message.size};
    reader->opcode = 0;
    return text ? WS_EVENT_TEXT : WS_EVENT_BINARY;
}

/* A message that is one frame and stands in data: nothing is copied. */
static enum ws_error unmask_whole(struct ws_reader *reader, char *data, struct str *payload)
{
    size_t size = (size_t)reader->left;
    ws_mask(data, data, size, reader->frame.key, 0);
    *payload = (struct str){data, size};
    return check_text(reader, data, size);
}

static enum ws_event take_data(struct ws_reader *reader, char *data, size_t size,
                               struct str *payload)
{
    const struct ws_frame *frame = &reader->frame;
    bool whole = frame->fin && frame->opcode != WS_CONTINUATION && size == frame->length;
    enum ws_error error;
    if (reader->compressed)
        error = append_compressed(reader, data, size);
    else if (whole && size > 0)
        error = unmask_whole(reader, data, payload);
    else
        error = append_plain(reader, data, size);
    if (error != WS_NO_ERROR)
        return fail(reader, error);
    reader->left -= size;
    if (reader->left > 0)
        return WS_EVENT_MORE;
    reader->state = HEADER;
    ws_frame_init(&reader->frame);
    return frame->fin ? end_message(reader, payload) : WS_EVENT_MORE;
}

static enum ws_event end_close(struct ws_reader *reader, struct str *payload)
{
    enum ws_error error = ws_close_read(*payload, &reader->code, payload);
    if (error != WS_NO_ERROR)
        return fail(reader, error);
    reader->state = CLOSED;
    return WS_EVENT_CLOSE;
}

static enum ws_event take_control(struct ws_reader *reader, const char *data, size_t size,
                                  struct str *payload)
{
    ws_mask(reader->control + reader->control_size, data, size, reader->frame.key,
            position(reader));
    reader->control_size = (uint8_t)(reader->control_size + size);
    reader->left -= size;
    if (reader->left > 0)
        return WS_EVENT_MORE;
    reader->state = HEADER;
    ws_frame_init(&reader->frame);
    *payload = (struct str){reader->control, reader->control_size};
    if (reader->frame.opcode == WS_CLOSE)
        return end_close(reader, payload);
    return reader->frame.opcode == WS_PING ? WS_EVENT_PING : WS_EVENT_PONG;
}

static enum ws_event take_payload(struct ws_reader *reader, char *data, size_t size, size_t *used,
                                  struct str *payload)
{
    *used = reader->left < size ? (size_t)reader->left : size;
    if (ws_is_control(reader->frame.opcode))
        return take_control(reader, data, *used, payload);
    return take_data(reader, data, *used, payload);
}

/* One header, or what there is of one. MORE with the state PAYLOAD: it is whole. */
static enum ws_event take_header(struct ws_reader *reader, const char *data, size_t size,
                                 size_t *used)
{
    enum ws_frame_result result =
        ws_frame_read(&reader->frame, data, size, reader->deflate.agreed, used);
    if (result == WS_FRAME_MORE)
        return WS_EVENT_MORE;
    enum ws_error error =
        result == WS_FRAME_READY ? begin_frame(reader) : (enum ws_error)reader->frame.error;
    return error == WS_NO_ERROR ? WS_EVENT_MORE : fail(reader, error);
}

/* The message that the last call gave is no longer needed. */
static void drop_message(struct ws_reader *reader)
{
    if (reader->opcode == 0)
        ws_buffer_free(&reader->message);
}

enum ws_event ws_reader_next(struct ws_reader *reader, char *data, size_t size, size_t *consumed,
                             struct str *payload)
{
    enum ws_event event = reader->state == FAILED   ? WS_EVENT_FAILED
                          : reader->state == CLOSED ? WS_EVENT_CLOSE
                                                    : WS_EVENT_MORE;
    *consumed = 0;
    *payload = (struct str){NULL, 0};
    drop_message(reader);
    while (event == WS_EVENT_MORE && *consumed < size) {
        size_t used = 0;
        if (reader->state == HEADER)
            event = take_header(reader, data + *consumed, size - *consumed, &used);
        *consumed += used;
        if (event != WS_EVENT_MORE || reader->state != PAYLOAD)
            continue;
        event = take_payload(reader, data + *consumed, size - *consumed, &used, payload);
        *consumed += used;
    }
    if (event == WS_EVENT_FAILED)
        *payload = (struct str){NULL, 0};
    return event;
}

bool ws_reader_take(struct ws_reader *reader, struct ws_buffer *message)
{
    assert(reader->opcode == 0);
    *message = reader->message;
    ws_buffer_init(&reader->message, message->limit, message->memory);
    return message->data != NULL;
}
