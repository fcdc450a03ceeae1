"""The request as hooks and loggers see it."""


class Request:
    """One request's head.

    `headers` is a list of (NAME, value) in the order of arrival, `uri` the target as it was sent,
    `peer_addr` and `remote_addr` the client's (address, port), `req_number` counts the requests of
    its connection from 1.
    """

    __slots__ = (
        "body",
        "fragment",
        "headers",
        "method",
        "must_close",
        "path",
        "peer_addr",
        "proceed",
        "proxy_protocol_info",
        "query",
        "remote_addr",
        "req_number",
        "scheme",
        "trailers",
        "uri",
        "version",
        "waited",
    )

    def __init__(
        self, method, uri, path, query, version, headers, peer, https, number, body
    ) -> None:
        self.method = method
        self.uri = uri
        self.path = path
        self.query = query
        self.fragment = uri.partition("#")[2]
        self.version = version
        self.headers = [(name.upper(), value) for name, value in headers]
        self.trailers = []
        self.body = body
        self.scheme = "https" if https else "http"
        self.peer_addr = self.remote_addr = peer
        self.req_number = number
        self.proxy_protocol_info = None
        self.waited = 0.0  # seconds, for a thread
        self.must_close = False

    def should_close(self) -> bool:
        """Whether the client asked for the connection's end after this request (RFC 9112 §9.3)."""
        tokens = [
            token.strip().lower()
            for name, value in self.headers
            if name == "CONNECTION"
            for token in value.split(",")
        ]
        if self.must_close or "close" in tokens:
            return True
        return self.version <= (1, 0) and "keep-alive" not in tokens


Message = Request  # gunicorn's base class of requests: there is no other message here
