#include "proc/port/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

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

/* ---- the output of a child ---- */

static void begin_output(struct control *control, struct port_client *client, int fd, int64_t now)
{
    fcntl(fd, F_SETFL, O_NONBLOCK);
    writer_init(&control->text, CONTROL_OUTPUT);
    control->output.fd = fd;
    control->output.deadline = now + CONTROL_OUTPUT_MS;
    control->reader = client;
    port_wait(client, now, 2 * CONTROL_OUTPUT_MS);
}

static void end_output(struct control *control)
{
    if (control->output.fd >= 0)
        close(control->output.fd);
    control->output.fd = -1;
    control->output.deadline = INT64_MAX;
    control->reader = NULL;
    writer_free(&control->text);
}

/* The child is done, or is not waited for: answers the client if there is one. */
static int answer_output(struct control *control, bool complete, int64_t now)
{
    struct arbiter *a = control->status->arbiter;
    struct port_client *client = control->reader;
    struct writer nowhere, *out = client ? &client->answer : &nowhere;
    struct str output = {control->text.data, control->text.size};

    writer_init(&nowhere, PORT_ANSWER);
    int result = a->host->collected(a->ctx, output, complete, out);
    end_output(control);
    writer_free(&nowhere);
    if (result < 0 || !client)
        return result;
    end_answer(out);
    return port_answer_late(client, now);
}

static int on_output(struct pollable *self, short revents, int64_t now)
{
    struct control *control = list_entry(self, struct control, output);
    char bytes[16 * 1024];
    ssize_t n = -1;

    if (control->output.fd < 0)
        return 0;
    if (revents) {
        n = read(control->output.fd, bytes, sizeof(bytes));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (n > 0)
            writer_add(&control->text, bytes, (size_t)n);
        if (n > 0 && !control->text.error)
            return 0;
    }
    return answer_output(control, n == 0, now);
}

static void gone(struct port_client *client)
{
    struct control *control = client->port->ctx;

    status_end_dump(control->status, client);
    if (control->reader != client)
        return;
    control->reader = NULL;
    pollable_wake(&control->output); /* its child is ended */
}

static int received(struct port_client *client, int64_t now)
{
    struct arbiter *a = status_of(client)->arbiter;
    struct arbiter_rest rest = {.fd = -1};
    size_t length = client->size < CONTROL_LENGTH ? 0 : read_length(client->input);

    if (length > CONTROL_REQUEST)
        refuse(client, now);
    if (length > CONTROL_REQUEST || client->size < CONTROL_LENGTH + length)
        return 0;
    begin_answer(&client->answer);
    struct str request = {client->input + CONTROL_LENGTH, length};
    int result = a->host->command(a->ctx, request, &client->answer, &rest);
    if (result < 0)
        return result;
    port_consume(client, CONTROL_LENGTH + length);
    if (rest.fd >= 0)
        begin_output(client->port->ctx, client, rest.fd, now);
    else if (rest.stack_of > 0)
        answer_stack(client, rest.stack_of, now);
    if (rest.fd >= 0 || rest.stack_of > 0)
        return 0;
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
    pollable_init(&control->output, on_output);
    control->output.events = POLLIN;
    pollables_add(&status->arbiter->pollables, &control->output);
}

void control_close(struct control *control)
{
    port_close(&control->port);
    pollable_remove(&control->output);
    end_output(control);
}

void control_listen(struct control *control, int fd, bool own_user)
{
    control->port.own_user = own_user;
    port_listen(&control->port, fd);
}
