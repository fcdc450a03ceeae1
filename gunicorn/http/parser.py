"""Requests from bytes, by the engine's own parser: for tests, and for workers that read themselves.

    data = [b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"]
    for request in RequestParser(cfg, data, ("127.0.0.1", 4711)):
        request.headers, request.body.read()

The worker classes do not come here: the engine reads their clients.
"""

from ipaddress import ip_address

from gunicorn import _core
from gunicorn.config import Config
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader, SocketUnreader, Unreader

HEADER_MAPS = ("drop", "refuse", "dangerous")  # in the engine's order
UINT_MAX = 2**32 - 1
DRAIN_STEP = 65536  # bytes of a body that is passed over


class ParsedRequest(Request):
    """A request that was read from `unreader`; its `body` is read from there on.

    Raises NoMoreData where the bytes end before its head does, and ParseException where the
    engine would refuse it.
    """

    def __init__(self, cfg: Config, unreader: Unreader, peer_addr, req_number: int = 1) -> None:
        self.cfg = cfg
        self.unreader = unreader
        self.peer_addr = self.remote_addr = peer_addr
        self.req_number = req_number
        self.trailers = []
        self.proxy_protocol_info = None
        self.waited = 0.0
        self._take(self._read())

    def _parse(self, data):
        """Return the head that `data` begins with, None while it is not whole."""
        return _core.parse_head(data, limits_of(self.cfg), *_policy(self.cfg, self.peer_addr))

    def _read(self):
        data = b""
        while True:
            more = self.unreader.read()
            if not more:
                raise NoMoreData(data)
            data += more
            head = self._parse(data)
            if head is not None:
                self.unreader.unread(data[head[0] :])
                return head

    def _take(self, head):
        _size, self.method, self.uri, self.path, self.query, self.version, *rest = head
        self.headers, https, length, self.must_close = rest
        self.scheme = "https" if https or self.cfg.is_ssl else "http"
        self.fragment = self.uri.partition("#")[2]
        if length is None:
            self.body = Body(ChunkedReader(self, self.unreader))
        else:
            self.body = Body(LengthReader(self.unreader, length))


def limits_of(cfg) -> tuple[int, ...]:
    """Return the limits of a head, as the engine's parsers take them."""
    limits = (cfg.limit_request_line, cfg.limit_request_fields, cfg.limit_request_field_size)
    return tuple(min(limit, UINT_MAX) for limit in limits)


def _policy(cfg, peer):
    """Return the other arguments of the engine's parser: settings, and facts about the client."""
    permits = (
        cfg.permit_obsolete_folding,
        cfg.permit_unconventional_http_method,
        cfg.permit_unconventional_http_version,
        cfg.strip_header_spaces,
        cfg.casefold_http_method,
    )
    names = (
        HEADER_MAPS.index(cfg.header_map),
        list(cfg.forwarder_headers),
        list(cfg.secure_scheme_headers.items()),
    )
    is_address = isinstance(peer, tuple) and peer
    trust = (
        [str(one) for one in cfg.forwarded_allow_ips],
        ip_address(peer[0]).packed if is_address else None,  # a unix socket's client is trusted
    )
    return permits, names, trust, cfg.is_ssl


class Parser:
    """Messages from a source, a socket or an iterable of bytes, one after the other.

    `source_addr` is the client's (address, port). A message's body is passed over when the next
    one is asked for. There is none after one whose sender wants the connection closed, or whose
    body has an error.
    """

    mesg_class: type[ParsedRequest]

    def __init__(self, cfg: Config, source, source_addr) -> None:
        self.cfg = cfg
        self.source_addr = source_addr
        unreader = SocketUnreader if hasattr(source, "recv") else IterUnreader
        self.unreader = unreader(source)
        self.mesg: ParsedRequest | None = None
        self.req_count = 0

    def __iter__(self) -> "Parser":
        return self

    def __next__(self) -> ParsedRequest:
        if self.mesg is not None and (self.mesg.should_close() or not self.finish_body()):
            raise StopIteration
        self.req_count += 1
        try:
            self.mesg = self.mesg_class(self.cfg, self.unreader, self.source_addr, self.req_count)
        except NoMoreData as exc:
            if exc.buf:
                raise
            raise StopIteration from None
        return self.mesg

    next = __next__

    def finish_body(self) -> bool:
        """Pass over the rest of the message's body. Return whether it had an end."""
        try:
            while self.mesg is not None and self.mesg.body.read(DRAIN_STEP):
                pass
        except (NoMoreData, ParseException):
            self.mesg.force_close()  # type: ignore[union-attr]
            return False
        return True


class RequestParser(Parser):
    """The requests of a connection."""

    mesg_class = ParsedRequest
