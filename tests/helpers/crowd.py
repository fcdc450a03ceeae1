"""Many clients that stall, on bare sockets that never wait for anything."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from helpers.meanwhile import repeating
from helpers.wire import wait_until


class Crowd:
    """first: what each of them sends at once; drop: and then every now and then."""

    def __init__(self, address, count: int, first: bytes, drop: bytes):
        self.address = address
        self.count = count
        self.first = first
        self.drop = drop
        self.begun = 0
        self.selector = selectors.DefaultSelector()
        self.all = [self.open() for _ in range(count)]

    def open(self) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        sock.connect_ex(self.address)
        self.selector.register(sock, selectors.EVENT_WRITE)
        return sock

    def begin(self) -> None:
        """Those that are connected say what they want."""
        for key, _ in self.selector.select(0):
            self.selector.unregister(key.fileobj)
            self.begun += 1
            send(key.fileobj, self.first)

    def drip(self) -> None:
        for sock in self.all:
            send(sock, self.drop)


def send(sock, data: bytes) -> None:
    try:
        if data:
            sock.send(data)
    except OSError:
        pass  # it was closed, or its buffer is full


@contextmanager
def crowd(address, count: int, first: bytes, drop: bytes) -> Iterator[Crowd]:
    """So many of them, all begun, which go on until the end."""
    clients = Crowd(address, count, first, drop)

    def go_on():
        clients.begin()
        clients.drip()

    try:
        with repeating(go_on):
            wait_until(lambda: clients.begun == count, "all have begun")
            yield clients
    finally:
        for sock in clients.all:
            sock.close()
