"""The workers' meeting place: a directory with a datagram socket for each of them.

A message to the others is a datagram to each socket of the directory. With workers on several
machines a broker, such as Redis, takes this place.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

LONGEST = 16384  # bytes of a datagram
ROOM = ".room"


class Meeting:
    """This worker's socket in `directory`; each message of any worker is given to `deliver`."""

    def __init__(self, directory: Path, deliver: Callable[[str], None]):
        self.directory = directory
        self.deliver = deliver
        self.path = directory / f"{os.getpid()}{ROOM}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)

    def __enter__(self):
        self.path.unlink(missing_ok=True)  # of a worker that was killed and had this number
        self.socket.bind(str(self.path))
        asyncio.get_running_loop().add_reader(self.socket, self.receive)
        return self

    def __exit__(self, *exc):
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()
        self.path.unlink(missing_ok=True)

    def receive(self) -> None:
        """Deliver the messages that have arrived."""
        try:
            while True:
                self.deliver(self.socket.recv(LONGEST).decode())
        except BlockingIOError:
            pass

    def publish(self, message: str) -> None:
        """Send the message to all workers, this one included; one that is too slow misses it."""
        for path in self.directory.glob(f"*{ROOM}"):
            try:
                self.socket.sendto(message.encode(), str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)  # its worker was killed
            except OSError:
                pass
