"""TERM finishes what is in flight, INT does not wait; both end with exit code 0."""

import os
import re
import signal
import socket
import time
from contextlib import ExitStack

import pytest
from helpers.gate import Gate
from helpers.meanwhile import repeating
from helpers.server import Stopwatch, assert_soon, is_reference
from helpers.status_port import Port
from helpers.wire import STEP, STEP_TIMEOUT, Closed, render, wait_until

#: As many times longer a sanitizer makes the interpreter's own end; still less than the graceful
#: timeout, for which nobody may wait here.
SLOWER = STEP_TIMEOUT / STEP


def held(server, gate):
    connection = server.connect()
    connection.send(render(target="/gate", headers=[("X-Gate", gate.path)]))
    gate.wait()
    return connection


def terminate(server):
    """Send TERM, and return when the master has told its workers."""
    server.kill(signal.SIGTERM)
    server.wait_for_log("Handling signal: term")
    if is_reference():
        return
    port = Port.private(server.pid)
    wait_until(lambda: all(w["phase"] == "stopping" for w in port.workers()), "they are told")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_idle_server_stops_at_once(gunicorn, number):
    def attempt() -> float:
        server = gunicorn("busy")
        assert server.request().status == 200
        watch = Stopwatch()
        assert server.stop(number) == 0
        return watch.seconds

    assert_soon(3 * SLOWER, attempt)


def test_term_with_idle_connections(gunicorn):
    """Idle connections, kept or new, do not hold the server."""

    def attempt() -> float:
        server = gunicorn("busy", "--keep-alive", "60")
        connections = [server.connect() for _ in range(20)]
        for connection in connections[:10]:
            connection.request()
        watch = Stopwatch()
        assert server.stop() == 0
        took = watch.seconds
        for connection in connections:
            connection.expect_closed()
            connection.close()
        return took

    assert_soon(6 * SLOWER, attempt)


def test_term_amid_a_request_ends_its_connection(gunicorn, gate):
    """What is idle is closed meanwhile, and the answer says that its connection is, too."""
    server = gunicorn("busy", "--keep-alive", "60")
    idle = server.connect()
    assert idle.request().header("Connection") == "keep-alive"
    connection = held(server, gate)
    server.kill(signal.SIGTERM)
    idle.expect_closed()
    gate.open()
    response = connection.read_response()
    assert (response.status, response.header("Connection")) == (200, "close")
    connection.expect_closed()
    assert server.wait() == 0


def test_term_finishes_a_request(gunicorn, gate):
    server = gunicorn("busy")
    connection = held(server, gate)
    terminate(server)
    gate.open()
    assert connection.read_response().status == 200
    connection.expect_closed()
    assert server.wait() == 0


def test_term_finishes_all_threads(gunicorn, gate):
    server = gunicorn("busy", "-k", "gthread", "--threads", "4")
    connections = [server.connect() for _ in range(4)]
    for connection in connections:
        connection.send(render(target="/gate", headers=[("X-Gate", gate.path)]))
    gate.wait(4)
    terminate(server)
    gate.open()
    for connection in connections:
        assert connection.read_response().status == 200
    assert server.wait() == 0


def test_term_finishes_a_streaming_answer(gunicorn, gate):
    server = gunicorn("answers")
    connection = server.connect()
    connection.send(render(target="/items_gated", headers=[("X-Gate", gate.path)]))
    assert connection.read_head().status == 200
    assert connection.read_chunk() == b"item 0"
    gate.wait()
    terminate(server)
    gate.open()
    gate.step()
    gate.step()
    assert [connection.read_chunk() for _ in range(4)] == [b"item 1", b"item 2", b"item 3", b""]
    assert server.wait() == 0


def test_term_finishes_a_slow_reader(gunicorn):
    """An answer of which the client has taken a part is sent to its end."""
    server = gunicorn("busy")
    with server.connect(receive_buffer=4096) as connection:
        connection.send(render(target="/large"))
        assert connection.read_head().status == 200
        terminate(server)
        assert len(connection.read(8 << 20)) == 8 << 20
        connection.expect_closed()
    assert server.wait() == 0


# What is not whole


LAST_WORDS = """
def post_worker_init(worker):
    import atexit
    atexit.register(worker.log.info, "atexit %s", worker.pid)

def worker_exit(server, worker):
    worker.log.info("worker_exit %s", worker.pid)
"""


@pytest.fixture
def settings(tmp_path):
    """The file of a configuration whose workers say when they end in order."""
    path = tmp_path / "settings.py"
    path.write_text(LAST_WORDS)
    return str(path)


def is_clean(server, pid) -> bool:
    """Whether the worker has ended by itself: its hook and what it registered with atexit ran."""
    said = f"worker_exit {pid}" in server.log and f"atexit {pid}" in server.log
    return said and not re.search(r"exited with|was sent SIG|Traceback", server.log)


def assert_ends_in_order(end) -> None:
    """One of some calls of end() says so: the margin is short here, and a machine may be busy."""
    assert any(end() for _ in range(4))


def stalled(server, stack):
    """Clients that will not be through, whatever time they get."""
    post = render("POST", "/", [("Content-Length", "100000")])
    for data in (b"GET / HT", post, post + b"a"):
        connection = stack.enter_context(server.connect())
        connection.send(data)
    reader = stack.enter_context(server.connect(receive_buffer=4096))
    reader.send(render(target="/large"))
    reader.await_answer()
    return connection


