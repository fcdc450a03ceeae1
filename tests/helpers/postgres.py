"""As much of a PostgreSQL server as a driver needs to connect and to sleep: `SELECT pg_sleep(1)`.

Protocol 3.0, without TLS and passwords; the simple and the extended query. Each query is answered
with one row and one column of text.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
import time

STARTUP, CANCEL = 196608, 80877102
SETTINGS = {"server_version": "15.0", "server_encoding": "UTF8", "client_encoding": "UTF8",
            "DateStyle": "ISO, MDY", "standard_conforming_strings": "on", "TimeZone": "UTC",
            "integer_datetimes": "on", "IntervalStyle": "postgres"}  # fmt: skip
TEXT = 25  # the type


def message(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return kind + struct.pack("!I", len(body) + 4) + body


def text(value: str) -> bytes:
    return value.encode() + b"\0"


DESCRIPTION = message(b"T", struct.pack("!H", 1), text("said"),
                      struct.pack("!IHIhih", 0, 0, TEXT, -1, -1, 0))  # fmt: skip
READY = message(b"Z", b"I")


def row(value: bytes) -> bytes:
    return message(b"D", struct.pack("!HI", 1, len(value)), value)


class Postgres:
    """Listens on a port of 127.0.0.1, with a thread for each client. A context manager."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.queries: list[str] = []
        #: Where the queries that sleep wait for each other once they have slept.
        self.meeting = threading.Barrier(1)
        self._prepared = threading.local()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def dsn(self) -> str:
        port = self.listener.getsockname()[1]
        return (f"host=127.0.0.1 port={port} user=u dbname=d sslmode=disable "
                "gssencmode=disable connect_timeout=20")  # fmt: skip

    def __enter__(self) -> Postgres:
        return self

    def __exit__(self, *exc) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client) -> None:
        with client, client.makefile("rb") as stream:
            try:
                size, version = struct.unpack("!II", stream.read(8))
                stream.read(size - 8)
                if version == STARTUP:
                    self._greet(client)
                    while self._answer(client, stream):
                        pass
            except (OSError, struct.error):
                pass  # the client has gone
            except threading.BrokenBarrierError:
                pass  # the others did not come

    def _greet(self, client) -> None:
        settings = [message(b"S", text(name), text(value)) for name, value in SETTINGS.items()]
        client.sendall(
            message(b"R", struct.pack("!I", 0))
            + b"".join(settings)
            + message(b"K", struct.pack("!II", 1, 2))
            + READY
        )

    def _answer(self, client, stream) -> bool:
        head = stream.read(5)
        if len(head) < 5 or head[:1] == b"X":
            return False
        body = stream.read(struct.unpack("!I", head[1:])[0] - 4)
        kind = head[:1]
        if kind == b"Q":
            query = body.rstrip(b"\0").decode()
            client.sendall(self._run(query, DESCRIPTION) + READY)
        elif kind == b"P":
            self._prepared.query = body.split(b"\0")[1].decode()
            client.sendall(message(b"1"))
        elif kind == b"B":
            client.sendall(message(b"2"))
        elif kind == b"D":
            client.sendall(DESCRIPTION)
        elif kind == b"E":
            client.sendall(self._run(self._prepared.query, b""))
        elif kind == b"S":
            client.sendall(READY)
        return True

    def _run(self, query: str, description: bytes) -> bytes:
        self.queries.append(query)
        sleep = re.search(r"pg_sleep\(([\d.]+)\)", query)
        if not sleep:
            return message(b"C", text(query.split()[0].upper()))
        time.sleep(float(sleep[1]))
        self.meeting.wait()
        return description + row(b"slept") + message(b"C", text("SELECT 1"))
