"""Clients of TLS that cost more than they send: nobody else waits for them."""

from __future__ import annotations

import threading
import time

import pytest
from helpers.server import SANITIZED
from helpers.tls import NAME, serve_tls
from helpers.tls_records import KEY_UPDATE_NOT_REQUESTED, KEY_UPDATE_REQUESTED, RecordClient
from helpers.wire import STEP_TIMEOUT, render

KEYS = 50_000
RECORDS = 100_000
WAIT_MAX = STEP_TIMEOUT / 30  # seconds: what anybody else may wait on a busy machine


@pytest.fixture
def server(gunicorn, pair, authority, worker):
    if worker not in ("sync", "gthread"):
        pytest.skip("the engine is the same")
    args = (*pair.args, "--log-level", "debug")
    return serve_tls(gunicorn("secure", *args), authority.client(version="TLSv1_3"))


@pytest.fixture
def attacker(server, authority):
    context = authority.client(version="TLSv1_3")
    with RecordClient(server.address, context, NAME.encode(), STEP_TIMEOUT) as client:
        yield client


class Honest:
    """Somebody else's requests, one after the other. `wait`: the longest of them, in seconds."""

    def __init__(self, server):
        self.wait = 0.0
        self._connection = server.connect()
        self._connection.request()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(0.001):
            begun = time.monotonic()
            assert self._connection.request().body == b"ok"
            self.wait = max(self.wait, time.monotonic() - begun)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc) -> None:
        self._over.set()
        self._thread.join()
        self._connection.sock.close()


def is_cut_off(attacker, data) -> bool:
    """Whether the server closes the connection."""
    try:
        attacker.sock.sendall(data)
        while attacker.sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@pytest.mark.parametrize("wanted", [KEY_UPDATE_NOT_REQUESTED, KEY_UPDATE_REQUESTED])
def test_keys_without_end(server, attacker, wanted):
    updates = attacker.key_updates(KEYS, wanted)
    with Honest(server) as honest:
        assert is_cut_off(attacker, updates)
    server.wait_for_log("TLS with ip=127.0.0.1 failed: too many key updates")
    assert SANITIZED or honest.wait < WAIT_MAX


def test_keys_between_bytes(server, attacker):
    """A byte of data for each of them makes it no better."""
    head = attacker.records(render("POST", "/echo", [("Content-Length", "10000000")]), 1000)
    updates = [attacker.key_updates(1) + attacker.records(b"x") for _ in range(KEYS // 10)]
    assert is_cut_off(attacker, head + b"".join(updates))
    server.wait_for_log("TLS with ip=127.0.0.1 failed: too many key updates")


def test_records_of_one_byte(server, attacker):
    body = b"x" * RECORDS
    flood = attacker.records(render("POST", "/echo", [("Content-Length", str(RECORDS))]) + body)
    with Honest(server) as honest:
        attacker.sock.sendall(flood)
        answer = b""
        while not answer.endswith(body):
            answer += (received := attacker.receive())
            assert received
    assert SANITIZED or honest.wait < WAIT_MAX
