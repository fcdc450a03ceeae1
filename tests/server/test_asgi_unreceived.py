"""An ASGI application that answers before it has received the body."""

from __future__ import annotations

import functools

import pytest
from helpers.wire import render

APP = "asgi_answers:app"
SMALL = 60_000  # bytes of a body whose rest is waited for
LARGE = 70_000


@pytest.fixture
def asgi(serve_asgi):
    """asgi(*args): a server of this test's own."""
    return functools.partial(serve_asgi, APP)


@pytest.fixture(scope="module")
def server(share_asgi):
    """A server that tests share because they leave no trace in it."""
    return share_asgi(APP)


def answered_early(connection, size, *, there=1, more=()):
    """The answer to a request of whose body the first bytes have been sent."""
    headers = [("Content-Length", str(size)), *more]
    connection.send(render("POST", "/", headers) + b"x" * there)
    return connection.read_response()


@pytest.mark.parametrize("there", [0, 1, SMALL - 1])
def test_the_rest_of_a_small_body_is_dropped(server, there):
    """It is not taken for the next request, and the connection is kept."""
    with server.connect() as connection:
        response = answered_early(connection, SMALL, there=there)
        assert response.body == b"hello"
        assert response.header("Connection") != "close"
        connection.send(b"x" * (SMALL - there) + render() + render())
        assert [connection.read_response().body for _ in range(2)] == [b"hello"] * 2


def test_the_rest_of_a_small_body_in_pieces(server):
    with server.connect() as connection:
        for _ in range(2):
            answered_early(connection, 5)
            for _ in range(4):
                connection.send(b"x")
        assert connection.request().body == b"hello"


@pytest.mark.parametrize(
    "size, more", [(LARGE, ()), (SMALL, [("Expect", "100-continue")])], ids=["large", "expects"]
)
def test_a_connection_whose_rest_may_never_come_is_closed(server, size, more):
    with server.connect() as connection:
        response = answered_early(connection, size, there=0, more=more)
        assert response.body == b"hello"
        assert response.header("Connection") == "close"
        connection.expect_closed()


def test_a_client_that_leaves_instead_of_the_rest(server):
    with server.connect() as connection:
        answered_early(connection, SMALL)
    assert server.request().body == b"hello"


def test_a_stop_does_not_wait_for_the_rest(asgi):
    server = asgi()
    with server.connect() as connection:
        answered_early(connection, SMALL)
        assert server.stop() == 0
        connection.expect_closed()
