"""Hostile clients of HTTP/2, beside an honest one on the same worker."""

import itertools
import socket
import time

import pytest
from helpers.crowd import crowd
from helpers.http2_raw import (
    ATTACKS,
    BEGUN,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    POST,
    SETTINGS,
    STALLERS,
    attack,
    connect,
    fields,
    frame,
    request,
    split,
    take,
)
from helpers.meanwhile import repeating
from helpers.server import SANITIZED, resident_kib
from helpers.status_port import Port
from helpers.wire import wait_until

pytest.importorskip("h2")

from helpers.http2 import Http2  # noqa: E402

CLEAR = ("--http-protocols=h2,h1", "--http2-cleartext=prior-knowledge")
CONNECTIONS, CROWD = 10, 15
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
def serve(worker):
    """serve(start, *args): start the application of the worker class."""

    def serve(start, *args):
        if worker == "asgi":
            return start("asgi_http2:application", *CLEAR, *args, is_asgi=True)
        return start("http2", *CLEAR, *args)

    return serve


@pytest.fixture
def server(serve, shared):
    return serve(shared)


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


def ask_anew(server):
    begun = time.monotonic()
    with Http2(server.address) as honest:
        assert honest.request(path="/ok").body == b"ok"
    return time.monotonic() - begun


@pytest.mark.parametrize("kind", ["heads", "continuations", "bodies", "windows", "sockets"])
def test_a_crowd_that_stalls_makes_room(serve, shared, worker, kind):
    args = [f"--worker-connections={CONNECTIONS}"]
    if (worker, kind) == ("asgi", "bodies"):  # the requests run, so only their pace ends them
        args.append("--body-min-rate=1000")
    server = serve(shared, *args)
    with crowd(server.address, CROWD, *STALLERS[kind]):
        assert max(ask_anew(server) for _ in range(5)) < 2 * LONGEST
    ask_anew(server)


@pytest.fixture
def impatient(serve, shared):
    return serve(shared, "--header-timeout=1", "--send-timeout=1", "--keep-alive=1")


@pytest.mark.parametrize("kind", ["prefaces", "settings", "heads", "continuations", "windows"])
def test_one_that_stalls_is_given_up(impatient, kind):
    address = impatient.address
    with Http2(address) as honest, crowd(address, 1, *STALLERS[kind]) as slow:
        while take(slow.all[0]) is not None:
            assert honest.request(path="/ok").body == b"ok"


def test_one_that_does_not_read_is_given_up(impatient):
    port = Port.private(impatient.pid)

    def given_up():
        return port.figures()["gunicorn_connections_closed_total", "send_timeout"]

    before, address = given_up(), impatient.address
    with Http2(address) as honest, crowd(address, 1, *STALLERS["sockets"]):
        while given_up() == before:
            assert honest.request(path="/ok").body == b"ok"


def test_half_closes(server):
    """A request that came whole is answered; of no other a stream is left."""
    pieces = [
        BEGUN,
        frame(HEADERS, 0, 1, fields(b"/echo", POST)),
        frame(CONTINUATION, END_HEADERS, 1, b"\0\1x\1y"),
        frame(DATA, 0, 1, b"some"),
        frame(DATA, END_STREAM, 1, b"body"),
        request(3),
    ]
    whole = b"".join(pieces)
    ends = list(itertools.accumulate(len(piece) for piece in pieces))
    for cut in range(len(whole) + 1):
        answered = ended_streams(server, whole[:cut])
        assert answered == [n for n, end in ((1, ends[-2]), (3, ends[-1])) if cut >= end], cut


def ended_streams(server, sent):
    """Those that are answered whole, to a client that sends nothing more."""
    with socket.create_connection(server.address, 10) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: take(sock) or b"", b""))
    kinds = (DATA, HEADERS)
    return sorted(n for kind, flags, n in split(answer) if kind in kinds and flags & END_STREAM)
