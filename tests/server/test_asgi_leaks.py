"""An ASGI request or WebSocket leaves nothing in its worker, however it has ended.

LEAK_RUNS=1000 has each kind run as often between two looks.
"""

from __future__ import annotations

import contextlib
import os

import pytest
from helpers.asgi_scripts import read_to_close
from helpers.server import SANITIZED
from helpers.websocket import CLOSE, frame, handshake
from helpers.wire import WireError, render, wait_until

RUNS = int(os.environ.get("LEAK_RUNS", "24"))
AT_ONCE = 12
ROUNDS = 80

pytestmark = pytest.mark.skipif(SANITIZED, reason="memory is not what it is otherwise")


# Clients: generators that send, and then take what comes.


def get(target, **options):
    """Takes the answer."""

    def run(connection):
        connection.send(render(target=target, **options))
        yield
        with contextlib.suppress(WireError):
            connection.read_response()

    return run


def leave(target, *, head=False, body=b"", cut=0):
    """Resets its connection, with part of the request sent, or the answer begun."""

    def run(connection):
        headers = [("Content-Length", str(len(body) + 9))] if body else []
        data = render("POST" if body else "GET", target, headers) + body
        connection.send(data[: len(data) - cut])
        yield
        if head:
            connection.read_head()
        connection.abort()

    return run


def pipeline(connection):
    connection.send(render("POST", "/echo", body=b"x" * 100) * 5)
    yield
    for _ in range(5):
        assert connection.read_response("POST").status == 200


def say_nothing(connection):
    yield


def speak(target, *frames, reset=True):
    """A WebSocket that is reset after these frames, or closed."""

    def run(connection):
        connection.send(handshake(target) + b"".join(frames))
        yield
        if reset:
            connection.read_head()
            connection.abort()
        else:
            connection.send_if_open(frame(CLOSE))
            read_to_close(connection)

    return run


HTTP = {
    "hello": get("/"),
    "kept and pipelined": pipeline,
    "half an upload": leave("/echo", body=b"abc", head=True),
    "body that is not received": leave("/wait", body=b"abc"),
    "leaves before the answer": leave("/wait"),
    "leaves a sender": leave("/flood", head=True),
    "leaves a sleeper": leave("/sleep"),
    "cancelled by request_timeout": get("/sleep?60"),
    "raises": get("/raise_before"),
    "raises between": get("/raise_between"),
    "raises after": get("/raise_after"),
    "no answer": get("/nothing"),
    "half an answer": get("/half"),
    "wrong message": get("/wrong?%5B%7B%22type%22%3A1%7D%5D"),
    "file": get("/send_path?/etc/hostname"),
    "trailers": get("/trailing", headers=[("TE", "trailers")]),
    "tasks": get("/tasks"),
    "background": get("/background?0.01"),
    "receives after the answer": get("/after"),
    "bare": say_nothing,
    "half a head": leave("/", cut=5),
    "malformed": get("/", headers=[("Content-Length", "x")]),
}
SOCKETS = {
    "scope that leads to itself": speak("/kept", frame(1, b"x")),
    "echo": speak("/echo", frame(1, b"x" * 1000), reset=False),
    "reset": speak("/echo", frame(1, b"x" * 1000)),
    "within a frame": speak("/echo", b"\x81\xfe"),
    "violation": speak("/echo", frame(3)),
    "does not listen": speak("/deaf"),
    "messages that are not taken": speak("/deaf", frame(2, bytes(5000))),
    "leaves senders": speak("/flood"),
    "returns": speak("/return_open", reset=False),
    "closes": speak("/close", reset=False),
    "raises": speak("/raise_open", frame(1), reset=False),
    "refused": speak("/refuse", reset=False),
    "refused by an answer": speak("/deny", reset=False),
}
LIMITS = ("--asgi-loop", "asyncio", "--asgi-disconnect-grace-period", "0")


@pytest.fixture(scope="module")
def http(share_asgi):
    return share_asgi("asgi_answers:app", *LIMITS, "--request-timeout", "0.3", expect_trouble=True)


@pytest.fixture(scope="module")
def sockets(share_asgi):
    return share_asgi("asgi_sockets:app", *LIMITS, expect_trouble=True)


@pytest.mark.parametrize("kind", HTTP)
def test_request_leaves_nothing(http, kind):
    assert_leaves_nothing(http, HTTP[kind])


@pytest.mark.parametrize("kind", SOCKETS)
def test_websocket_leaves_nothing(sockets, kind):
    assert_leaves_nothing(sockets, SOCKETS[kind])


def assert_leaves_nothing(server, run):
    """Tasks, timers, descriptors, and memory, which caches and free lists fill at first."""
    tasks, timers, files, blocks = settled(server, [3, 1, 1000])
    grown = []
    while not grown or grown[-1] > RUNS // 2:
        assert len(grown) < ROUNDS, f"{grown} blocks of memory are left of {RUNS} runs each"
        for _ in range(0, RUNS, AT_ONCE):
            wave(server, run)
        *_, now = settled(server, [tasks, timers, files])
        grown.append(now - blocks)
        blocks = now


def wave(server, run):
    """Several at a time."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(AT_ONCE)]
        runs = [run(client) for client in clients]
        for _ in range(2):
            for one in runs:
                next(one, None)


def settled(server, most):
    """The counts, once none but the last is above these."""

    def look():
        now = server.json(target="/counts")
        return all(a <= b for a, b in zip(now, most, strict=False)) and now

    return wait_until(look, lambda: f"{server.json(target='/counts')}, at most {most} wanted")
