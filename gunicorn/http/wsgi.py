"""The server as a WSGI application and the hooks see it, besides the environ."""

from __future__ import annotations

import logging
import sys

import gunicorn
from gunicorn import SERVER, SERVER_SOFTWARE, util
from gunicorn._core import FileWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from socket import socket
    from typing import Any

    from gunicorn.config import Config
    from gunicorn.http._by_hand import base_environ as base_environ
    from gunicorn.http._by_hand import create as create
    from gunicorn.http._by_hand import default_environ as default_environ
    from gunicorn.http.message import Request

__all__ = ["SERVER", "SERVER_SOFTWARE", "FileWrapper", "Response", "WSGIErrorsWrapper"]

_IMPORTED = {"SERVER": SERVER, "SERVER_SOFTWARE": SERVER_SOFTWARE}


def _assigned(name: str) -> str:
    """Return a name of the server, which users change here or in `gunicorn`."""
    here = globals()[name]
    return getattr(gunicorn, name) if here == _IMPORTED[name] else here


def server_name() -> str:
    """Return the value of the Server field."""
    return _assigned("SERVER")


def server_software() -> str:
    """Return the value of `environ["SERVER_SOFTWARE"]`."""
    return _assigned("SERVER_SOFTWARE")


def is_token(text: str) -> bool:
    """Return whether `text` may be a field's name (RFC 9110 §5.6.2)."""
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is not a string")
    return bool(text) and all(c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~") for c in text)


def is_value(text: str) -> bool:
    """Return whether `text` may be a field's value (RFC 9110 §5.5)."""
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is not a string")
    return all(c == "\t" or " " <= c <= "~" or "\x80" <= c <= "\xff" for c in text)


class WSGIErrorsWrapper:
    """`wsgi.errors`: text for the error log, flushed with each write (PEP 3333).

    Goes to every stream of the error log's handlers, and to standard error when `errorlog` is `-`.
    """

    def __init__(self, cfg: Config) -> None:
        handlers = logging.getLogger("gunicorn.error").handlers
        self._to_stderr = cfg.errorlog == "-"
        self._handlers = handlers[1:] if self._to_stderr else handlers

    @property
    def streams(self) -> list[Any]:
        """The streams as they are now: reopened log files have new ones."""
        streams = [handler.stream for handler in self._handlers if hasattr(handler, "stream")]
        return [sys.stderr, *streams] if self._to_stderr else streams

    def write(self, data: str) -> None:
        """Write `data`, as UTF-8 where a stream's own encoding has no place for it."""
        for stream in self.streams:
            try:
                stream.write(data)
            except UnicodeError:
                stream.flush()
                stream.buffer.write(data.encode("utf-8", "backslashreplace"))
            stream.flush()

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is ever held back."""


class Response:
    """The answer, for `post_request` and `Logger.access`.

    `sent` counts the bytes of the body that the client was sent, `headers` is the list that the
    application gave, `response_length` the Content-Length it declared or None.

    A subclass in place of `gunicorn.http.wsgi.Response`, or a function in place of its
    `default_headers`, may change the fields of every answer: it is asked once, when the worker
    starts.
    """

    status: str | None = None
    status_code: int | None = None
    chunked = False
    must_close = False
    headers_sent = False
    response_length: int | None = None
    sent = 0
    upgrade = False
    _closes = False

    headers: list[tuple[str, str]]
    version: str
    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init__(self, req: Request, sock: socket, cfg: Config) -> None:
        self.req = req
        self.sock = sock
        self.cfg = cfg
        self.headers = []
        self.version = server_name()

    def should_close(self) -> bool:
        """Whether the connection ends after this answer."""
        return self.must_close or self._closes

    def force_close(self) -> None:
        """Nothing, once the answer has been sent; `Request.force_close()` comes in time."""
        self.must_close = True

    def is_chunked(self) -> bool:
        """Whether the body was sent in chunks."""
        return self.chunked

    def can_sendfile(self) -> bool:
        """Whether the setting `sendfile` allows it."""
        return self.cfg.sendfile is not False

    def default_headers(self) -> list[str]:
        """Return the lines of the head that are the server's own."""
        connection = "close" if self.should_close() else "keep-alive"
        lines = [
            "HTTP/{}.{} {}\r\n".format(*self.req.version, self.status),
            f"Server: {self.version}\r\n",
            f"Date: {util.http_date()}\r\n",
            f"Connection: {'upgrade' if self.upgrade else connection}\r\n",
        ]
        return [*lines, "Transfer-Encoding: chunked\r\n"] if self.chunked else lines


OWN_RESPONSE: type[Response] = Response  # users may replace it later


def __getattr__(name: str) -> Any:
    # For workers that read requests themselves; the engine needs none of it.
    if name in ("base_environ", "create", "default_environ"):
        from gunicorn.http import _by_hand

        return getattr(_by_hand, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
