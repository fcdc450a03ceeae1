"""ASGI applications that send messages while the server reads another, or from other threads.

The second of two that exclude each other is refused, and the worker goes on.
"""

from __future__ import annotations

import pytest
from helpers.server import SANITIZED, Server
from helpers.websocket import CLOSE, frame, handshake
from helpers.wire import Closed, render, wait_until

HTTP = {
    "start": "OSError",
    "start_only": "RuntimeError",
    "trailers": "OSError",
    "status": "OSError",
    "body": "OSError",
    "file": "OSError",
    "piece": "OSError",
    "links": "NoneType",
    "thread": "RuntimeError",
}
SOCKETS = {
    "accept": "RuntimeError",
    "accept_close": "RuntimeError",
    "refuse": "RuntimeError",
    "deny": "RuntimeError",
    "close": "RuntimeError",
    "close_denied": "RuntimeError",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Freed memory is overwritten."""
    env = {} if SANITIZED else {"PYTHONMALLOC": "debug"}
    directory = tmp_path_factory.mktemp("reentrant")
    args = ["-k", "asgi", "attack.reentrant_asgi:app"]
    one = Server(args, directory, env=env, expect_trouble=True).start()
    one.pids = one.worker_pids()
    yield one
    problems = one.close()
    assert not problems, "\n".join(problems)


def assert_raised(server, before, name):
    line = wait_until(lambda: server.stdout[before:], "the application notes its error")
    assert line.strip().replace("BrokenPipeError", "OSError") == name
    assert server.request().body == b"done"
    assert server.worker_pids() == server.pids


@pytest.mark.parametrize("case", HTTP)
def test_a_message_within_another(server, case):
    before = len(server.stdout)
    with server.connect() as connection:
        connection.send(render(target=f"/{case}"))
        try:
            connection.read_response()
        except Closed:
            assert case == "start_only"
    assert_raised(server, before, HTTP[case])


@pytest.mark.parametrize("case", SOCKETS)
def test_a_message_of_a_websocket_within_another(server, case):
    before = len(server.stdout)
    with server.connect() as connection:
        connection.send(handshake(f"/{case}"))
        connection.read_head()
        assert_raised(server, before, SOCKETS[case])
        connection.send_if_open(frame(CLOSE, b"\3\xe8"))
