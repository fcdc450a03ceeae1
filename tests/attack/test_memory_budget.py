"""Clients that make a worker hold much: what all occupy together is bounded, and given back."""

import re
import selectors
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers.server import SANITIZED, Stopwatch, assert_soon
from helpers.status_port import Port
from helpers.wire import render, wait_until

MEMORY_KIB = 32 << 10
BUDGET = ("--client-memory", f"{MEMORY_KIB}K")

#: KiB of a worker beside what its clients occupy: each of its threads makes answers of 8 MiB, and
#: has a heap of malloc's that keeps as much.
BESIDE_KIB = 80 << 10

#: Seconds that an honest client may wait.
SOON = 10.0 if SANITIZED else 2.0

pytestmark = [
    pytest.mark.parametrize("worker", ["sync", "gthread"], indirect=True, scope="session"),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc"),
]


class Crowd:
    """Clients of one worker, and what it occupies."""

    def __init__(self, server, stack):
        self.server = server
        self.stack = stack
        assert server.request().status == 200
        (self.pid,) = server.worker_pids()
        self.before = self.anonymous_kib()

    def anonymous_kib(self):
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", text)[1])

    def grown_kib(self):
        return self.anonymous_kib() - self.before

    def figure(self, name):
        return Port.private(self.server.pid).figures()[f"gunicorn_worker_client_{name}", "0"]

    def connect(self, count, **options):
        connect = self.server.connect
        return [self.stack.enter_context(connect(**options)) for _ in range(count)]

    def assert_bounded(self):
        """So is the memory, and an honest client is served."""
        assert self.figure("memory_bytes") <= MEMORY_KIB << 10
        assert SANITIZED or self.grown_kib() < MEMORY_KIB + BESIDE_KIB
        assert_soon(SOON, self.ask)
        assert self.server.worker_pids() == [self.pid]

    def ask(self):
        watch = Stopwatch()
        assert self.server.request("POST", "/", body=b"y" * 20_000).status == 200
        return watch.seconds

    def assert_given_back(self):
        self.stack.close()
        wait_until(lambda: self.figure("memory_bytes") < 4 << 20, "memory is free again")
        wait_until(lambda: self.figure("disk_bytes") == 0, "and so is the disk")
        if not SANITIZED:
            wait_until(lambda: self.grown_kib() < BESIDE_KIB, self.grown_kib, 60)


@pytest.fixture
def crowd(gunicorn):
    with ExitStack() as stack:
        yield Crowd(gunicorn("busy", *BUDGET, expect_trouble=True), stack)


def push(connections, data, sent=None):
    """Sends the same on all of them, as far as the server takes it; returns how much each took."""
    sent = sent or dict.fromkeys(connections, 0)
    with selectors.DefaultSelector() as waiting:
        for connection in connections:
            if sent[connection] < len(data):
                connection.sock.setblocking(False)
                waiting.register(connection.sock, selectors.EVENT_WRITE, connection)
        while waiting.get_map() and (ready := waiting.select(1.0)):
            for key, _ in ready:
                connection = key.data
                start = sent[connection]
                sent[connection] += connection.sock.send(data[start : start + 65536])
                if sent[connection] == len(data):
                    waiting.unregister(connection.sock)
    for connection in connections:
        connection.sock.setblocking(True)
        connection.sock.settimeout(60)
    return sent


def test_readers_that_do_not_read(crowd):
    """32 answers of 8 MiB, of which the first part of each was kept in memory without a bound."""
    connections = crowd.connect(32, receive_buffer=4096)
    for connection in connections:
        connection.send(render(target="/large"))
    for connection in connections:
        connection.await_answer()
    crowd.assert_bounded()
    assert crowd.figure("disk_bytes") > 0
    body = connections[-1].read_response().body
    assert (len(body), body.count(b"x")) == (8 << 20, 8 << 20)
    crowd.assert_given_back()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_uploads_that_do_not_end(crowd, framing):
    """100 bodies of 1 MiB, whose last byte does not come: they go to files."""
    connections = crowd.connect(100)
    body = bytes(range(256)) * 4096
    if framing == "length":
        data = render("POST", "/", body=body)
    else:
        pieces = b"".join(b"1000\r\n%b\r\n" % body[n : n + 4096] for n in range(0, 1 << 20, 4096))
        data = render("POST", "/", [("Transfer-Encoding", "chunked")]) + pieces + b"0\r\n\r\n"
    push(connections, data[:-1])
    wait_until(lambda: crowd.figure("disk_bytes") > 16 << 20, "they are in files")
    crowd.assert_bounded()
    for connection in (connections[0], connections[-1]):
        connection.send(data[-1:])
        assert b'"size": 1048576' in connection.read_response().body
    crowd.assert_given_back()


def test_heads_that_do_not_end(crowd):
    """100 heads of 390 KiB: their clients are not read from until there is room."""
    connections = crowd.connect(100)
    head = render(headers=[(f"X-{n}", "a" * 8000) for n in range(48)])
    sent = push(connections, head[:-2])
    crowd.server.wait_for_log(
        "Clients that send much have to wait: clients occupy .* client_memory"
    )
    crowd.assert_bounded()
    assert crowd.server.log.count("have to wait") <= 2
    first, *others = connections
    for connection in others:
        connection.close()
    push([first], head, sent)
    assert first.read_response().status == 200
    crowd.assert_given_back()


def test_a_stream_does_not_run_ahead(gunicorn, worker):
    """A generator of 100 MiB waits for its client; who reads on gets all of it."""
    server = gunicorn("busy", "--stream-window", "1M")
    port = Port.private(server.pid)
    with server.connect(receive_buffer=1 << 18) as connection:

        def occupied():
            figures = port.figures()
            names = ("memory_bytes", "disk_bytes")
            return sum(figures[f"gunicorn_worker_client_{name}", "0"] for name in names)

        connection.send(render(target="/stream"))
        assert connection.read_head().status == 200
        wait_until(lambda: occupied() > 512 << 10, "the window fills")
        for _ in range(5):
            time.sleep(0.1)  # to run ahead, if it did
            assert occupied() < 2 << 20
        if worker == "gthread":
            server.kill(1)  # HUP: who reads in time is served by the old worker to the end
        size = 0
        while chunk := connection.read_chunk():
            size += len(chunk)
        assert size == 1600 * 65536


def test_a_client_of_a_stream_that_leaves(gunicorn):
    """The thread that waits for it is free at once."""
    server = gunicorn("busy", "--stream-window", "1M")
    connection = server.connect(receive_buffer=4096)
    connection.send(render(target="/stream"))
    connection.await_answer()
    connection.abort()
    assert server.request().status == 200
