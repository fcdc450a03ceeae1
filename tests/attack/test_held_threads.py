"""No client holds a thread of the application by being slow with a body, however large it is."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers.server import SANITIZED, Stopwatch, resident_kib
from helpers.wire import Closed, render

HEADS = 20

#: Seconds within which an honest client is served beside them.
SOON = 10.0 if SANITIZED else 3.0

pytestmark = pytest.mark.parametrize("worker", ["sync", "gthread"], indirect=True, scope="session")


def announce(size):
    return render("POST", "/", [("Content-Length", str(size))])


def test_lengths_that_are_only_announced(gunicorn):
    """A gigabyte or more that does not come: no thread, no memory, no room on the disk."""
    server = gunicorn("busy")
    (pid,) = server.worker_pids()
    assert server.request().status == 200
    before = resident_kib(pid)
    with ExitStack() as stack:
        for _ in range(HEADS):
            stack.enter_context(server.connect()).send(announce((1 << 30) + 1) + b"x")
        watch = Stopwatch()
        for _ in range(5):
            assert server.request().status == 200
        assert watch.seconds < SOON
        assert SANITIZED or resident_kib(pid) - before < 8 << 10
        files = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [name for name in files if "(deleted)" in name and "wgunicorn" in name]


def test_a_length_beyond_any_bound(gunicorn):
    """It is refused at its head, and not asked for."""
    server = gunicorn("busy")
    with server.connect() as connection:
        fields = [("Content-Length", str(10**12)), ("Expect", "100-continue")]
        connection.send(render("POST", "/", fields))
        response = connection.read_response()
    assert (response.status, response.interim, response.keeps_alive) == (413, [], False)
    assert b"too large (without limit_request_body it is 68719476736)" in response.body


def test_a_stream_has_a_least_rate(gunicorn):
    """Who asks for streams gives threads to their clients, but not to those that stand still."""
    server = gunicorn(
        "busy", "--stream-request-body", "1K", "--log-level", "debug", expect_trouble=True
    )
    with ExitStack() as stack:
        slow = [stack.enter_context(server.connect()) for _ in range(4)]
        for connection in slow:
            connection.send(announce(1 << 20) + b"x")
        server.wait_running()
        watch = Stopwatch()
        while True:  # in sync they run one after the other
            for connection in slow:
                connection.send_if_open(b"a")
            try:
                slow[0].sock.settimeout(0.2)
                slow[0].read_response()
            except Closed:
                break
            except AssertionError:
                assert watch.seconds < 30
        for connection in slow:
            connection.close()
    server.wait_for_log("closed: body_rate")
    assert server.request().status == 200
