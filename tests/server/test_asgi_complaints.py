"""What users complain about in ASGI servers, and the tests that fail on a server that has it.

1  stops and reloads hang on event streams and WebSockets, or cut them without a word
2  tracebacks vanish behind the frameworks' 500 page
3  requests are lost at recycling, a reload, a worker's death
4  a busy loop is taken for a dead worker, or hangs the stop
5  keepalive ping timeouts under load; dead clients are never noticed
6  context variables of one request are seen by the next on its connection
7  memory grows with bare connections, resets, senders that wait for who has gone
8  slow clients and large uploads fill the memory
9  the end of a client is reported wrongly
10 ends of WebSockets differ from the specification
11 502 behind a balancer
12 clients with kept connections wait behind a blocked worker
"""

from __future__ import annotations

import ast
import contextlib
import functools
import signal
import socket
from pathlib import Path

import pytest
from helpers.server import SANITIZED, Stopwatch
from helpers.wire import STEP, render, wait_until

TESTS = Path(__file__).parent.parent
SERVER = "server/test_asgi.py"
SOCKETS = "server/test_asgi_websocket.py"
OWN = "server/test_asgi_complaints.py"
#: The tests of each.
COMPLAINTS = {
    1: [
        (OWN, "test_stop_with_an_event_stream"),
        (OWN, "test_stop_closes_idle_connections_at_once"),
        (SERVER, "test_requests_are_cancelled_at_graceful_timeout"),
        (SERVER, "test_stop_does_not_wait_for_endless_background_work"),
        (SOCKETS, "test_stop"),
        (SOCKETS, "test_stop_closes_many_at_once"),
        (SOCKETS, "test_stop_with_clients_that_do_not_answer"),
        (SOCKETS, "test_reload"),
        (SOCKETS, "test_reload_closes_many_one_after_the_other"),
    ],
    2: [
        (OWN, "test_exception_behind_an_error_page_is_logged"),
        (SERVER, "test_no_answer"),
        (SERVER, "test_half_an_answer"),
        (SERVER, "test_exception_after_the_answer"),
        (SOCKETS, "test_application_raises"),
        (SOCKETS, "test_application_raises_after_the_end"),
    ],
    3: [
        (SERVER, "test_max_requests"),
        ("process/test_nothing_lost.py", "test_reload"),
        ("process/test_nothing_lost.py", "test_recycling"),
        ("process/test_nothing_lost.py", "test_a_killed_worker_loses_only_what_it_ran"),
    ],
    4: [
        (OWN, "test_slow_startup_is_no_fault"),
        (SERVER, "test_blocked_loop_is_reported"),
        (SERVER, "test_loop_that_is_blocked_between_requests_is_reported"),
        (SERVER, "test_loop_that_is_blocked_between_requests_is_ended_by_timeout"),
        (SERVER, "test_stop_while_the_loop_is_blocked"),
        (SERVER, "test_stop_while_background_work_blocks_the_loop"),
    ],
    5: [(SOCKETS, "test_pings_while_the_loop_is_blocked")],
    6: [
        (SERVER, "test_context_of_each_request_is_that_of_the_start"),
        (SERVER, "test_context_with_large_bodies_and_pipelining"),
        (SOCKETS, "test_context_of_each_is_that_of_the_start"),
    ],
    7: [
        ("server/test_asgi_leaks.py", "test_request_leaves_nothing"),
        ("server/test_asgi_leaks.py", "test_websocket_leaves_nothing"),
        (SERVER, "test_nothing_is_left_of_requests"),
    ],
    8: [
        (SERVER, "test_slow_client_makes_send_wait"),
        (SERVER, "test_upload_that_the_application_does_not_receive"),
        (SOCKETS, "test_client_that_does_not_read_makes_send_wait"),
        (SOCKETS, "test_application_that_does_not_receive_stops_the_client"),
    ],
    9: [
        (OWN, "test_nothing_is_cancelled_before_the_grace_period"),
        (SERVER, "test_client_that_leaves"),
        (SERVER, "test_receive_is_a_coroutine"),
        (SERVER, "test_grace_after_the_client_has_left"),
        (SERVER, "test_background_work_goes_on_when_the_client_has_left"),
        (SERVER, "test_end_of_a_stream_whose_client_has_left"),
    ],
    10: [
        (SOCKETS, "test_disconnect"),
        (SOCKETS, "test_violations"),
        (SOCKETS, "test_application_closes"),
        (SOCKETS, "test_sends_after_the_end"),
        (SOCKETS, "test_refusal"),
        (SOCKETS, "test_no_answer"),
    ],
    11: [
        (OWN, "test_close_is_announced_on_the_answer_before_it"),
        (OWN, "test_keepalive_counts_from_the_end_of_the_answer"),
        (OWN, "test_port_closes_before_the_last_request_ends"),
    ],
    12: [
        (SERVER, "test_blocked_loop_hands_over"),
        (SERVER, "test_clients_are_handed_over_by_a_loop_that_is_blocked_between_requests"),
    ],
}


