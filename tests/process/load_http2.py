"""Clients of HTTP/2 that never stop asking, and count the streams that they lost."""

from __future__ import annotations

import asyncio
import struct

import h2.config
import h2.connection
import h2.events
from process.load import PATIENCE, Load

STREAMS = 8  # requests at a time on a connection
HEAD_SIZE = 9  # bytes before the payload of a frame
GOAWAY = 7
REFUSED_STREAM = 7


class Http2Load(Load):
    """So many connections with STREAMS requests at a time, which go on until GOAWAY ends them.

    Lost is a request that the server has taken, by its GOAWAY, and not answered, and each one that
    was open when a connection ended without a GOAWAY. Others are repeated.
    """

    def __init__(self, address, connections: int = 8, tls=None) -> None:
        super().__init__(address, kept=connections, closing=0, tls=tls)
        if tls:
            tls.set_alpn_protocols(["h2"])

    async def _client(self, keep: bool) -> None:
        while not self._stop:
            try:
                reader, writer = await self._open()
            except OSError as exc:
                self.losses[f"connect: {type(exc).__name__}: {exc}"] += 1
                await asyncio.sleep(0.05)
                continue
            connection = Connection(self, reader, writer)
            try:
                await asyncio.wait_for(connection.run(), PATIENCE * 3)
            except (OSError, asyncio.TimeoutError, h2.exceptions.ProtocolError) as exc:
                connection.lose(f"{type(exc).__name__}: {exc}")
            writer.close()


class Connection:
    def __init__(self, load: Http2Load, reader, writer) -> None:
        self.load = load
        self.reader = reader
        self.writer = writer
        config = h2.config.H2Configuration(header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config=config)
        self.open: dict[int, str] = {}  # streams that wait for an answer: their status
        self.last: int | None = None  # the stream that the last GOAWAY names
        self.buffer = b""

    async def run(self) -> None:
        self.h2.initiate_connection()
        while self.ask() or self.open:
            self.writer.write(self.h2.data_to_send())
            data = await asyncio.wait_for(self.reader.read(65536), PATIENCE)
            if not data:
                self.lose("closed")
                return
            self.buffer += data
            self.take_frames()
        self.writer.write(self.h2.data_to_send())

    def ask(self) -> bool:
        """Begin requests; False if no more are to be begun."""
        if self.load._stop or self.last is not None:
            return False
        while len(self.open) < STREAMS:
            number = self.h2.get_next_available_stream_id()
            fields = [
                (":method", "GET"),
                (":scheme", "https" if self.load.tls else "http"),
                (":path", self.load.path),
                (":authority", "localhost"),
            ]
            self.h2.send_headers(number, fields, end_stream=True)
            self.open[number] = ""
        return True

    def take_frames(self) -> None:
        size = HEAD_SIZE + int.from_bytes(self.buffer[:3], "big")
        while HEAD_SIZE <= len(self.buffer) >= size:
            frame, self.buffer = self.buffer[:size], self.buffer[size:]
            if frame[3] == GOAWAY:  # h2 would take no frame more
                self.go_away(*struct.unpack("!II", frame[HEAD_SIZE : HEAD_SIZE + 8]))
            else:
                for event in self.h2.receive_data(frame):
                    self.take(event)
            size = HEAD_SIZE + int.from_bytes(self.buffer[:3], "big")

    def go_away(self, last: int, code: int) -> None:
        self.last = last
        if code != 0:
            self.load.losses[f"GOAWAY with {code}"] += 1
        for number in [number for number in self.open if number > last]:
            del self.open[number]  # to be repeated

    def take(self, event) -> None:
        number = getattr(event, "stream_id", None)
        if isinstance(event, h2.events.ResponseReceived):
            self.open[number] = dict(event.headers)[":status"]
        elif isinstance(event, h2.events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, h2.events.StreamEnded):
            status = self.open.pop(number)
            if status == "200":
                self.load.answers += 1
            else:
                self.load.losses[f"status {status}"] += 1
        elif isinstance(event, h2.events.StreamReset) and number in self.open:
            del self.open[number]
            if event.error_code != REFUSED_STREAM:
                self.load.losses[f"reset with {event.error_code}"] += 1

    def lose(self, why: str) -> None:
        """Those that the server had taken, and all without a GOAWAY."""
        lost = len(self.open)
        if lost:
            self.load.losses[f"{why}, last stream {self.last}"] += lost
