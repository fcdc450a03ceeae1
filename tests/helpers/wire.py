"""A raw HTTP/1.1 client: sends the bytes it is given and is strict about the bytes it gets back."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

#: Seconds that any single step may take where nothing slows it down, and here.
STEP = 15.0
STEP_TIMEOUT = float(os.environ.get("GUNICORN_TEST_TIMEOUT", STEP))

Address = str | tuple

STATUS_LINE = re.compile(rb"HTTP/(\d\.\d) (\d{3}) ([\t \x21-\x7e\x80-\xff]*)")
FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t \x21-\x7e\x80-\xff]*)")
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]+")


class WireError(AssertionError):
    """The server said something that is not HTTP/1.1, or nothing in time."""


class Closed(WireError):
    """The server closed the connection in the middle of a message."""


@dataclass
class Response:
    """One response as it came over the wire."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    #: The chunks of a chunked body, None for any other framing.
    chunks: list[bytes] | None = None
    #: The interim (1xx) responses that came first.
    interim: list[Response] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The only value of a header; None if it is absent. It may not be repeated."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} is repeated: {values}"
        return values[0] if values else None

    @property
    def keeps_alive(self) -> bool:
        """Whether the server says that it will answer another request on the connection."""
        return "close" not in (self.header("Connection") or "").lower()


class Connection:
    """A connection to the server under test. Usable as a context manager."""

    def __init__(
        self,
        address: Address,
        timeout: float = STEP_TIMEOUT,
        receive_buffer: int | None = None,
    ):
        family = socket.AF_UNIX
        if isinstance(address, tuple):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        if family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.ended = False

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    def abort(self) -> None:
        """Close with a reset instead of a FIN."""
        self.sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        self.sock.close()

    # Sending

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_if_open(self, data: bytes) -> bool:
        """Send all of data; False when the server has closed meanwhile."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def send_in_pieces(self, data: bytes, size: int = 1) -> None:
        """Send data so that each piece leaves as a segment of its own."""
        for start in range(0, len(data), size):
            self.sock.sendall(data[start : start + size])

    def end_of_input(self) -> None:
        """Tell the server that nothing more will come; reading goes on."""
        self.sock.shutdown(socket.SHUT_WR)

    # Receiving

    def _fill(self) -> bool:
        if self.ended:
            return False
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            raise WireError(f"no answer in time; so far: {bytes(self.buffer[:300])!r}") from None
        if not data:
            self.ended = True
            return False
        self.buffer += data
        return True

    def _need(self, what: str) -> None:
        if not self._fill():
            raise Closed(f"closed while reading {what}; left: {bytes(self.buffer[:300])!r}")

    def _line(self) -> bytes:
        while (end := self.buffer.find(b"\n")) < 0:
            self._need("a line")
        line = bytes(self.buffer[: end + 1])
        del self.buffer[: end + 1]
        if not line.endswith(b"\r\n"):
            raise WireError(f"a line that ends with a bare LF: {line!r}")
        return line[:-2]

    def await_answer(self) -> None:
        """Until its first byte is there, and leave the rest to the server."""
        if not self.buffer:
            self.buffer += self.sock.recv(1)
        assert self.buffer, "closed without an answer"

    def read(self, size: int) -> bytes:
        """Exactly size bytes."""
        while len(self.buffer) < size:
            self._need(f"{size} bytes")
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def read_head(self) -> Response:
        """A status line and headers; the body is left unread."""
        line = self._line()
        match = STATUS_LINE.fullmatch(line)
        if match is None:
            raise WireError(f"not a status line: {line!r}")
        version, status, reason = (part.decode("latin-1") for part in match.groups())
        headers = []
        while line := self._line():
            match = FIELD_LINE.fullmatch(line)
            if match is None:
                raise WireError(f"not a header line: {line!r}")
            headers.append((match[1].decode("latin-1"), match[2].decode("latin-1")))
        return Response(version, int(status), reason, headers)

    def read_chunk(self) -> bytes:
        """One chunk; b"" is the last one, its trailer section read too."""
        line = self._line()
        if not CHUNK_SIZE.fullmatch(line):
            raise WireError(f"not a chunk size: {line!r}")
        size = int(line, 16)
        data = self.read(size)
        if self._line() != b"":
            raise WireError("a chunk that is longer than its size says")
        return data

    def read_to_end(self) -> bytes:
        """All that comes until the server closes."""
        while self._fill():
            pass
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def read_response(self, method: str = "GET") -> Response:
        """One whole response, after the interim ones, which it collects."""
        interim = []
        while (response := self.read_head()).status < 200 and response.status != 101:
            interim.append(response)
        response.interim = interim
        codings = response.header("Transfer-Encoding")
        length = response.header("Content-Length")
        if codings is not None and length is not None:
            raise WireError("both Content-Length and Transfer-Encoding")
        if method == "HEAD" or response.status in (101, 204, 304):
            return response
        if codings is not None:
            if codings != "chunked":
                raise WireError(f"Transfer-Encoding: {codings}")
            response.chunks = []
            while chunk := self.read_chunk():
                response.chunks.append(chunk)
            response.body = b"".join(response.chunks)
        elif length is not None:
            if not re.fullmatch("[0-9]+", length):
                raise WireError(f"Content-Length: {length}")
            response.body = self.read(int(length))
        else:
            if response.keeps_alive:
                raise WireError("a body without length on a connection that stays open")
            response.body = self.read_to_end()
        return response

    def expect_closed(self) -> None:
        """The server closes and says nothing more."""
        rest = self.read_to_end()
        assert rest == b"", f"more than one answer: {rest[:300]!r}"

    def expect_silence(self, seconds: float) -> None:
        """Nothing comes, not even the end, for so long."""
        assert not self.buffer, f"unexpected: {bytes(self.buffer[:300])!r}"
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return
        finally:
            self.sock.settimeout(STEP_TIMEOUT)
        raise WireError(f"unexpected: {data[:300]!r}" if data else "closed too early")

    def request(
        self,
        method: str = "GET",
        target: str = "/",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Response:
        """Send a request and read its response; the connection is left as the server leaves it."""
        self.send(render(method, target, headers, body))
        return self.read_response(method)


def render(
    method: str = "GET",
    target: str = "/",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    version: str = "1.1",
) -> bytes:
    """The bytes of a request: Host and Content-Length are added unless they are given."""
    fields = list(headers)
    names = {name.lower() for name, _ in fields}
    if "host" not in names:
        fields.insert(0, ("Host", "example.com"))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        fields.append(("Content-Length", str(len(body))))
    head = f"{method} {target} HTTP/{version}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields)
    return head.encode("latin-1") + b"\r\n" + (body or b"")


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    """A chunked body of these pieces, none of which may be empty."""
    assert all(pieces)
    parts = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    return b"".join(parts) + b"0\r\n" + trailers + b"\r\n"


def wait_until(condition, what, timeout: float = STEP, interval: float = 0.01):
    """Poll until condition() is true and return its value.

    timeout: where nothing slows us down; under a sanitizer it is as many times longer as a step is.
    Fails when time is up, with `what`, or with what it returns then.
    """
    timeout *= STEP_TIMEOUT / STEP
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not in {timeout:g} s: {what() if callable(what) else what}")
        time.sleep(interval)
    return value
