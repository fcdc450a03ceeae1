"""The environ and the answer of a request that a worker of its own has read.

`gunicorn.http.wsgi` has them under gunicorn's names: `create()`, then `start_response`, `write`
and `close` of the response. The engine's requests do not come here.
"""

import os

from gunicorn.http import _environ, errors, wsgi

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NO_BODY = frozenset((204, 304))  # and 1xx (RFC 9110 section 6.4.1)
HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers",
     "transfer-encoding", "upgrade", "server", "date")
)  # fmt: skip


def base_environ(cfg) -> dict:
    """Return the environ's part that all requests have."""
    return {
        "wsgi.errors": wsgi.WSGIErrorsWrapper(cfg),
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": cfg.workers > 1,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": wsgi.FileWrapper,
        "wsgi.input_terminated": True,
        "SERVER_SOFTWARE": wsgi.server_software(),
    }


def default_environ(req, sock, cfg) -> dict:
    """Return the environ but for header fields, addresses and path."""
    return {
        **base_environ(cfg),
        "wsgi.input": req.body,
        "gunicorn.socket": sock,
        "REQUEST_METHOD": req.method,
        "QUERY_STRING": req.query,
        "RAW_URI": req.uri,
        "SERVER_PROTOCOL": "HTTP/{}.{}".format(*req.version),
    }


def create(req, sock, client, server, cfg, response_class=None, response_args=()):
    """Return (response, environ) of a request that came from `client` to `server`, addresses.

    Sends the 100 that the client waits for. Raises ConfigurationProblem for a path outside
    SCRIPT_NAME.
    """
    response = (response_class or SocketResponse)(req, sock, cfg, *response_args)
    environ = default_environ(req, sock, cfg)
    environ["SCRIPT_NAME"] = os.environ.get("SCRIPT_NAME", "")
    _environ.fill(environ, req, client, server, None)
    if environ.get("HTTP_EXPECT", "").lower() == "100-continue" and req.version >= (1, 1):
        sock.sendall(CONTINUE)
    return response, environ


class SocketResponse(wsgi.Response):
    """An answer that is written to the client's socket: `start_response`, `write`, then `close`.

    In chunks where the application gives no length and the client knows them.
    """

    def should_close(self) -> bool:
        """Whether the connection ends with this answer."""
        if self.must_close or self.req.should_close():
            return True
        return self._has_body() and not self.chunked and self.response_length is None

    def start_response(self, status, headers, exc_info=None):
        """PEP 3333's function. Raises if the head cannot be sent."""
        if exc_info:
            try:
                if self.headers_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status is not None:
            raise AssertionError("start_response was called twice")
        self.status_code = int(status.split(None, 1)[0])
        if not 100 <= self.status_code <= 999 or not wsgi.is_value(status):
            raise ValueError(f"{status!r} is no status")
        self.headers, self.response_length = [], None
        for name, value in headers:
            self._add(name, value)
        self.status = status
        self.chunked = (
            self.response_length is None and self._has_body() and self.req.version >= (1, 1)
        )
        return self.write

    def _add(self, name, value):
        if not wsgi.is_token(name):
            raise errors.InvalidResponseHeaderName(repr(name))
        if not wsgi.is_value(value):
            raise errors.InvalidResponseHeader(repr(name))
        if name.lower() == "content-length":
            self.response_length = int(value)
        if name.lower() not in HOP_BY_HOP:
            self.headers.append((name, value.strip(" \t")))

    def _has_body(self) -> bool:
        none = self.req.method == "HEAD" or self.status_code in NO_BODY
        return not none and self.status_code >= 200  # type: ignore[operator]

    def send_headers(self):
        """Send the head, once."""
        if self.headers_sent:
            return
        lines = [f"{name}: {value}\r\n" for name, value in self.headers]
        self.sock.sendall("".join([*self.default_headers(), *lines, "\r\n"]).encode("latin-1"))
        self.headers_sent = True

    def write(self, data):
        """Send a part of the body; bytes beyond Content-Length are dropped."""
        if not isinstance(data, bytes):
            raise TypeError(f"{data!r} is not a byte")
        self.send_headers()
        if self.response_length is not None:
            data = data[: self.response_length - self.sent]
        if not data or not self._has_body():
            return
        self.sent += len(data)
        self.sock.sendall(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def close(self):
        """Send the rest of the answer."""
        self.send_headers()
        if self.chunked:
            self.sock.sendall(b"0\r\n\r\n")
