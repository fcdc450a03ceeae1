"""A worker of few lines with a loop of its own, and applications for it.

What the master does is tested with it, so that a fault of the engine is not taken for the master's.
"""

from __future__ import annotations

import collections
import os
import select
import time

from helpers.gate import pass_gate

from gunicorn.workers.base import Worker


class PlainWorker(Worker):
    """Serves one connection after the other, one request on each."""

    def run(self) -> None:
        poll = select.poll()
        for fd in (self.PIPE[0], self.master_pipe, *(s.fileno() for s in self.sockets)):
            poll.register(fd, select.POLLIN)
        while self.alive:
            ready = [fd for fd, _ in poll.poll()]
            if self.master_pipe in ready:
                self.log.info("The master is gone")
                break
            if self.PIPE[0] in ready:
                os.read(self.PIPE[0], 512)
            self.accept_all()
        self.accept_all()

    def accept_all(self) -> None:
        for listener in self.sockets:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    break
                with client:
                    client.setblocking(True)
                    self.serve(client)

    def serve(self, client) -> None:
        head = client.recv(65536)
        if not head:
            return
        path = head.split(b" ")[1].decode()
        self.notify()
        body = b"".join(self.wsgi({"PATH_INFO": path}, lambda *_: None))
        client.sendall(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        self.slot.idle()
        self.nr += 1
        if self.nr == self.max_requests:
            self.log.info("Autorestarting worker after current request.")
            self.slot.retire()


def app(environ, start_response):
    """/sleep/N, /stuck (holds the interpreter in C), /gate/PATH, /env/NAME …; else the pid."""
    _, kind, *rest = environ["PATH_INFO"].split("/")
    if kind == "sleep":
        time.sleep(float(rest[0]))
    elif kind == "stuck":
        # it calls the C library, where a sanitizer looks for signals
        collections.deque(iter(time.monotonic, None), maxlen=0)
    elif kind == "gate":
        pass_gate("/" + "/".join(rest))
    text = {
        "env": lambda: os.environ.get(rest[0], ""),
        "cwd": os.getcwd,
        "ids": lambda: f"{os.getuid()} {os.getgid()}",
    }.get(kind, lambda: str(os.getpid()))()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text.encode()]


not_callable = 42
