#ifndef NET_WAKE_PIPE_H
#define NET_WAKE_PIPE_H

/* A pipe that ends the wait of a loop, for systems without eventfd. */
struct wake_pipe {
    int read, write; /* neither blocks, and no child keeps them */
};

/* 0, or -1 with errno. */
int wake_pipe_open(struct wake_pipe *pipe);
void wake_pipe_close(struct wake_pipe *pipe);

/* The end `read` becomes readable. Thread-safe and async-signal-safe, errno stays. 0, or an error
 * number. */
int wake_pipe_write(struct wake_pipe *pipe);

/* It is readable no more. */
void wake_pipe_drain(struct wake_pipe *pipe);

#endif
