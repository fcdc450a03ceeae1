"""The messages of the control socket.

A message is the length of its JSON (4 bytes, the most significant first), and the JSON:

    {"id": 1, "command": "show workers", "args": []}
    {"id": 1, "status": "ok", "data": {...}}
    {"id": 1, "status": "error", "error": "..."}
"""

from __future__ import annotations

import json
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import socket
    from typing import Any

LENGTH = struct.Struct(">I")


class ProtocolError(Exception):
    """The other side sent bytes that are no message."""


class ControlProtocol:
    """Messages as bytes, on sockets and on asyncio streams."""

    #: Bytes of JSON at most.
    MAX_MESSAGE_SIZE = 16 * 1024 * 1024

    @staticmethod
    def encode_message(data: dict[str, Any]) -> bytes:
        """Return the bytes of a message."""
        text = json.dumps(data).encode()
        return LENGTH.pack(len(text)) + text

    @staticmethod
    def decode_message(data: bytes) -> dict[str, Any]:
        """Return the message at the beginning of `data`. Raises ProtocolError."""
        if len(data) < LENGTH.size:
            raise ProtocolError("the message has no length")
        end = LENGTH.size + _length(data[: LENGTH.size])
        if len(data) < end:
            raise ProtocolError("the message is not complete")
        return _object(data[LENGTH.size : end])

    @staticmethod
    def read_message(sock: socket.socket) -> dict[str, Any]:
        """Return the next message of a socket.

        Raises ConnectionError at the end of the stream, ProtocolError for anything but a message,
        and OSError.
        """
        first = sock.recv(LENGTH.size)
        if not first:
            raise ConnectionError("the connection was closed")
        head = first + _receive(sock, LENGTH.size - len(first))
        return _object(_receive(sock, _length(head)))

    @staticmethod
    def write_message(sock: socket.socket, data: dict[str, Any]) -> None:
        """Send a message. Raises OSError."""
        sock.sendall(ControlProtocol.encode_message(data))

    @staticmethod
    async def read_message_async(reader: asyncio.StreamReader) -> dict[str, Any]:
        """Return the next message of a stream.

        Raises asyncio.IncompleteReadError at its end, and ProtocolError.
        """
        head = await reader.readexactly(LENGTH.size)
        return _object(await reader.readexactly(_length(head)))

    @staticmethod
    async def write_message_async(writer: asyncio.StreamWriter, data: dict[str, Any]) -> None:
        """Send a message on a stream. Raises OSError."""
        writer.write(ControlProtocol.encode_message(data))
        await writer.drain()


def _length(head: bytes) -> int:
    length: int = LENGTH.unpack(head)[0]
    if length > ControlProtocol.MAX_MESSAGE_SIZE:
        raise ProtocolError(f"the message has {length} bytes, more than are allowed")
    return length


def _receive(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = sock.recv(min(size - len(data), 65536))
        if not more:
            raise ProtocolError("the connection was closed amid a message")
        data += more
    return bytes(data)


def _object(text: bytes) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise ProtocolError(f"the message is not JSON: {exc}") from None
    if not isinstance(data, dict):
        raise ProtocolError("the message is not a JSON object")
    return data


def make_request(request_id: int, command: str, args: list[Any] | None = None) -> dict[str, Any]:
    """Return a request; the answer has its `request_id`."""
    return {"id": request_id, "command": command, "args": args or []}


def make_response(request_id: int, data: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the answer to a command that worked."""
    return {"id": request_id, "status": "ok", "data": data or {}}


def make_error_response(request_id: int, error: str) -> dict[str, Any]:
    """Return the answer to a command that did not work."""
    return {"id": request_id, "status": "error", "error": error}
