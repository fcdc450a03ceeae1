"""A client of HTTP/2 on the package h2, which shows all that it is told."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings

TIMEOUT = 20.0
HEAD_SIZE = 9  # bytes before the payload of a frame
GOAWAY = 7  # its type
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c"


@dataclass
class Stream:
    """An answer as far as it has come."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    interim: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    reset: int | None = None
    ended: bool = False

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


def _headers(event) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in event.headers}


class Http2:
    """One connection. Context manager.

    address: (host, port) or the path of a unix socket; context: for TLS, else prior knowledge;
    reads: whether DATA is acknowledged as it comes; upgrade: a request of HTTP/1 which becomes
    stream 1, with SETTINGS in the place of the client's.
    """

    def __init__(
        self,
        address,
        context: ssl.SSLContext | None = None,
        reads: bool = True,
        upgrade: bytes | None = None,
    ):
        self.reads = reads
        self.scheme = "https" if context else "http"
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(address)
        if context:
            context.set_alpn_protocols(["h2"])
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
            assert self.sock.selected_alpn_protocol() == "h2"  # type: ignore[attr-defined]
        config = h2.config.H2Configuration(
            validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config=config)
        self.streams: dict[int, Stream] = {}
        self.goaway: tuple[int, int] | None = None  # the last one: a stream, a code
        self.closed = False
        self.buffer = b""
        if upgrade is None:
            self.h2.initiate_connection()
        else:
            self.begin_upgraded(upgrade)
        if not reads:  # each stream is stopped by its own window
            self.h2.increment_flow_control_window(1 << 20)
        self.flush()

    def begin_upgraded(self, request: bytes) -> None:
        settings = self.h2.initiate_upgrade_connection()
        self.streams[1] = Stream()
        self.sock.sendall(request.replace(b"SETTINGS", settings))
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            assert data, self.buffer
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        assert head == SWITCHING, head
        self.take_frames()

    def __enter__(self) -> Http2:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def begin(self, method="GET", path="/", headers=(), ended=True, authority="localhost") -> int:
        """Send a head. Returns the number of its stream."""
        number = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", self.scheme), (":path", path)]
        if authority:
            pseudo.append((":authority", authority))
        self.streams[number] = Stream()
        self.h2.send_headers(number, [*pseudo, *headers], end_stream=ended)
        self.flush()
        return number

    def send(self, number: int, body: bytes, ended: bool = True) -> None:
        """Send a body, as fast as the server takes it."""
        while body and not self.streams[number].over:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if room == 0:
                self.receive()
                continue
            self.h2.send_data(number, body[:room])
            body = body[room:]
            self.flush()
        if ended and not self.streams[number].over:
            self.h2.end_stream(number)
            self.flush()

    def receive(self) -> bool:
        """Take what comes next. False: the server has closed."""
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return False
        self.buffer += data
        self.take_frames()
        return True

    def take_frames(self) -> None:
        while (n := self.frame_size()) <= len(self.buffer):
            self.take_frame(self.buffer[:n])
            self.buffer = self.buffer[n:]
        self.flush()

    def frame_size(self) -> int:
        """Bytes of the frame that the buffer begins with."""
        return HEAD_SIZE + int.from_bytes(self.buffer[:3], "big")

    def take_frame(self, frame: bytes) -> None:
        if frame[3] == GOAWAY:  # h2 would take no more
            last, code = struct.unpack("!II", frame[HEAD_SIZE : HEAD_SIZE + 8])
            self.goaway = (last, code)
            return
        for event in self.h2.receive_data(frame):
            self.take(event)

    def take(self, event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        elif isinstance(event, h2.events.InformationalResponseReceived):
            headers = _headers(event)
            stream.interim.append((int(headers.pop(":status")), headers))
        elif isinstance(event, h2.events.ResponseReceived):
            stream.headers = _headers(event)
            stream.status = int(stream.headers.pop(":status"))
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.reads:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = _headers(event)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = event.error_code

    def answer(self, number: int) -> Stream:
        """Wait for the end of an answer."""
        stream = self.streams[number]
        while not stream.over:
            assert self.receive(), f"closed before the end of stream {number}: {self.goaway}"
        return stream

    def request(self, method="GET", path="/", headers=(), body: bytes | None = None) -> Stream:
        number = self.begin(method, path, headers, ended=body is None)
        if body is not None:
            self.send(number, body)
        return self.answer(number)

    def wait_closed(self) -> None:
        while self.receive():
            pass
