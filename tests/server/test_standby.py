"""The engine goes on while Python computes: in each test the interpreter is not to be had.

What clients see then is the work of the stand-by. Nothing here waits for a time to pass but for the
time-outs of the settings.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from helpers.held import LARGE, Hold, worker_of
from helpers.server import SANITIZED
from helpers.tls import Authority, TlsConnection
from helpers.wire import render

NONSENSE = b"nonsense\r\n\r\n"
QUIET_SECONDS = 2.0


@pytest.fixture
def start(gunicorn):
    """start(*args): a worker, of which compute() has the interpreter until the test ends."""

    def start(*args, **options):
        server = gunicorn("helpers.held:app", *args, **options)
        server.cwd = Path(server.cwd)
        return server

    return start


@pytest.fixture
def compute():
    """compute(server): nothing of Python runs in its worker until release() or the test's end."""
    holds = []

    def compute(server):
        holds.append(Hold(server, server.connect(), "compute"))
        return holds[-1]

    yield compute
    for hold in holds:
        hold.let_go()


def test_connections_are_accepted_and_heads_read(start, compute):
    server = start()
    hold = compute(server)
    for _ in range(3):
        with server.connect() as client:
            client.send_in_pieces(NONSENSE)
            assert client.read_response().status == 400
            client.expect_closed()
    hold.release()


def test_bodies_are_read(start, compute):
    server = start()
    hold = compute(server)
    body = os.urandom(6 << 20)  # more than the buffers of two sockets hold
    with server.connect() as client:
        client.send(
            render(
                "POST",
                "/p",
                headers=[("Expect", "100-continue"), ("Content-Length", str(len(body)))],
            )
        )
        assert client.read_head().status == 100
        client.send(body)
        hold.release()
        assert client.read_response().body.split()[2].decode() == hashlib.sha256(body).hexdigest()


def test_answers_are_sent(start, compute):
    """Those that were made before: the application made them in one piece, the client is slow."""
    server = start()
    with server.connect(receive_buffer=8192) as reader, server.connect() as other:
        reader.send(render(target="/large"))
        assert reader.read_head().status == 200
        worker_of(other.request())  # so the application is through with the large one
        hold = compute(server)
        assert len(reader.read(LARGE)) == LARGE
        hold.release()


def test_pipelined_refusals_come_in_order(start, compute):
    server = start()
    hold = compute(server)
    with server.connect() as client:
        client.send(render(target="/late") + NONSENSE)
        hold.release()
        assert b"/late" in client.read_response().body
        assert client.read_response().status == 400
        client.expect_closed()


def test_idle_connections_are_closed(start, compute):
    server = start("--keep-alive", "1")
    with server.connect() as client:
        worker_of(client.request())
        hold = compute(server)
        client.expect_closed()
        hold.release()


def test_heads_have_their_time(start, compute):
    server = start("--header-timeout", "1")
    hold = compute(server)
    with server.connect() as silent, server.connect() as slow:
        slow.send(b"GET / HTTP/1.1\r\nHos")
        silent.expect_closed()
        slow.expect_closed()
    hold.release()


def test_bodies_have_their_rate(start, compute):
    server = start("--body-min-rate", "1000")
    hold = compute(server)
    with server.connect() as client:
        client.send(render("POST", headers=[("Content-Length", "100000")]) + b"some")
        client.expect_closed()
    hold.release()


def test_readers_have_their_time(start, compute):
    server = start("--send-timeout", "1")
    with server.connect(receive_buffer=8192) as reader, server.connect() as other:
        reader.send(render(target="/large"))
        assert reader.read_head().status == 200
        worker_of(other.request())
        hold = compute(server)
        time.sleep(3)  # the client's own doing: it does not read
        with pytest.raises(AssertionError, match="closed while reading"):
            reader.read(LARGE)
        hold.release()


def test_tls_handshakes_are_made(start, compute, tmp_path):
    authority = Authority(tmp_path)
    context = authority.client()
    server = start(*authority.issue().args)
    hold = Hold(server, TlsConnection(server.address, context), "compute")
    try:
        with TlsConnection(server.address, context) as client:
            assert client.sock.version() == "TLSv1.3"
            client.send(NONSENSE)
            assert client.read_response().status == 400
    finally:
        hold.let_go()
    assert worker_of(hold.connection.read_response()) == hold.pid


def test_another_worker_accepts(start, compute):
    """New connections are left to the worker that is free, and so is what comes on old ones."""
    server = start("--keep-alive", "30", workers=2)
    kept = [server.connect() for _ in range(8)]
    for client in kept:
        worker_of(client.request())
    hold = compute(server)
    for client in [*kept, *(server.connect() for _ in range(8))]:
        assert worker_of(client.request()) != hold.pid
        client.close()
    hold.release()


def switches(pid: int) -> int:
    """How often the threads of a process have been given a processor."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total


@pytest.mark.skipif(SANITIZED, reason="the sanitizer has a thread of its own")
def test_an_idle_server_does_not_wake_up(start, worker):
    """Neither the master nor a worker, also after work that had woken the stand-by."""
    server = start("--keep-alive", "1")
    with server.connect() as client:
        for _ in range(20):
            worker_of(client.request())
        client.expect_closed()
    pids = [server.pid, *server.worker_pids()]
    deadline = time.monotonic() + 20
    while True:
        before = [switches(pid) for pid in pids]
        time.sleep(QUIET_SECONDS)
        woken = [switches(pid) - count for pid, count in zip(pids, before, strict=True)]
        if not any(woken):
            return
        assert time.monotonic() < deadline, f"{worker}: woken {woken} times while idle"
