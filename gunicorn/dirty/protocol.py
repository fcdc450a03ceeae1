"""The messages between web workers, the dirty arbiter and dirty workers.

A message is a header of 16 bytes and a payload of at most 64 MiB, a value of `gunicorn.dirty.tlv`:

    magic "GD" | version (1 byte) | type (1 byte) | length of the payload (4) | id of the call (8)

A call is a REQUEST; it is answered by a RESPONSE, an ERROR, or any number of CHUNKs and an END. If
the arbiter stops before the call has begun, the answer is AGAIN: the next arbiter is to run it.
Numbers are big-endian. The id of an answer is that of its call.
"""

from __future__ import annotations

import struct

from .errors import DirtyError, DirtyProtocolError
from .tlv import TLVEncoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable
    from typing import Any

MAGIC = b"GD"
VERSION = 0x01

MSG_TYPE_REQUEST = 0x01
MSG_TYPE_RESPONSE = 0x02
MSG_TYPE_ERROR = 0x03
MSG_TYPE_CHUNK = 0x04
MSG_TYPE_END = 0x05
MSG_TYPE_AGAIN = 0x06
MSG_TYPE_STASH = 0x10
MSG_TYPE_STATUS = 0x11

MSG_TYPE_TO_STR = {
    MSG_TYPE_REQUEST: "request",
    MSG_TYPE_RESPONSE: "response",
    MSG_TYPE_ERROR: "error",
    MSG_TYPE_CHUNK: "chunk",
    MSG_TYPE_END: "end",
    MSG_TYPE_AGAIN: "again",
    MSG_TYPE_STASH: "stash",
    MSG_TYPE_STATUS: "status",
}
MSG_TYPE_FROM_STR = {text: number for number, text in MSG_TYPE_TO_STR.items()}

STASH_OP_PUT = 1
STASH_OP_GET = 2
STASH_OP_DELETE = 3
STASH_OP_KEYS = 4
STASH_OP_CLEAR = 5
STASH_OP_INFO = 6
STASH_OP_ENSURE = 7
STASH_OP_DELETE_TABLE = 8
STASH_OP_TABLES = 9
STASH_OP_EXISTS = 10

HEADER_FORMAT = ">2sBBIQ"
HEADER_SIZE = struct.calcsize(HEADER_FORMAT)
MAX_MESSAGE_SIZE = 64 * 1024 * 1024  # bytes of payload

_HEADER = struct.Struct(HEADER_FORMAT)
_JOINED_MAX = 64 * 1024  # bytes of a payload that is sent with its header in one call
_IDS = 2**64

#: The fields of each type of message, beside `type` and `id`.
_FIELDS = {
    MSG_TYPE_REQUEST: ("app_path", "action", "args", "kwargs"),
    MSG_TYPE_RESPONSE: ("result",),
    MSG_TYPE_ERROR: ("error",),
    MSG_TYPE_CHUNK: ("data",),
    MSG_TYPE_STASH: ("op", "table", "key", "value", "pattern"),
}


def payload_of(value: Any) -> bytes:
    """Return a payload. Raises DirtyProtocolError for what has no form, or is too large."""
    payload = TLVEncoder.encode(value)
    if len(payload) > MAX_MESSAGE_SIZE:
        raise DirtyProtocolError(
            f"A message of {len(payload)} bytes is too large; {MAX_MESSAGE_SIZE} are allowed"
        )
    return payload


def header_of(kind: int, request_id: int, size: int) -> bytes:
    """Return the header of a message whose payload has `size` bytes."""
    return _HEADER.pack(MAGIC, VERSION, kind, size, request_id % _IDS)


def parse_header(data: bytes | bytearray) -> tuple[int, int, int]:
    """Return type, id and size of the payload. Raises DirtyProtocolError."""
    if len(data) < HEADER_SIZE:
        raise DirtyProtocolError("The header is cut off", bytes(data))
    magic, version, kind, size, request_id = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION or kind not in MSG_TYPE_TO_STR:
        raise DirtyProtocolError("This is no message of version 1", bytes(data[:HEADER_SIZE]))
    if size > MAX_MESSAGE_SIZE:
        raise DirtyProtocolError(
            f"A message of {size} bytes is too large; {MAX_MESSAGE_SIZE} are allowed"
        )
    return kind, request_id, size


def send(sock: socket.socket, kind: int, request_id: int, payload: bytes = b"") -> None:
    """Send a message, however long that takes. Raises OSError."""
    header = header_of(kind, request_id, len(payload))
    if len(payload) <= _JOINED_MAX:
        sock.sendall(header + payload)
    else:
        sock.sendall(header)
        sock.sendall(payload)


def receive(sock: socket.socket) -> tuple[int, int, bytearray]:
    """Receive a message: type, id, payload. Raises EOFError, OSError and DirtyProtocolError."""
    kind, request_id, size = parse_header(receive_exactly(sock, HEADER_SIZE))
    return kind, request_id, receive_exactly(sock, size)


def receive_exactly(
    sock: socket.socket, size: int, left: Callable[[], float | None] | None = None
) -> bytearray:
    """Receive `size` bytes. Raises EOFError, with the number that came, and OSError.

    `left` gives the seconds that are left for all of them, or raises.
    """
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        if left is not None:
            sock.settimeout(left())
        count = sock.recv_into(view[done:])
        if count == 0:
            raise EOFError(done)
        done += count
    return data


