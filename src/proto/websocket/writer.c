#include "proto/websocket/writer.h"

void ws_writer_begin(struct ws_writer *writer, enum ws_opcode opcode, struct str payload,
                     struct ws_deflater *deflater)
{
    *writer = (struct ws_writer){
        .left = payload,
        .deflater = payload.n > 0 ? deflater : NULL,
        .opcode = (uint8_t)opcode,
    };
}

static void next_plain(struct ws_writer *writer, struct ws_piece *piece)
{
    size_t n = writer->left.n < WS_FRAGMENT ? writer->left.n : WS_FRAGMENT;
    piece->payload = (struct str){writer->left.p, n};
    writer->left.p += n;
    writer->left.n -= n;
    piece->last = writer->left.n == 0;
}

void ws_writer_next(struct ws_writer *writer, char *room, size_t size, struct ws_piece *piece)
{
    if (writer->deflater != NULL)
        piece->payload = (struct str){
            room, ws_deflate(writer->deflater, &writer->left, room, size, &piece->last)};
    else
        next_plain(writer, piece);
    enum ws_opcode opcode = writer->begun ? WS_CONTINUATION : (enum ws_opcode)writer->opcode;
    bool compressed = !writer->begun && writer->deflater != NULL;
    piece->header_size =
        (uint8_t)ws_frame_write(piece->header, opcode, piece->last, compressed, piece->payload.n);
    writer->begun = true;
}
