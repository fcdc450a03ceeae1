"""A client of HTTP/2 on the package h2, which shows all that it is told."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.settings

TIMEOUT = 20.0
HEAD_SIZE = 9  # bytes before the payload of a frame


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

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


def _headers(event) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in event.headers}


class Http2:
    """One connection. Context manager.

    address: (host, port) or the path of a unix socket; context: for TLS, else prior knowledge;
    reads: whether DATA is acknowledged as it comes.
    """

    def __init__(self, address, context: ssl.SSLContext | None = None, reads: bool = True):
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
        self.goaway: tuple[int, int] | None = None  # the last stream, the code
        self.closed = False
        self.buffer = b""
        self.h2.initiate_connection()
        if not reads:  # each stream is stopped by its own window
            self.h2.increment_flow_control_window(1 << 20)
        self.flush()

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
        while (n := self.frame_size()) <= len(self.buffer):
            self.take_frame(self.buffer[:n])
            self.buffer = self.buffer[n:]
        self.flush()
        return True

    def frame_size(self) -> int:
        """Bytes of the frame that the buffer begins with."""
        return HEAD_SIZE + int.from_bytes(self.buffer[:3], "big")

    def take_frame(self, frame: bytes) -> None:
        if self.goaway is None:  # else h2 takes no more
            for event in self.h2.receive_data(frame):
                self.take(event)

    def take(self, event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = (event.last_stream_id, event.error_code)
        elif stream is None:
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