def error_dict(error: Any) -> dict[str, Any]:
    """Return an exception, or the dict of one, as it crosses the wire."""
    if isinstance(error, DirtyError):
        return error.to_dict()
    if isinstance(error, dict):
        return error
    return {"error_type": type(error).__name__, "message": str(error), "details": {}}


def message_of(kind: int, request_id: int, payload: Any) -> dict[str, Any]:
    """Return a message as a dict: `type`, `id`, and its fields. Raises DirtyProtocolError."""
    fields = TLVEncoder.decode_full(payload) if len(payload) else {}
    if not isinstance(fields, dict):
        raise DirtyProtocolError("The payload is no dict", bytes(payload[:20]))
    return {**fields, "type": MSG_TYPE_TO_STR[kind], "id": request_id}


class BinaryProtocol:
    """Messages as dicts, over sockets and streams."""

    HEADER_SIZE = HEADER_SIZE
    MAX_MESSAGE_SIZE = MAX_MESSAGE_SIZE

    MSG_TYPE_REQUEST = "request"
    MSG_TYPE_RESPONSE = "response"
    MSG_TYPE_ERROR = "error"
    MSG_TYPE_CHUNK = "chunk"
    MSG_TYPE_END = "end"
    MSG_TYPE_STASH = "stash"
    MSG_TYPE_STATUS = "status"

    encode_header = staticmethod(header_of)
    decode_header = staticmethod(parse_header)

    @staticmethod
    def encode(message: dict[str, Any]) -> bytes:
        """Return the bytes of a message. Raises DirtyProtocolError."""
        kind = MSG_TYPE_FROM_STR.get(message.get("type", ""))
        if kind is None:
            raise DirtyProtocolError(f"Unknown type of message: {message.get('type')!r}")
        fields = {name: message[name] for name in _FIELDS.get(kind, ()) if name in message}
        if kind == MSG_TYPE_ERROR:
            fields["error"] = error_dict(fields.get("error") or {})
        payload = payload_of(fields) if kind in _FIELDS else b""
        request_id = message.get("id", 0)
        number = request_id if isinstance(request_id, int) else hash(request_id)
        return header_of(kind, number, len(payload)) + payload

    @staticmethod
    def decode_message(data: bytes) -> tuple[str, int, dict[str, Any]]:
        """Return type, id and fields of the message that begins `data`."""
        kind, request_id, size = parse_header(data)
        if len(data) < HEADER_SIZE + size:
            raise DirtyProtocolError("The message is cut off", bytes(data[:50]))
        message = message_of(kind, request_id, data[HEADER_SIZE : HEADER_SIZE + size])
        del message["type"], message["id"]
        return MSG_TYPE_TO_STR[kind], request_id, message

    @staticmethod
    def read_message(sock: socket.socket) -> dict[str, Any]:
        """Receive a message. Raises DirtyProtocolError, also at the end of the connection."""
        try:
            return message_of(*receive(sock))
        except EOFError:
            raise DirtyProtocolError("The connection was closed") from None

    @staticmethod
    def write_message(sock: socket.socket, message: dict[str, Any]) -> None:
        """Send a message. Raises DirtyProtocolError and OSError."""
        sock.sendall(BinaryProtocol.encode(message))

    @staticmethod
    async def read_message_async(reader: asyncio.StreamReader) -> dict[str, Any]:
        """Receive a message. Raises DirtyProtocolError and asyncio.IncompleteReadError."""
        kind, request_id, size = parse_header(await reader.readexactly(HEADER_SIZE))
        return message_of(kind, request_id, await reader.readexactly(size))

    @staticmethod
    async def write_message_async(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        """Send a message. Raises DirtyProtocolError and OSError."""
        writer.write(BinaryProtocol.encode(message))
        await writer.drain()


DirtyProtocol = BinaryProtocol


def make_request(
    request_id: int | str,
    app_path: str,
    action: str,
    args: tuple[Any, ...] | None = None,
    kwargs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the message of a call."""
    return {
        "type": "request",
        "id": request_id,
        "app_path": app_path,
        "action": action,
        "args": list(args or ()),
        "kwargs": kwargs or {},
    }


def make_response(request_id: int | str, result: Any) -> dict[str, Any]:
    """Return the message of a result."""
    return {"type": "response", "id": request_id, "result": result}


def make_error_response(request_id: int | str, error: Any) -> dict[str, Any]:
    """Return the message of an error, which is an exception or the dict of one."""
    return {"type": "error", "id": request_id, "error": error_dict(error)}


def make_chunk_message(request_id: int | str, data: Any) -> dict[str, Any]:
    """Return the message of one item of a stream."""
    return {"type": "chunk", "id": request_id, "data": data}


def make_end_message(request_id: int | str) -> dict[str, Any]:
    """Return the message of the end of a stream."""
    return {"type": "end", "id": request_id}


def make_stash_message(
    request_id: int | str,
    op: int,
    table: str,
    key: Any = None,
    value: Any = None,
    pattern: str | None = None,
) -> dict[str, Any]:
    """Return the message of an operation on the stash."""
    given = {"key": key, "value": value, "pattern": pattern}
    return {
        "type": "stash",
        "id": request_id,
        "op": op,
        "table": table,
        **{name: one for name, one in given.items() if one is not None},
    }
