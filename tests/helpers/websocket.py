"""A raw WebSocket client (RFC 6455): sends the frames it is given, and shows those it gets back."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from helpers.wire import Closed, Connection, Response, render

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
)


def handshake(target: str = "/", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """The bytes of an opening handshake, with more headers."""
    return render(target=target, headers=[*HANDSHAKE, *headers])


def frame(opcode: int, payload: bytes = b"", first: int = 0x80) -> bytes:
    """A masked frame; `first` has the other bits of its first byte."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    mask = os.urandom(4)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    masked = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
    return bytes([first | opcode]) + length + mask + masked


class WebSocket:
    """A client whose handshake has been answered with 101. Usable as a context manager."""

    def __init__(self, connection: Connection, answer: Response):
        self.connection = connection
        self.answer = answer

    @property
    def compresses(self) -> bool:
        """Whether the server has agreed on permessage-deflate, so that messages may have RSV1."""
        return bool(self.header("Sec-WebSocket-Extensions"))

    @classmethod
    def open(
        cls, server, target: str = "/", headers: Iterable[tuple[str, str]] = (), **options
    ) -> WebSocket:
        connection = server.connect(**options)
        connection.send(handshake(target, headers))
        answer = connection.read_head()
        assert answer.status == 101, answer
        assert answer.header("Sec-WebSocket-Accept") == ACCEPT
        assert answer.header("Connection").lower() == "upgrade"
        return cls(connection, answer)

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *exc: object) -> None:
        self.connection.close()

    def header(self, name: str) -> str | None:
        return self.answer.header(name)

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        self.connection.send(frame(opcode, payload))

    def receive(self) -> tuple[int, bytes]:
        """The next message, or control frame: its opcode and payload."""
        opcode, payload, last = self.receive_frame()
        while not last:
            continuation, more, last = self.receive_frame()
            assert continuation == 0, "a message within another"
            payload += more
        return opcode, payload

    def receive_frame(self) -> tuple[int, bytes, bool]:
        """The next frame: its opcode and payload, and whether it is the last of its message."""
        first, size = self.connection.read(2)
        assert first & (0x30 if self.compresses else 0x70) == 0, "a reserved bit"
        assert size < 128, "a mask"
        if size == 126:
            (size,) = struct.unpack("!H", self.connection.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.connection.read(8))
        return first & 0xF, self.connection.read(size), first >= 0x80

    def receive_close(self) -> tuple[int, str]:
        """The code and the reason of the close frame that comes next, but for pings."""
        opcode, payload = self.receive()
        while opcode == PING:
            opcode, payload = self.receive()
        assert opcode == CLOSE, (opcode, payload[:100])
        if not payload:
            return 1005, ""
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        payload = b"" if code is None else struct.pack("!H", code) + reason.encode()
        self.send(payload, CLOSE)

    def answer_close(self) -> tuple[int, str]:
        """Answer the server's close frame, see the connection's end; return what it said."""
        code, reason = self.receive_close()
        self.send_close(None if code == 1005 else code)
        self.connection.expect_closed()
        return code, reason

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close, see the answer and the connection's end."""
        self.send_close(code, reason)
        try:
            assert self.receive_close()[0] == (code or 1005)
        except Closed:
            pass
        self.connection.expect_closed()
