"""Requests that keep a worker busy for as long as the test likes, in every worker class.

The application blocks in open() of a FIFO, which no event loop knows how to wait for, so that a
worker with an event loop is blocked, too. Applications and tests import this.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
from collections import defaultdict
from pathlib import Path

from helpers.wire import Connection, render, wait_until

LARGE = 8 << 20  # bytes of /large


def app(environ, start_response):
    """Say which process this is, and what came.

    /hold/NAME returns when the test lets it; /compute/NAME, too, and nobody else has the
    interpreter meanwhile, as beside a function in C that computes.
    """
    path = environ["PATH_INFO"]
    _, kind, name = path.split("/") if path.count("/") == 2 else ("", "", "")
    if kind:
        Path(f"{name}.begun").write_text(str(os.getpid()))
    if kind == "hold":
        with open(name, "rb"):
            pass
    elif kind == "compute":
        _compute(name)
    if path == "/large":
        start_response("200 OK", [("Content-Length", str(LARGE))])
        return [b"x" * LARGE]
    sent = environ["wsgi.input"].read()
    text = f"{os.getpid()} {path} {hashlib.sha256(sent).hexdigest()}"
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text.encode()]


def _compute(name: str) -> None:
    libc = ctypes.PyDLL(None)  # unlike CDLL it keeps the interpreter's lock
    while (fd := libc.open(name.encode(), os.O_RDONLY)) < 0:
        pass  # interrupted by a signal
    os.close(fd)


def worker_of(response) -> int:
    """The process that has answered."""
    assert response.status == 200, response
    return int(response.body.split()[0])


class Hold:
    """A request that runs until release(). `pid`: of the worker that it keeps busy."""

    def __init__(self, one, connection: Connection, kind: str = "hold") -> None:
        self.connection = connection
        self.directory = one.cwd
        self.name = f"hold{len(list(one.cwd.glob('hold*')))}"
        os.mkfifo(one.cwd / self.name)
        connection.send(render(target=f"/{kind}/{self.name}"))
        begun = one.cwd / f"{self.name}.begun"
        self.pid = int(wait_until(lambda: begun.exists() and begun.read_text(), "it is held"))

    def let_go(self) -> None:
        """Let the worker go on, if it still lives."""
        try:
            os.close(os.open(self.directory / self.name, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as exc:
            assert exc.errno == errno.ENXIO

    def release(self) -> None:
        """Let the worker go on, and read the answer."""
        wait_until(self._is_open, "somebody waits")
        response = self.connection.read_response()
        assert worker_of(response) == self.pid

    def _is_open(self) -> bool:
        try:
            os.close(os.open(self.directory / self.name, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as exc:
            assert exc.errno == errno.ENXIO
            return False
        return True


class Busy:
    """One worker all of whose threads are busy, and idle connections that it has."""

    def __init__(self, one, threads: int = 1, kept: int = 1) -> None:
        for _ in range(10):
            self._keep_busy(one, threads, kept)
            if all(hold.pid == self.pid for hold in self.holds):
                return
            # Its thread had no processor for some ticks: another worker took what waited.
            self.release()
        raise AssertionError(f"no worker keeps {threads} requests")

    def _keep_busy(self, one, threads: int, kept: int) -> None:
        found = defaultdict(list)
        while all(len(some) < threads + kept for some in found.values()):
            connection = one.connect()
            found[worker_of(connection.request())].append(connection)
        self.pid, connections = max(found.items(), key=lambda item: len(item[1]))
        self.kept = [connections.pop() for _ in range(kept)]
        self.holds = [Hold(one, connections.pop()) for _ in range(threads)]

    def release(self) -> None:
        for hold in self.holds:
            hold.release()

    def let_go(self) -> None:
        for hold in self.holds:
            hold.let_go()


def busy_workers(one, count: int = 2, threads: int = 1) -> list[Busy]:
    """So many busy workers, each with an idle connection. New clients come to who is not busy."""
    busy = []
    while len(busy) < count:
        busy.append(Busy(one, threads))
    assert len({each.pid for each in busy}) == count
    return busy
