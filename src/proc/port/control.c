#include "proc/port/control.h"

#include <stdint.h>

static void cannot_answer(void *ctx, int error)
{
    struct arbiter *a = ((struct control *)ctx)->arbiter;

    a->host->cannot_answer(a->ctx, error);
}

static size_t read_length(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;

    return (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
}

/* The length of an answer is known when the answer is written. */
static void begin_answer(struct writer *out)
{
    static const char unknown[CONTROL_LENGTH];

    writer_add(out, unknown, sizeof(unknown));
}

static void end_answer(struct writer *out)
{
    if (out->error) /* the port drops the client */
        return;
    uint32_t length = (uint32_t)(out->size - CONTROL_LENGTH);

    for (int i = 0; i < CONTROL_LENGTH; i++)
        out->data[i] = (char)(length >> (8 * (CONTROL_LENGTH - 1 - i)));
}

/* The rest of the request would have to be read to find the next one: this is the last answer. */
static void refuse(struct port_client *client, int64_t now)
{
    begin_answer(&client->answer);
    writer_format(&client->answer,
                  "{\"id\": 0, \"status\": \"error\", "
                  "\"error\": \"the request is longer than %d bytes\"}",
                  CONTROL_REQUEST);
    end_answer(&client->answer);
    port_end(client, now);
}

static int received(struct port_client *client, int64_t now)
{
    struct arbiter *a = ((struct control *)client->port->ctx)->arbiter;
    size_t length = client->size < CONTROL_LENGTH ? 0 : read_length(client->input);

    if (length > CONTROL_REQUEST)
        refuse(client, now);
    if (length > CONTROL_REQUEST || client->size < CONTROL_LENGTH + length)
        return 0;
    begin_answer(&client->answer);
    struct str request = {client->input + CONTROL_LENGTH, length};
    int result = a->host->command(a->ctx, request, &client->answer);
    if (result < 0)
        return result;
    end_answer(&client->answer);
    port_consume(client, CONTROL_LENGTH + length);
    port_answer(client, now);
    return 0;
}

static const struct port_protocol control_protocol = {
    .input_max = CONTROL_LENGTH + CONTROL_REQUEST,
    .limit_ms = CONTROL_MS,
    .lasts = true,
    .received = received,
    .failed = cannot_answer,
};

void control_open(struct control *control, struct arbiter *arbiter)
{
    *control = (struct control){.arbiter = arbiter};
    port_init(&control->port, &arbiter->pollables, &control_protocol, control);
}

void control_close(struct control *control)
{
    port_close(&control->port);
}

void control_listen(struct control *control, int fd, bool own_user)
{
    control->port.own_user = own_user;
    port_listen(&control->port, fd);
}
