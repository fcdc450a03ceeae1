"""The request as hooks, worker classes and loggers see it, and may change it."""

import io


class Unreader:
    """What a request was read from: `sock` is the client's, `environ["gunicorn.socket"]`.

    All of the request has been read. `read()` returns bytes that the client sends after it, and
    takes the connection over, as every read from `sock` does.
    """

    mxchunk = 8192

    def __init__(self, sock) -> None:
        self.sock = sock
        self.buf = io.BytesIO()

    def chunk(self) -> bytes:
        """Return what the client sends next."""
        return self.sock.recv(self.mxchunk)

    def read(self, size=None) -> bytes:
        """Return `size` bytes, or what there is; fewer at the end."""
        if size is None or size < 0:
            data = self.take_buffered()
            return data or self.chunk()
        while self.buf.tell() < size and (data := self.chunk()):
            self.buf.write(data)
        data = self.take_buffered()
        self.unread(data[size:])
        return data[:size]

    def unread(self, data: bytes) -> None:
        """Have the next `read()` return `data` after what was put back before."""
        self.buf.write(data)

    def take_buffered(self) -> bytes:
        """Return what was put back."""
        data = self.buf.getvalue()
        self.buf = io.BytesIO()
        return data


class Request:
    """One request's head.

    `headers` is a list of (NAME, value) in the order of arrival, `uri` the target as it was sent,
    `peer_addr` and `remote_addr` the client's (address, port), `req_number` counts the requests of
    its connection from 1, `waited` is for how many seconds it waited for a thread.

    `pre_request` and a worker's `handle_request()` may change any of it, in place too, and may add
    attributes: the application's environ is made of what they leave.
    """

    def should_close(self) -> bool:
        """Whether the connection ends after this request (RFC 9112 §9.3)."""
        tokens = [
            token.strip().lower()
            for name, value in self.headers
            if name == "CONNECTION"
            for token in value.split(",")
        ]
        if self.must_close or self.method == "CONNECT" or "close" in tokens:
            return True
        return self.version <= (1, 0) and "keep-alive" not in tokens

    def force_close(self) -> None:
        """End the connection after this request."""
        self.must_close = True

    def __getattr__(self, name):
        """Make what few ask for when it is asked for."""
        make = _RARE.get(name)
        if make is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = make(self)
        setattr(self, name, value)
        return value


_RARE = {
    "unreader": lambda req: Unreader(req._sock),
    "limit_request_line": lambda req: req.cfg.limit_request_line,
    "limit_request_fields": lambda req: req.cfg.limit_request_fields,
    "limit_request_field_size": lambda req: req.cfg.limit_request_field_size,
    "max_buffer_headers": lambda req: (
        req.limit_request_fields * (req.limit_request_field_size + 2) + 4
    ),
}


def received(
    cfg, peer, waited, sock, body, method, uri, path, query, version, headers, https, number
) -> Request:
    """Return the request that the engine has read."""
    req = Request.__new__(Request)
    req.cfg = cfg
    req.method = method
    req.uri = uri
    req.path = path
    req.query = query
    req.fragment = uri.partition("#")[2]
    req.version = version
    req.headers = headers
    req.trailers = []
    req.body = body
    req.scheme = "https" if https else "http"
    req.peer_addr = req.remote_addr = req._client = peer
    req.req_number = number
    req.proxy_protocol_info = None
    req.must_close = False
    req.waited = waited
    req._sock = sock
    req._expected_100_continue = False
    return req


def told(req, headers) -> tuple:
    """Return all that an environ and an answer's head depend on, to be compared.

    `headers` are those of `req`, or a copy of them.
    """
    return (
        headers,
        req.method,
        req.uri,
        req.path,
        req.query,
        req.version,
        req.scheme,
        req.body,
        req.must_close,
        req.proxy_protocol_info,
    )