@pytest.mark.parametrize("number", range(1, 13))
def test_each_complaint_has_its_tests(number):
    for path, name in COMPLAINTS[number]:
        assert name in names_of(path)


@functools.cache
def names_of(path):
    tree = ast.parse((TESTS / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.fixture
def asgi(serve_asgi):
    return functools.partial(serve_asgi, "asgi_answers:app")


def test_stop_with_an_event_stream(asgi):
    """It is cancelled before graceful_timeout is over, its clean-up runs, nothing is killed."""
    server = asgi("--graceful-timeout", "8" if SANITIZED else "2")
    with server.connect() as connection:
        connection.send(render(target="/events"))
        assert connection.read_head().status == 200
        assert connection.read_chunk() == b"event"
        watch = Stopwatch()
        assert server.stop() == 0
        assert watch.seconds < STEP
    assert server.stdout.split("\n")[:2] == ["the stream has ended", "the shutdown ran"]
    assert "SIGKILL" not in server.log


def test_stop_closes_idle_connections_at_once(asgi):
    server = asgi("--graceful-timeout", "90", "--keep-alive", "90")
    with server.connect() as kept, server.connect():
        kept.request()
        watch = Stopwatch()
        assert server.stop() == 0
        assert watch.seconds < STEP


def test_exception_behind_an_error_page_is_logged(asgi):
    server = asgi(expect_trouble=True)
    assert server.request(target="/error_page").status == 500
    server.wait_for_log("to GET /error_page.*Traceback.*ValueError: behind the page")


SLOW_START = """
import asyncio, time
time.sleep(1)
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        time.sleep(1)
        return await send({"type": "lifespan.startup.complete"})
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"up"})
"""


def test_slow_startup_is_no_fault(serve_asgi, tmp_path):
    """`timeout` is for requests, `boot_timeout` for the import and the startup."""
    (tmp_path / "own.py").write_text(SLOW_START)
    server = serve_asgi("own:app", "--timeout", "1", "--boot-timeout", "60")
    pids = server.worker_pids()
    assert server.request().body == b"up"
    assert server.worker_pids() == pids


def test_nothing_is_cancelled_before_the_grace_period(asgi):
    server = asgi("--asgi-disconnect-grace-period", "60")
    with server.connect() as connection:
        connection.send(render(target="/sleep?1"))
        server.wait_running()
    with server.connect() as connection:
        connection.expect_silence(0.2)
        assert server.json(target="/seen") == []
    wait_until(lambda: server.json(target="/counts")[0] <= 3, "the task has ended by itself")
    assert "cancelled" not in server.stdout


def test_close_is_announced_on_the_answer_before_it(asgi):
    """A balancer that sends its next request on a closed connection gets no answer: 502."""
    server = asgi("--max-requests", "3", expect_trouble=True)
    with server.connect() as connection:
        answers = [connection.request() for _ in range(2)]
        while answers[-1].keeps_alive:
            answers.append(connection.request())
            assert len(answers) < 1000
        connection.expect_closed()


def test_keepalive_counts_from_the_end_of_the_answer(asgi):
    server = asgi("--keep-alive", "2")
    with server.connect() as connection:
        assert connection.request(target="/sleep?2.5").body == b"slept"
        connection.expect_silence(1)
        assert connection.request().body == b"hello"


def test_port_closes_before_the_last_request_ends(asgi):
    """A balancer sees that the server goes while it still answers."""
    server = asgi("--graceful-timeout", "60")
    with server.connect() as connection:
        connection.send(render(target="/sleep?2"))
        server.wait_running()
        server.kill(signal.SIGTERM)
        wait_until(lambda: not connects(server.address), "the port is closed")
        connection.expect_silence(0.1)
        answer = connection.read_response()
        assert (answer.body, answer.header("connection")) == (b"slept", "close")
    assert server.wait() == 0


def connects(address):
    with contextlib.suppress(OSError):
        socket.create_connection(address, 0.5).close()
        return True
    return False
