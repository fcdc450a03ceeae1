"""The request as hooks, worker classes and loggers see it, and may change it."""

from __future__ import annotations

from operator import is_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gunicorn.config import Config
    from gunicorn.http.unreader import Unreader


class Request:
    """One request's head.

    `headers` is a list of (NAME, value) in the order of arrival, `uri` the target as it was sent,
    `peer_addr` and `remote_addr` the client's (address, port), `req_number` counts the requests of
    its connection from 1, `waited` is for how many seconds it waited for a thread. `uwsgi_vars`, by
    uwsgi and FastCGI alone, has the variables of the proxy.

    `pre_request` and a worker's `handle_request()` may change any of it, in place too, and may add
    attributes: the application's environ is made from the result.
    """

    cfg: Config
    unreader: Unreader
    method: str
    uri: str
    path: str
    query: str
    fragment: str
    version: tuple[int, int]
    headers: list[tuple[str, str]]
    trailers: list[tuple[str, str]]
    body: Any
    scheme: str
    peer_addr: tuple[str, int] | str
    remote_addr: tuple[str, int] | str
    req_number: int
    proxy_protocol_info: dict[str, Any] | None
    uwsgi_vars: dict[str, str]
    must_close: bool
    waited: float
    limit_request_line: int
    limit_request_fields: int
    limit_request_field_size: int
    max_buffer_headers: int
    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None: ...

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
        return tuple(self.version) <= (1, 0) and "keep-alive" not in tokens

    def force_close(self) -> None:
        """End the connection after this request."""
        self.must_close = True

    def __getattr__(self, name: str) -> Any:
        """Make a rare attribute at its first use."""
        make = _RARE.get(name)
        if make is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = make(self)
        setattr(self, name, value)
        return value


def _unreader(req):
    """Return the reader of the client's socket: all of the request has been read from it."""
    from gunicorn.http.unreader import SocketUnreader  # few ask for it

    return SocketUnreader(req._sock)


_RARE = {
    "unreader": _unreader,
    "limit_request_line": lambda req: req.cfg.limit_request_line,
    "limit_request_fields": lambda req: req.cfg.limit_request_fields,
    "limit_request_field_size": lambda req: req.cfg.limit_request_field_size,
    "max_buffer_headers": lambda req: (
        req.limit_request_fields * (req.limit_request_field_size + 2) + 4
    ),
}


def received(
    cfg: Config,
    peer: tuple[str, int] | str,
    waited: float,
    sock: Any,
    body: Any,
    method: str,
    uri: str,
    path: str,
    query: str,
    version: tuple[int, int],
    headers: list[tuple[str, str]],
    https: bool,
    number: int,
    proxied: dict[str, Any] | None = None,
    variables: dict[str, str] | None = None,
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
    req.proxy_protocol_info = proxied
    req.must_close = False
    req.waited = waited
    req._sock = sock
    req._expected_100_continue = False
    if variables is not None:
        from gunicorn.http import _environ  # few servers have a gateway

        req.uwsgi_vars = variables | _environ.http_variables(headers)
    return req


_OWN_SHOULD_CLOSE = Request.should_close


def remember(req: Request) -> None:
    """Keep the state that the engine has read, for `is_as_received`."""
    req._received = (*req.headers, *_rest(req))


def is_as_received(req: Request) -> bool:
    """Return whether nothing is changed on which an environ and an answer's head depend.

    Objects are compared by identity: those of others may say that they equal ours. A list or
    request of another class may show other fields than it has.
    """
    if type(req) is not Request or type(req.headers) is not list:
        return False
    if getattr(req.should_close, "__func__", None) is not _OWN_SHOULD_CLOSE:
        return False
    now = (*req.headers, *_rest(req))
    return len(now) == len(req._received) and all(map(is_, now, req._received))


def _rest(req) -> tuple:
    return (
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


Message = Request  # gunicorn's base class of requests: there is no other message here
