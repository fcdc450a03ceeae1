"""A WebSocket on a stream of HTTP/2 (RFC 8441), with the frames of helpers.websocket."""

from __future__ import annotations

from collections.abc import Iterable

from helpers.http2 import Http2
from helpers.websocket import WebSocket
from helpers.wire import Closed

CANCEL = 8
NO_ERROR = 0


class StreamConnection:
    """A stream, as helpers.websocket and its tests use a connection."""

    def __init__(self, client: Http2, number: int):
        self.client = client
        self.number = number
        self.stream = client.streams[number]
        self.at = 0  # bytes that were read
        self.left = False

    def send(self, data: bytes) -> None:
        self.client.send(self.number, data, ended=False)

    def send_if_open(self, data: bytes) -> None:
        self.send(data)

    def read(self, n: int) -> bytes:
        while len(self.stream.body) < self.at + n:
            if self.stream.over or not self.client.receive():
                raise Closed("the stream has ended")
        self.at += n
        return self.stream.body[self.at - n : self.at]

    def end_of_input(self) -> None:
        self.client.h2.end_stream(self.number)
        self.client.flush()

    def abort(self) -> None:
        self.left = True
        self.client.h2.reset_stream(self.number, CANCEL)
        self.client.flush()

    def close(self) -> None:
        if not self.left and not self.stream.over and not self.client.closed:
            self.abort()

    def expect_closed(self) -> None:
        while not self.stream.over:
            assert self.client.receive(), "the connection has ended"
        assert len(self.stream.body) == self.at, self.stream.body[self.at :][:100]
        assert self.stream.reset in (None, NO_ERROR)


def ask(
    client: Http2,
    target: str = "/",
    headers: Iterable[tuple[str, str]] = (),
    protocol: str = "websocket",
    version: str = "13",
) -> int:
    """Send an extended CONNECT. Returns the number of its stream."""
    fields = [(name.lower(), value) for name, value in headers]
    if version:
        fields.append(("sec-websocket-version", version))
    return client.begin("CONNECT", target, [(":protocol", protocol), *fields], ended=False)


def open_websocket(
    client: Http2, target: str = "/", headers: Iterable[tuple[str, str]] = ()
) -> WebSocket:
    number = ask(client, target, headers)
    stream = client.streams[number]
    while not stream.status:
        assert client.receive(), "closed without an answer"
    assert stream.status == 200
    return WebSocket(StreamConnection(client, number), stream)  # type: ignore[arg-type]
