"""Many requests of each kind leave nothing behind: no object, no reference, no byte."""

import itertools
import json
import os

import pytest
from helpers.server import SANITIZED, resident_kib
from helpers.wire import WireError, chunked, render

#: Requests of each kind that are counted; twice as many come before to warm up. One block that is
#: lost with each is more than the slack.
ROUNDS = int(os.environ.get("GUNICORN_MEMORY_ROUNDS", "240"))

#: Kinds that take long because of their log lines or sizes, with fewer rounds.
SLOW_ROUNDS = min(ROUNDS, 100)
SLOW = {"raises", "raises-later", "wrong-header", "wrong-body", "no-start", "deaf", "large"}

#: What may differ between two measurements without growing.
SLACK = {"blocks": 150, "objects": 60, "descriptors": 2, "threads": 1}

RESIDENT_SLACK_KIB = 1024


class Client:
    """Sends requests on a connection that is renewed when the server closes it."""

    def __init__(self, server):
        self.server = server
        self.connection = None

    def exchange(self, data, method="GET"):
        if self.connection is None:
            self.connection = self.server.connect()
        self.connection.send(data)
        try:
            kept = self.connection.read_response(method).keeps_alive
        except WireError:
            kept = False
        if not kept:
            self.close()

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def same(data, method="GET"):
    """The same request again and again."""

    def run(client, n):
        client.exchange(data, method)

    return run


def varying(client, n):
    """A browser's headers, of which some change."""
    fields = [
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("Accept", "text/html,application/xhtml+xml"),
        ("Cookie", f"session={n * 7919}; other={'x' * (n % 50)}"),
        (f"X-Header-{n % 300}", str(n)),
        ("X-Latin", "caf\xe9"),
    ]
    client.exchange(render(target=f"/hello?n={n}&{'y' * (n % 70)}", headers=fields))


def closing(client, n):
    client.exchange(render(target="/hello", headers=[("Connection", "close")]))


def aborting(client, n):
    """The client goes away at some point of its upload."""
    data = render("POST", "/echo", body=b"x" * 3000)
    with client.server.connect() as connection:
        connection.send(data[: n * 31 % len(data)])
        connection.abort()


def deaf(client, n):
    """The client goes away in the middle of a large answer."""
    with client.server.connect(receive_buffer=4096) as connection:
        connection.send(render(target="/large"))
        connection.sock.recv(100)
        connection.abort()


def spooled(client, n):
    """A body that goes through a file, now and then."""
    if n % 50 == 0:
        client.exchange(render("POST", "/echo", body=b"x" * (2 << 20)))


def pipelined(client, n):
    if client.connection is None:
        client.connection = client.server.connect()
    client.connection.send(render(target="/hello") * 5)
    for _ in range(5):
        client.connection.read_response()


def expecting(client, n):
    fields = [("Expect", "100-continue"), ("Content-Length", "5")]
    client.exchange(render("POST", "/echo", fields, None) + b"hello")


TE = [("Transfer-Encoding", "chunked")]

KINDS = {
    "hello": same(render(target="/hello")),
    "head": same(render("HEAD", "/hello"), "HEAD"),
    "http-1.0": same(b"GET /hello HTTP/1.0\r\n\r\n"),
    "varying": varying,
    "closing": closing,
    "pipelined": pipelined,
    "echo": same(render("POST", "/echo", body=b"x" * 5000)),
    "echo-chunked": same(render("POST", "/echo", TE, chunked(b"x" * 500, b"y" * 5000))),
    "lines": same(render("POST", "/lines", body=b"a\nb\n" * 50)),
    "unread": same(render("POST", "/unread", body=b"x" * 5000)),
    "spooled": spooled,
    "expecting": expecting,
    "stream": same(render(target="/stream")),
    "writes": same(render(target="/writes")),
    "replaces": same(render(target="/replaces")),
    "file": same(render(target="/file")),
    "hints": same(render(target="/hints")),
    "sockets": same(render(target="/sockets")),
    "cyclic": same(render(target="/cyclic")),
    "large": same(render(target="/large")),
    "raises": same(render(target="/raises")),
    "raises-later": same(render(target="/raises_later")),
    "wrong-header": same(render(target="/wrong_header")),
    "wrong-body": same(render(target="/wrong_body")),
    "no-start": same(render(target="/no_start")),
    "bad-request": same(b"GET / HTTP/1.1\r\nA : b\r\n\r\n"),
    "bad-chunk": same(render("POST", "/echo", TE, b"5\r\nhelloX\r\n")),
    "aborting": aborting,
    "deaf": deaf,
}


