"""More clients that stall than a worker has connections: the honest are served all the time."""

import statistics
import time
from contextlib import ExitStack, contextmanager

import pytest
from helpers.crowd import crowd
from helpers.meanwhile import repeating
from helpers.server import SANITIZED, Stopwatch
from helpers.status_port import Port
from helpers.tls import serve_tls
from helpers.wire import render, wait_until

CONNECTIONS = 20
ATTACKERS = 60

#: Seconds that an honest client may wait while the attackers that came before it get in and out
#: (one SILENT_MS for each twenty), and once they are through.
FIRST = 30.0 if SANITIZED else 10.0
LATER = 5.0 if SANITIZED else 1.0

pytestmark = pytest.mark.parametrize("worker", ["sync", "gthread"], indirect=True, scope="session")

#: What each of them says at once, and then every now and then.
KINDS = {
    "heads": (b"GET /aaaa", b"a"),
    "bodies": (render("POST", "/", [("Content-Length", "1000000")]), b"a"),
    "chunks": (render("POST", "/", [("Transfer-Encoding", "chunked")]) + b"fffff\r\n", b"a"),
    "readers": (render(target="/large"), b""),
    "lingerers": (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", b"a"),
}


def attack(server, kind):
    """So many attackers of a kind, all of them begun."""
    first, drop = KINDS.get(kind, (b"\x16", b""))
    return crowd(server.address, ATTACKERS, first, drop)


@contextmanager
def upload_that_keeps_pace(server):
    """An honest client amid an upload, which is answered at the end."""
    size, piece = 1 << 20, b"x" * 4096
    with server.connect() as connection:
        connection.send(render("POST", "/", [("Content-Length", str(size))]) + piece)
        sent = len(piece)

        def go_on():
            nonlocal sent
            connection.send(piece)
            sent += len(piece)

        with repeating(go_on):
            yield
        connection.send(b"x" * (size - sent))
        response = connection.read_response()
        assert response.status == 200, response
        assert b'"size": 1048576' in response.body


@contextmanager
def reader_that_keeps_pace(server):
    """An honest client amid a large answer, which it gets whole."""
    size = 8 << 20
    with server.connect(receive_buffer=4096) as connection:
        connection.send(render(target="/large"))
        assert connection.read_head().status == 200

        def go_on():
            nonlocal size
            size -= len(connection.read(8192))

        with repeating(go_on):
            yield
        assert len(connection.read(size)) == size


def waits(server):
    """Seconds that honest clients wait, one after the other."""
    times = []
    for _ in range(10):
        watch = Stopwatch()
        assert server.request().status == 200
        times.append(watch.seconds)
        time.sleep(0.05)  # the attackers go on meanwhile
    return times


def assert_served(server):
    times = waits(server)
    assert max(times) < FIRST, times
    assert statistics.median(times) < LATER, times


def closed_for_others(server):
    return Port.private(server.pid).figures()["gunicorn_connections_closed_total", "room"]


@pytest.fixture
def server(gunicorn):
    return gunicorn(*("busy", "--worker-connections", str(CONNECTIONS), "--access-logfile", "-"))


@pytest.mark.parametrize("kind", KINDS)
def test_slow_crowd(server, kind):
    with ExitStack() as stack:
        stack.enter_context(upload_that_keeps_pace(server))
        stack.enter_context(reader_that_keeps_pace(server))
        stack.enter_context(attack(server, kind))
        assert_served(server)
        if kind != "lingerers":  # theirs is the reason for which they linger
            assert closed_for_others(server) >= ATTACKERS - CONNECTIONS
    said = server.wait_for_log(
        rf"\[WARNING\] worker_connections \({CONNECTIONS}\) is used up: \d+ connections were closed"
    )
    assert server.log.count("is used up") < 10, said
    if kind in ("heads", "bodies", "chunks"):
        wait_until(lambda: " 408 " in server.stdout, "the line of one that made room")


def test_slow_crowd_of_handshakes(gunicorn, pair, authority):
    server = gunicorn("busy", "--worker-connections", str(CONNECTIONS), *pair.args)
    secure = serve_tls(server, authority.client())
    with attack(secure, "handshakes"):
        assert_served(secure)


def test_who_makes_room_is_answered(gunicorn):
    """As far as its request had come; the access log tells of it, too."""
    server = gunicorn("busy", "--worker-connections", "1", "--access-logfile", "-")
    with server.connect() as slow:
        slow.send(render("POST", "/slow", [("Content-Length", "10")]) + b"x")
        with server.connect() as other:
            assert other.request(target="/other").status == 200
        response = slow.read_response()
        assert (response.status, response.keeps_alive) == (408, False)
        slow.expect_closed()
    wait_until(lambda: '"POST /slow HTTP/1.1" 408 ' in server.stdout, "its line")
