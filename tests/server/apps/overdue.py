"""Requests that take too long, each in its own way. `/name?seconds`."""

import collections
import itertools
import os
import socket
import threading
import time

from gunicorn.errors import RequestTimeout

finished = []


def compute(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def cpu(environ, seconds):
    compute(seconds)


def sleep(environ, seconds):
    time.sleep(seconds)


def recv(environ, seconds):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(seconds)
        try:
            ours.recv(1)
        except TimeoutError:
            return "nothing came"


def lock(environ, seconds):
    one = threading.Lock()
    one.acquire()
    one.acquire(timeout=seconds)


def hold(environ, seconds):
    """C code that does not let go of the interpreter."""
    until = time.monotonic() + seconds
    collections.deque(itertools.takewhile(until.__gt__, iter(time.monotonic, None)), maxlen=0)


def catches(environ, seconds):
    """As a framework does that makes a page of every error."""
    try:
        compute(seconds)
    except Exception:
        return "swallowed"
    finally:
        finished.append("catches")


def swallows(environ, seconds):
    """Goes on whatever is raised."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            compute(until - time.monotonic())
        except BaseException:
            finished.append("swallows")


def answers(environ, seconds):
    try:
        compute(seconds)
    except RequestTimeout as exc:
        return f"gave up: {exc}"


def wraps(environ, seconds):
    try:
        compute(seconds)
    except BaseException as exc:
        raise ValueError("something else") from exc


def extends(environ, seconds):
    deadline = environ["gunicorn.deadline"]
    before = deadline.remaining
    deadline.extend(seconds)
    after = deadline.remaining
    compute(seconds)
    return f"{before} {after} {deadline.remaining}"


def extend_by(environ, value):
    try:
        environ["gunicorn.deadline"].extend(value)
    except (ValueError, TypeError) as exc:
        return f"{type(exc).__name__}: {exc}"
    return f"{environ['gunicorn.deadline'].remaining}"


kept = []


def keeps(environ, seconds):
    """What was kept of an earlier request says that it is over."""
    said = []
    for deadline in kept:
        for use in (lambda d=deadline: d.remaining, lambda d=deadline: d.extend(1)):
            try:
                said.append(str(use()))
            except RuntimeError as exc:
                said.append(str(exc))
    kept.append(environ["gunicorn.deadline"])
    return ", ".join(said)


def has(environ, seconds):
    return str("gunicorn.deadline" in environ)


def pid(environ, seconds):
    return str(os.getpid())


def done(environ, seconds):
    return " ".join(finished)


def near(environ, seconds):
    """Ends close to the deadline, with traps around all that is not the application's."""
    compute(seconds)


PAGES = {f"/{page.__name__}": page for page in (
    cpu, sleep, recv, lock, hold, catches, swallows, answers, wraps, extends, extend_by, keeps,
    has, pid, done, near,
)}  # fmt: skip


class Stream:
    """An answer whose second piece never comes."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __iter__(self):
        yield b"first"
        compute(self.seconds)
        yield b"second"

    def close(self):
        finished.append("closed")


def application(environ, start_response):
    path = environ["PATH_INFO"]
    seconds = float(environ["QUERY_STRING"] or 0)
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Stream(seconds)
    body = (PAGES[path](environ, seconds) or "done").encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
