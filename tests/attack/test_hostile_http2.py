"""Hostile clients of HTTP/2, beside an honest one on the same worker."""

import time

import pytest
from helpers.http2_raw import ATTACKS, SETTINGS, attack, connect, frame, request
from helpers.meanwhile import repeating
from helpers.server import SANITIZED, resident_kib
from helpers.wire import wait_until

pytest.importorskip("h2")

from helpers.http2 import Http2  # noqa: E402

CLEAR = ("--http-protocols=h2,h1", "--http2-cleartext=prior-knowledge")
PROTOCOL_ERROR, ENHANCE_YOUR_CALM = 1, 11

#: Of GOAWAY, if it is another one.
CODES = {"windows_of_nothing": PROTOCOL_ERROR}

#: Bytes after which an attack that is none of the server's business is over.
MOST = {"small_data": 256 * 1024, "many_small_bombs": 1 << 20}

#: Seconds that the honest client may wait.
LONGEST = 20.0 if SANITIZED else 5.0

MIB = 1024  # in KiB

pytestmark = pytest.mark.parametrize(
    "worker", ["gthread", "gevent", "asgi"], indirect=True, scope="session"
)


@pytest.fixture
def server(shared, worker):
    if worker == "asgi":
        return shared("asgi_http2:application", *CLEAR, is_asgi=True)
    return shared("http2", *CLEAR)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_ended(server, name):
    waits = []
    with Http2(server.address) as honest:

        def ask():
            begun = time.monotonic()
            assert honest.request(path="/ok").body == b"ok"
            waits.append(time.monotonic() - begun)

        ask()
        waits.clear()  # the worker had to start
        with repeating(ask, 0.01):
            code = attack(server.address, ATTACKS[name](), MOST.get(name, 64 << 20))
        ask()
    if name not in MOST:
        assert code == CODES.get(name, ENHANCE_YOUR_CALM)
    assert max(waits) < LONGEST


@pytest.mark.skipif(SANITIZED, reason="memory is not what it is otherwise")
def test_a_client_that_takes_nothing_costs_no_more_than_its_answers(server):
    """Each of its answers waits as it would for a slow client of HTTP/1."""
    (pid,) = server.worker_pids()
    with Http2(server.address) as honest:
        assert honest.request(path="/ok").body == b"ok"
        before = resident_kib(pid)
        with connect(server.address) as sock:
            sock.sendall(frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0"))
            for n in range(1, 200, 2):
                sock.sendall(request(n, b"/big?1000000"))
            while honest.request(path="/ok").body != b"ok" or resident_kib(pid) < before + MIB:
                pass
            assert resident_kib(pid) < before + 150 * MIB
        wait_until(lambda: resident_kib(pid) < before + 64 * MIB, "the memory to be given back")