def dripping(connection):
    return repeating(lambda: connection.send_if_open(b"a"), 0.2)


def test_term_with_clients_that_stall(gunicorn, settings):
    """An unfinished head, an unfinished body, one that drips, and a slow reader."""

    def end() -> bool:
        server = gunicorn("busy", "-c", settings, "--graceful-timeout", "5", expect_trouble=True)
        (pid,) = server.worker_pids()
        with ExitStack() as stack:
            stack.enter_context(dripping(stalled(server, stack)))
            assert server.stop() == 0
        cut = "1 unfinished heads, 2 unfinished bodies" in server.log
        return is_clean(server, pid) and cut and "1 answers not taken" in server.log

    assert_ends_in_order(end)


def test_reload_with_clients_that_stall(gunicorn, settings, worker):
    if worker not in ("sync", "gthread"):
        pytest.skip("a reload stops a worker as TERM does")

    def end() -> bool:
        server = gunicorn("busy", "-c", settings, "--graceful-timeout", "5", expect_trouble=True)
        (pid,) = server.worker_pids()
        with ExitStack() as stack:
            stack.enter_context(dripping(stalled(server, stack)))
            server.kill(signal.SIGHUP)
            wait_until(lambda: pid not in server.worker_pids(), "the old worker is gone")
        assert server.request().status == 200
        return is_clean(server, pid)

    assert_ends_in_order(end)


def test_term_amid_an_upload(gunicorn, settings):
    """A client that keeps pace may finish, and is answered."""
    server = gunicorn("busy", "-c", settings)
    (pid,) = server.worker_pids()
    piece, count = b"x" * 4096, 25
    with server.connect() as connection:
        length = str(len(piece) * count)
        connection.send(render("POST", "/", [("Content-Length", length)]))
        terminate(server)
        for _ in range(count):
            connection.send(piece)
            time.sleep(0.1)  # longer in all than a client that does nothing may take
        response = connection.read_response()
        assert (response.status, response.keeps_alive) == (200, False)
        assert f'"size": {length}'.encode() in response.body
    assert server.wait() == 0
    assert is_clean(server, pid), server.log


def test_graceful_timeout(gunicorn, settings):
    """Who is not done in time is cut off, and the worker still ends in order."""

    def end() -> bool:
        server = gunicorn("busy", "-c", settings, "--graceful-timeout", "4", expect_trouble=True)
        (pid,) = server.worker_pids()
        with Gate() as gate, held(server, gate) as connection:
            watch = Stopwatch()
            server.kill(signal.SIGTERM)
            assert server.wait() == 0
            assert watch.seconds > 3
            with pytest.raises(Closed):
                connection.read_response()
        return is_clean(server, pid) and "It cuts off GET /gate." in server.log

    assert_ends_in_order(end)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_does_not_wait(gunicorn, number):
    def attempt() -> float:
        server = gunicorn("busy", "--graceful-timeout", "30", expect_trouble=True)
        with Gate() as gate, held(server, gate):
            watch = Stopwatch()
            server.kill(number)
            server.wait()
            return watch.seconds

    assert_soon(10, attempt)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_quit_during_a_request_serves_nothing_more(gunicorn, gate, number, worker):
    """A worker told to quit ends at once: no request after the one that ran, and exit status 0."""
    server = gunicorn("busy", "--keep-alive", "60", expect_trouble=True)
    (pid,) = server.worker_pids()
    kept = server.connect()
    assert kept.request().status == 200
    connection = held(server, gate)
    os.kill(pid, number)
    connection.read_to_end()
    kept.send_if_open(render())
    assert kept.read_to_end() == b""
    wait_until(lambda: pid not in server.worker_pids(), "the worker is gone")
    assert not re.search(r"exited with|was sent SIG", server.log)
    wait_until(lambda: server.request().status == 200, "a new one serves")


QUITS_WHILE_IT_STARTS = """
import os, signal

def post_worker_init(worker):
    def limit(self):
        if not os.path.exists({told!r}):
            open({told!r}, "w").close()
            os.kill(os.getpid(), signal.SIGINT)
        return 0
    worker.__class__ = type("Told", (type(worker),), {{"max_requests": property(limit)}})
"""


def test_quit_while_the_engine_is_made(gunicorn, tmp_path):
    """What the handler of the signal raises is what ends the worker."""
    config = tmp_path / "quits.py"
    config.write_text(QUITS_WHILE_IT_STARTS.format(told=str(tmp_path / "told")))
    server = gunicorn("busy", "-c", str(config))
    assert server.request().status == 200
    assert (tmp_path / "told").exists()
    assert not re.search(r"exited with|Exception|Error", server.log)


def test_kept_connection_at_the_end(gunicorn):
    """A kept connection is closed, not reset, when the server stops."""
    server = gunicorn("busy", "--keep-alive", "60")
    with server.connect() as connection:
        connection.request()
        server.kill(signal.SIGTERM)
        connection.sock.settimeout(10)
        assert connection.sock.recv(1) == b""
    assert server.wait() == 0


def test_nobody_listens_afterwards(gunicorn):
    server = gunicorn("busy")
    server.request()
    server.stop()
    with pytest.raises(OSError), socket.socket() as probe:
        probe.connect(server.address)
