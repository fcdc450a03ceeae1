"""Errors of requests and of the answers to them. `code`, where given, is the answer's status."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ParseException(Exception):
    """A request cannot be understood, or must not be."""


class NoMoreData(OSError):
    """The client closed the connection in the middle of a request."""

    def __init__(self, buf: bytes | None = None) -> None:
        super().__init__(buf)
        self.buf = buf

    def __str__(self) -> str:
        return f"No more data after: {self.buf!r}"


class _WithValue(ParseException):
    """An error that keeps one value, in the attribute `_name`, and shows it in `_text`."""

    _name: str
    _text: str

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        setattr(self, self._name, value)

    def __str__(self) -> str:
        return self._text.format(getattr(self, self._name))


class ConfigurationProblem(_WithValue):
    """The proxy in front and the configuration contradict each other."""

    code = 500
    info: str
    _name, _text = "info", "Configuration problem: {}"


class InvalidRequestLine(_WithValue):
    """The first line is no request line."""

    code = 400
    req: str
    _name, _text = "req", "Invalid HTTP request line: {!r}"


class InvalidRequestMethod(_WithValue):
    """No method that we accept."""

    method: str
    _name, _text = "method", "Invalid HTTP method: {!r}"


class ExpectationFailed(_WithValue):
    """An Expect header other than 100-continue."""

    code = 417
    expect: str
    _name, _text = "expect", "Unable to comply with expectation: {!r}"


class InvalidHTTPVersion(_WithValue):
    """Not HTTP/1.0 or HTTP/1.1."""

    version: Any
    _name, _text = "version", "Invalid HTTP Version: {!r}"


class ObsoleteFolding(_WithValue):
    """A header field goes on in the next line."""

    hdr: str
    _name, _text = "hdr", "Obsolete line folding is unacceptable: {!r}"


class InvalidHeaderName(_WithValue):
    """No token."""

    hdr: str
    _name, _text = "hdr", "Invalid HTTP header name: {!r}"


class UnsupportedTransferCoding(_WithValue):
    """A Transfer-Encoding that we do not know."""

    code = 501
    hdr: str
    _name, _text = "hdr", "Unsupported transfer coding: {!r}"


class InvalidChunkSize(_WithValue):
    """No hexadecimal number."""

    code = 400
    data: Any
    _name, _text = "data", "Invalid chunk size: {!r}"


class ChunkMissingTerminator(_WithValue):
    """A chunk is longer than it said."""

    code = 400
    term: Any
    _name, _text = "term", "Invalid chunk terminator is not '\\r\\n': {!r}"


class InvalidChunkExtension(_WithValue):
    """The text behind a chunk's size is no extension (RFC 9112 section 7.1.1)."""

    code = 400
    reason: str
    _name, _text = "reason", "Invalid chunk extension: {}"


class LimitRequestHeaders(_WithValue):
    """The header fields are too many or too long."""

    code = 431
    msg: str
    _name, _text = "msg", "{}"


class InvalidProxyLine(_WithValue):
    """PROXY protocol, version 1."""

    code = 400
    line: Any
    _name, _text = "line", "Invalid PROXY line: {!r}"


class InvalidProxyHeader(_WithValue):
    """PROXY protocol, version 2."""

    code = 400
    msg: str
    _name, _text = "msg", "Invalid PROXY header: {}"


class ForbiddenProxyRequest(_WithValue):
    """A PROXY header from a peer that proxy_allow_ips does not list."""

    code = 403
    host: Any
    _name, _text = "host", "Proxy request from {!r} not allowed"


class InvalidH2CPreface(_WithValue):
    """No HTTP/2 where only that is spoken."""

    data: Any
    _name, _text = "data", "Expected HTTP/2 connection preface, got {!r}"


class InvalidHeader(ParseException):
    """A header field has a value that is not allowed."""

    def __init__(self, hdr: str, req: Any = None) -> None:
        super().__init__(hdr, req)
        self.hdr = hdr
        self.req = req

    def __str__(self) -> str:
        return f"Invalid HTTP Header: {self.hdr!r}"


class InvalidResponseHeader(InvalidHeader):
    """The application gave a header value that cannot be sent; the client gets a 500."""

    def __str__(self) -> str:
        return f"Invalid response header from the application: {self.hdr}"


class InvalidResponseHeaderName(InvalidHeaderName):
    """The application gave a header name that cannot be sent; the client gets a 500."""

    def __str__(self) -> str:
        return f"Invalid response header name from the application: {self.hdr}"


class LimitRequestLine(ParseException):
    """The request line is longer than limit_request_line."""

    code = 414

    def __init__(self, size: Any, max_size: int | None = None) -> None:
        super().__init__(size, max_size)
        self.size = size
        self.max_size = max_size

    def __str__(self) -> str:
        if self.max_size is None:
            return str(self.size)
        return f"Request Line is too large ({self.size} > {self.max_size})"


class LimitRequestBody(ParseException, OSError):
    """The body, of unknown length, turned out longer than limit_request_body while it was read.

    An OSError as frameworks expect it of a body that cannot be read. Uncaught it is answered with
    413.
    """

    code = 413

    def __init__(self, max_size: int) -> None:
        super().__init__(max_size)
        self.max_size = max_size

    def __str__(self) -> str:
        return f"Request body is too large (limit_request_body is {self.max_size})"


class InvalidSchemeHeaders(ParseException):
    """The secure_scheme_headers of a request disagree."""

    def __str__(self) -> str:
        return "Contradictory scheme headers"


def answer_to(exc: BaseException) -> tuple[int, str, str]:
    """Return (status, reason, text) to answer a request with that failed by `exc`.

    The text is empty when it is none of the client's business.
    """
    import ssl

    from gunicorn import _core

    if isinstance(exc, InvalidResponseHeader | InvalidResponseHeaderName):
        status, text = 500, ""  # the application's fault, not the client's
    elif isinstance(exc, ssl.SSLError):
        status, text = 403, str(exc)
    elif isinstance(exc, ParseException):
        status, text = getattr(exc, "code", 400), str(exc)
    else:
        status, text = 500, ""
    return status, _core.status_reason(status), text