@pytest.fixture
def server(shared):
    return shared("memory", expect_trouble=True)


def held(server):
    """What the worker holds, while nothing else runs."""
    return server.json(target="/held")


@pytest.mark.parametrize("kind", list(KINDS))
def test_steady(server, kind):
    """After rounds to warm up, another one changes nothing."""
    run = KINDS[kind]
    (pid,) = server.worker_pids()
    rounds = SLOW_ROUNDS if kind in SLOW else ROUNDS
    client = Client(server)
    numbers = itertools.count()

    def measure():
        for _ in range(rounds):
            run(client, next(numbers))
        client.close()
        held(server)
        return held(server), resident_kib(pid)

    measure()
    before = measure()
    for _ in range(3):
        after = measure()
        growth = grown(before, after, rounds)
        if not growth:
            break
        before = after
    assert not growth, growth
    assert server.worker_pids() == [pid]


def grown(before, after, rounds):
    """What has grown from one measurement to the next, in words. A leak grows in each of them."""
    (held_before, resident_before), (held_after, resident_after) = before, after
    growth = [
        f"{what}: {held_before[what]} to {held_after[what]}"
        for what, slack in SLACK.items()
        if held_after[what] - held_before[what] > slack
    ]
    references = zip(held_before["references"], held_after["references"], strict=True)
    if any(abs(other - one) > 20 + rounds // 20 for one, other in references):
        growth.append(f"references: {held_before['references']} to {held_after['references']}")
    if resident_after - resident_before > RESIDENT_SLACK_KIB and not SANITIZED:
        growth.append(f"resident: {resident_before} to {resident_after} KiB")
    return growth


@pytest.mark.skipif(SANITIZED, reason="memory is not what it is otherwise")
def test_idle_connections_are_small(gunicorn):
    """What a kept connection costs when nothing is said on it."""
    server = gunicorn("memory", "--worker-connections", "3000", "--keep-alive", "60")
    (pid,) = server.worker_pids()
    body = json.dumps({"x": "y" * 3000}).encode()
    connections = []

    def more(count):
        for _ in range(count):
            connection = server.connect()
            assert connection.request("POST", "/echo", body=body).keeps_alive
            connections.append(connection)
        return resident_kib(pid)

    try:
        more(200)
        before = resident_kib(pid)
        after = more(600)
    finally:
        for connection in connections:
            connection.close()
    assert (after - before) / 600 < 2.0


@pytest.mark.skipif(SANITIZED, reason="memory is not what it is otherwise")
def test_malloc_is_left_to_the_application(gunicorn, gate, worker):
    """A heap for each thread, as the C library has it; and no setting that is slow for others."""
    if worker != "gthread":
        pytest.skip("the others have one thread")
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        pytest.skip("malloc is tuned already")
    server = gunicorn("heaps", "--threads", "8")
    connections = [server.connect() for _ in range(8)]
    for connection in connections:
        connection.send(render(headers=[("X-Gate", gate.path)]))
    gate.step(8)
    said = [connection.read_response().body for connection in connections]
    for connection in connections:
        connection.close()
    if b"None" in said:
        pytest.skip("this malloc does not tell")
    assert max(int(heaps) for heaps in said) > 2
