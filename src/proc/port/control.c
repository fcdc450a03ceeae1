#include "proc/port/control.h"

#include <errno.h>
#include <stdint.h>

static void cannot_answer(void *ctx, int error)
{
    struct arbiter *a = ((struct control *)ctx)->status->arbiter;

    a->host->cannot_answer(a->ctx, error);
}

static struct status *status_of(const struct port_client *client)
{
    return ((struct control *)client->port->ctx)->status;
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

/* ---- stacks ---- */

static void write_data(struct port_client *client, const char *name, struct str text)
{
    struct writer *out = &client->answer;

    writer_text(out, name);
    writer_json(out, text);
    writer_text(out, "}}");
    end_answer(out);
}

static void write_stacks(struct port_client *client, struct writer *text, int64_t now)
{
    (void)now;
    if (text->error)
        client->answer.error = text->error;
    write_data(client, "\"stack\": ", (struct str){text->data, text->size});
}

static struct str why_no_dump(int error)
{
    return error == EBUSY    ? STR("another dump is being made: try again")
           : error == ENOSYS ? STR("this system has no such dumps")
                             : STR("no memory");
}

/* The answer ends with the stacks of a worker. */
static void answer_stack(struct port_client *client, pid_t pid, int64_t now)
{
    if (status_dump(status_of(client), client, pid, write_stacks, now) == 0)
        return;
    write_data(client, "\"success\": false, \"error\": ", why_no_dump(errno));
    port_answer(client, now);
}

static void gone(struct port_client *client)
{
    status_end_dump(status_of(client), client);
}

static int received(struct port_client *client, int64_t now)
{
    struct arbiter *a = status_of(client)->arbiter;
    pid_t stack_of = 0;
    size_t length = client->size < CONTROL_LENGTH ? 0 : read_length(client->input);

    if (length > CONTROL_REQUEST)
        refuse(client, now);
    if (length > CONTROL_REQUEST || client->size < CONTROL_LENGTH + length)
        return 0;
    begin_answer(&client->answer);
    struct str request = {client->input + CONTROL_LENGTH, length};
    int result = a->host->command(a->ctx, request, &client->answer, &stack_of);
    if (result < 0)
        return result;
    port_consume(client, CONTROL_LENGTH + length);
    if (stack_of > 0) {
        answer_stack(client, stack_of, now);
        return 0;
    }
    end_answer(&client->answer);
    port_answer(client, now);
    return 0;
}

static const struct port_protocol control_protocol = {
    .input_max = CONTROL_LENGTH + CONTROL_REQUEST,
    .limit_ms = CONTROL_MS,
    .lasts = true,
    .received = received,
    .gone = gone,
    .failed = cannot_answer,
};

void control_open(struct control *control, struct status *status)
{
    *control = (struct control){.status = status};
    port_init(&control->port, &status->arbiter->pollables, &control_protocol, control);
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
