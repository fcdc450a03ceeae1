"""What a WSGI application and the hooks see of the server, besides the environ."""

import logging
import sys

from gunicorn._core import FileWrapper

__all__ = ["FileWrapper", "Response", "WSGIErrorsWrapper"]


class WSGIErrorsWrapper:
    """`wsgi.errors`: text for the error log, flushed with each write (PEP 3333).

    Goes to every stream of the error log's handlers, and to standard error when `errorlog` is `-`.
    """

    def __init__(self, cfg) -> None:
        handlers = logging.getLogger("gunicorn.error").handlers
        self._to_stderr = cfg.errorlog == "-"
        self._handlers = handlers[1:] if self._to_stderr else handlers

    @property
    def streams(self) -> list:
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

    def writelines(self, lines) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is ever held back."""


class Response:
    """What was answered, for `post_request` and `Logger.access`.

    `sent` counts the bytes of the body that the client was sent, `headers` is the list that the
    application gave, `response_length` the Content-Length it declared or None.
    """

    __slots__ = (
        "chunked",
        "headers",
        "headers_sent",
        "must_close",
        "response_length",
        "sent",
        "status",
        "status_code",
        "upgrade",
        "version",
    )

    def __init__(self, status, headers, code, sent, has_length, chunked, headers_sent) -> None:
        self.status = status
        self.status_code = code
        self.headers = list(headers or ())
        self.sent = sent
        self.chunked = chunked
        self.headers_sent = headers_sent
        self.response_length = sent if has_length else None
        self.must_close = False
        self.upgrade = False
        self.version = "gunicorn"


def __getattr__(name):
    # For workers that read requests themselves; the engine needs none of it.
    if name in ("base_environ", "create", "default_environ"):
        from gunicorn.http import _by_hand

        return getattr(_by_hand, name)
    if name in ("SERVER", "SERVER_SOFTWARE"):
        import gunicorn

        return getattr(gunicorn, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
