"""What subclasses of workers rely on, and what the configuration refuses for ours alone."""

import socket
import ssl

import pytest

from gunicorn.http import errors
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import ThreadWorker


class Own(Worker):
    """Serves by itself."""


class Derived(ThreadWorker):
    """Serves by our engine."""


class Log:
    """Remembers what was said."""

    def __init__(self):
        self.lines = []

    def __getattr__(self, level):
        def say(line, *args, exc_info=None):
            self.lines.append((level, line % args, exc_info))

        return say


def bad_record():
    return ssl.SSLError(1, "bad record")


@pytest.mark.parametrize(
    ("exc", "status"),
    [
        (errors.InvalidRequestLine("x"), b"400 Bad Request"),
        (errors.InvalidHeader("x"), b"400 Bad Request"),
        (errors.ForbiddenProxyRequest("1.2.3.4"), b"403 Forbidden"),
        (bad_record(), b"403 Forbidden"),
        (errors.LimitRequestBody(10), b"413 Content Too Large"),
        (errors.LimitRequestLine(9, 8), b"414 URI Too Long"),
        (errors.ExpectationFailed("x"), b"417 Expectation Failed"),
        (errors.LimitRequestHeaders("many"), b"431 Request Header Fields Too Large"),
        (errors.UnsupportedTransferCoding("x"), b"501 Not Implemented"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_handle_error_of_a_client(exc, status):
    worker, (ours, theirs) = Own.__new__(Own), socket.socketpair()
    worker.log = Log()
    with ours, theirs:
        worker.handle_error(None, ours, ("10.0.0.1", 1234), exc)
        answer = theirs.recv(65536)
    assert answer.startswith(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\n")
    assert worker.log.lines == [("warning", f"Invalid request from ip=10.0.0.1: {exc}", None)]


def test_handle_error_of_the_application():
    """The client is told nothing of it, the log all."""
    worker, (ours, theirs) = Own.__new__(Own), socket.socketpair()
    worker.log = Log()
    exc = ZeroDivisionError("secret")
    with ours, theirs:
        worker.handle_error(None, ours, "", exc)
        answer = theirs.recv(65536)
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"secret" not in answer
    assert worker.log.lines == [("error", "Error handling request (no URI read)", exc)]


def test_handle_error_without_a_client():
    worker, (ours, theirs) = Own.__new__(Own), socket.socketpair()
    worker.log = Log()
    theirs.close()
    with ours:
        worker.handle_error(None, ours, "", ZeroDivisionError())
    assert [level for level, _, _ in worker.log.lines] == ["error", "debug"]
