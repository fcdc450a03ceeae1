"""Errors of requests and of the answers to them. `code`, where given, is the answer's status."""


class ParseException(Exception):
    """A request cannot be understood, or must not be."""


class NoMoreData(OSError):
    """The client closed the connection in the middle of a request."""

    def __init__(self, buf=None):
        super().__init__(buf)
        self.buf = buf

    def __str__(self):
        return f"No more data after: {self.buf!r}"


def _described(name, attribute, text, code=None, base=ParseException, doc=""):
    """Make an exception class that keeps one value and tells it in `text`."""

    def __init__(self, value):
        super(cls, self).__init__(value)
        setattr(self, attribute, value)
        if code is not None:
            self.code = code

    def __str__(self):
        return text.format(getattr(self, attribute))

    body = {"__init__": __init__, "__str__": __str__, "__doc__": doc, "__module__": __name__}
    cls = type(name, (base,), body)
    return cls


ConfigurationProblem = _described(
    "ConfigurationProblem", "info", "Configuration problem: {}", 500,
    doc="The proxy in front and the configuration contradict each other.",
)  # fmt: skip
InvalidRequestLine = _described(
    "InvalidRequestLine", "req", "Invalid HTTP request line: {!r}", 400,
    doc="The first line is no request line.",
)  # fmt: skip
InvalidRequestMethod = _described(
    "InvalidRequestMethod", "method", "Invalid HTTP method: {!r}", doc="No method that we accept."
)
ExpectationFailed = _described(
    "ExpectationFailed", "expect", "Unable to comply with expectation: {!r}", 417,
    doc="An Expect header other than 100-continue.",
)  # fmt: skip
InvalidHTTPVersion = _described(
    "InvalidHTTPVersion", "version", "Invalid HTTP Version: {!r}", doc="Not HTTP/1.0 or HTTP/1.1."
)
ObsoleteFolding = _described(
    "ObsoleteFolding", "hdr", "Obsolete line folding is unacceptable: {!r}",
    doc="A header field goes on in the next line.",
)  # fmt: skip
InvalidHeaderName = _described(
    "InvalidHeaderName", "hdr", "Invalid HTTP header name: {!r}", doc="No token."
)
UnsupportedTransferCoding = _described(
    "UnsupportedTransferCoding", "hdr", "Unsupported transfer coding: {!r}", 501,
    doc="A Transfer-Encoding that we do not know.",
)  # fmt: skip
InvalidChunkSize = _described(
    "InvalidChunkSize", "data", "Invalid chunk size: {!r}", 400, doc="No hexadecimal number."
)
ChunkMissingTerminator = _described(
    "ChunkMissingTerminator", "term", "Invalid chunk terminator is not '\\r\\n': {!r}", 400,
    doc="A chunk is longer than it said.",
)  # fmt: skip
InvalidChunkExtension = _described(
    "InvalidChunkExtension", "reason", "Invalid chunk extension: {}", 400,
    doc="What follows a chunk's size is no extension (RFC 9112 section 7.1.1).",
)  # fmt: skip
LimitRequestHeaders = _described(
    "LimitRequestHeaders", "msg", "{}", 431, doc="The header fields are too many or too long."
)
InvalidProxyLine = _described(
    "InvalidProxyLine", "line", "Invalid PROXY line: {!r}", 400, doc="PROXY protocol, version 1."
)
InvalidProxyHeader = _described(
    "InvalidProxyHeader", "msg", "Invalid PROXY header: {}", 400, doc="PROXY protocol, version 2."
)
ForbiddenProxyRequest = _described(
    "ForbiddenProxyRequest", "host", "Proxy request from {!r} not allowed", 403,
    doc="A PROXY header from a peer that proxy_allow_ips does not list.",
)  # fmt: skip
InvalidH2CPreface = _described(
    "InvalidH2CPreface", "data", "Expected HTTP/2 connection preface, got {!r}",
    doc="No HTTP/2 where only that is spoken.",
)  # fmt: skip


class InvalidHeader(ParseException):
    """A header field has a value that is not allowed."""

    def __init__(self, hdr, req=None):
        super().__init__(hdr, req)
        self.hdr = hdr
        self.req = req

    def __str__(self):
        return f"Invalid HTTP Header: {self.hdr!r}"


class InvalidResponseHeader(InvalidHeader):
    """The application gave a header value that cannot be sent; the client gets a 500."""

    def __str__(self):
        return f"Invalid response header from the application: {self.hdr}"


class InvalidResponseHeaderName(InvalidHeaderName):
    """The application gave a header name that cannot be sent; the client gets a 500."""

    def __str__(self):
        return f"Invalid response header name from the application: {self.hdr}"


class LimitRequestLine(ParseException):
    """The request line is longer than limit_request_line."""

    code = 414

    def __init__(self, size, max_size=None):
        super().__init__(size, max_size)
        self.size = size
        self.max_size = max_size

    def __str__(self):
        if self.max_size is None:
            return str(self.size)
        return f"Request Line is too large ({self.size} > {self.max_size})"


class LimitRequestBody(ParseException, OSError):
    """The body, of unknown length, turned out longer than limit_request_body while it was read.

    An OSError as frameworks expect it of a body that cannot be read. Uncaught it is answered with
    413.
    """

    code = 413

    def __init__(self, max_size):
        super().__init__(max_size)
        self.max_size = max_size

    def __str__(self):
        return f"Request body is too large (limit_request_body is {self.max_size})"


class InvalidSchemeHeaders(ParseException):
    """The secure_scheme_headers of a request disagree."""

    def __str__(self):
        return "Contradictory scheme headers"


# The phrases of the engine's refusals (RFC 9110 section 15.5), whatever this Python calls them.
_REASONS = {413: "Content Too Large", 414: "URI Too Long"}


def answer_to(exc):
    """Return (status, reason, text) to answer a request with that failed by `exc`.

    The text is empty when it is none of the client's business.
    """
    import ssl
    from http import HTTPStatus

    if isinstance(exc, ssl.SSLError):
        status, text = 403, str(exc)
    elif isinstance(exc, ParseException):
        status, text = getattr(exc, "code", 400), str(exc)
    else:
        status, text = 500, ""
    return status, _REASONS.get(status, HTTPStatus(status).phrase), text
