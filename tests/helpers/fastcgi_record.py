"""Records of FastCGI 1.0, as nginx's fastcgi_pass sends them, and the answers read back."""

from __future__ import annotations

import socket
import struct

from helpers.uwsgi_packet import Pairs, variables
from helpers.wire import Connection, Response

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, GET_VALUES, GET_VALUES_RESULT, UNKNOWN = (
    1, 2, 3, 4, 5, 6, 9, 10, 11,
)  # fmt: skip
RESPONDER, FILTER = 1, 3
COMPLETE, CANT_MPX_CONN, UNKNOWN_ROLE = 0, 1, 3


def record(kind: int, content: bytes = b"", number: int = 1, padding: int = 0) -> bytes:
    return (
        struct.pack(">BBHHBx", 1, kind, number, len(content), padding) + content + b"\xff" * padding
    )


def begin(number: int = 1, keep: bool = False, role: int = RESPONDER) -> bytes:
    return record(BEGIN, struct.pack(">HB5x", role, keep), number)


def _length(size: int) -> bytes:
    return struct.pack(">I", size | 1 << 31) if size > 127 else bytes([size])


def pairs(items: Pairs) -> bytes:
    """The content of PARAMS or GET_VALUES records."""
    out = b""
    for name, value in items:
        sent = [text.encode("latin-1") if isinstance(text, str) else text for text in (name, value)]
        out += b"".join(_length(len(text)) for text in sent) + b"".join(sent)
    return out


def stream(kind: int, data: bytes, number: int = 1, step: int = 32768) -> bytes:
    """A stream as records of `step` bytes, padded to eight as nginx does, and its end."""
    out = b""
    for at in range(0, len(data), step):
        piece = data[at : at + step]
        out += record(kind, piece, number, -len(piece) % 8)
    return out + record(kind, b"", number)


def request(
    method: str = "GET",
    uri: str = "/",
    body: bytes | None = None,
    *,
    number: int = 1,
    keep: bool = False,
    step: int = 32768,
    **more: str | bytes | None,
) -> bytes:
    """All records of a request; `more` replaces variables, None leaves one out."""
    params = pairs(variables(method, uri, body, **more).items())
    return (
        begin(number, keep)
        + stream(PARAMS, params, number, step)
        + stream(STDIN, body or b"", number, step)
    )


def read_record(connection: Connection) -> tuple[int, int, bytes]:
    """The next record: its type, its request and its content."""
    version, kind, number, size, padding = struct.unpack(">BBHHBx", connection.read(8))
    assert version == 1
    content = connection.read(size)
    connection.read(padding)
    return kind, number, content


def read_output(connection: Connection, number: int = 1) -> bytes:
    """All that a request writes, up to its end."""
    out, ended = bytearray(), False
    while True:
        kind, of, content = read_record(connection)
        assert of == number and kind in (STDOUT, END), (kind, of)
        if kind == END:
            assert content == bytes([0, 0, 0, 0, COMPLETE, 0, 0, 0]) and ended
            return bytes(out)
        assert not ended
        ended = not content
        out += content


def parsed(output: bytes) -> Response:
    """The lines of CGI (RFC 3875 §6.2) and the body behind them."""
    head, _, body = output.partition(b"\r\n\r\n")
    lines = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")]
    assert lines[0][0] == "Status"
    status, _, reason = lines[0][1].partition(" ")
    fields = [(name, value) for name, value in lines[1:]]
    return Response("CGI", int(status), reason, fields, body)


def read_response(connection: Connection, number: int = 1) -> Response:
    return parsed(read_output(connection, number))


def expect_end(connection: Connection) -> None:
    """The server closes a connection that the proxy would keep: on a Unix socket a record of no
    meaning says so, as the end of the connection may come later than that of the request."""
    if connection.sock.family == socket.AF_UNIX:
        assert read_record(connection) == (UNKNOWN, 0, bytes(8))
    connection.expect_closed()


def ask(server, data: bytes) -> Response:
    """The one answer on a connection that the server closes."""
    with server.connect() as connection:
        connection.send(data)
        response = read_response(connection)
        connection.expect_closed()
    return response
