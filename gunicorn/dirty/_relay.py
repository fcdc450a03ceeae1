"""Bytes on their way through the arbiter: it copies them in blocks, and decodes none of a call.

So a call of 64 MiB takes the arbiter no more memory than a small one.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket

from . import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any

BLOCK = 256 * 1024  # bytes
READ_BLOCK = 16 * 1024
STALL = 30.0  # seconds in which a process that reads or writes a message has to move on


class Gone(Exception):
    """The process at the other end of a line has closed it, or does not move on.

    `unread`: it has not read all that it was sent.
    """

    def __init__(self, line: Line, cause: BaseException | None = None) -> None:
        super().__init__()
        self.line = line
        self.unread = isinstance(cause, (BrokenPipeError, ConnectionResetError))


class Line:
    """A connection with a web worker, or with a thread of a dirty worker."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.unread = 0  # bytes of the present message
        self._waits = 0  # coroutines that wait for it
        self._closed = False

    def close(self) -> None:
        """Close the connection; a coroutine that waits for it finds its end first."""
        self._closed = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        if not self._waits:
            self.sock.close()

    def close_input(self) -> None:
        """Let the other end send nothing more. What it has sent can be read."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)

    def is_closed(self) -> bool:
        """Whether the other end is closed, and not only one direction."""
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLHUP)
        return bool(poll.poll(0))

    async def read(self, size: int, limit: float | None = STALL) -> bytearray:
        """Read `size` bytes. Each part has to come within `limit` seconds. Raises Gone.

        Bytes that are only announced take no memory.
        """
        data = bytearray()
        block = memoryview(bytearray(min(size, READ_BLOCK)))
        while len(data) < size:
            count = await self._receive(block[: size - len(data)], limit)
            data += block[:count]
        return data

    async def copy_to(self, other: Line) -> None:
        """Copy the rest of the present message to another line. Raises Gone."""
        block = memoryview(bytearray(min(self.unread, BLOCK)))
        while self.unread > 0:
            count = await self._receive(block[: self.unread], STALL)
            await other.send(block[:count])

    async def skip(self) -> None:
        """Read the rest of the present message, and drop it. Raises Gone."""
        block = memoryview(bytearray(min(self.unread, BLOCK)))
        while self.unread > 0:
            await self._receive(block[: self.unread], STALL)

    async def read_header(self) -> tuple[int, int, int]:
        """Read the header of a message, however late it comes: type, id, size of its payload.

        Raises Gone and DirtyProtocolError.
        """
        header = protocol.parse_header(await self.read(protocol.HEADER_SIZE, None))
        self.unread = header[2]
        return header

    async def send(self, data: Any) -> None:
        """Send all of `data`. Raises Gone."""
        view = memoryview(data)
        try:
            view = view[self.sock.send(view) :]
        except BlockingIOError:
            pass
        except OSError as exc:
            raise Gone(self, exc) from None
        if view:
            await self._within(_loop().sock_sendall(self.sock, view), STALL)

    async def send_message(self, kind: int, number: int, payload: bytes) -> None:
        """Send a message. Raises Gone."""
        await self.send(protocol.header_of(kind, number, len(payload)) + payload)

    async def _receive(self, view: memoryview, limit: float | None) -> int:
        try:
            count = self.sock.recv_into(view)
        except BlockingIOError:
            count = await self._within(_loop().sock_recv_into(self.sock, view), limit)
        except OSError as exc:
            raise Gone(self, exc) from None
        if count == 0:
            raise Gone(self)
        self.unread -= count
        return count

    async def _within(self, step: Awaitable[Any], limit: float | None) -> Any:
        self._waits += 1
        try:
            return await asyncio.wait_for(step, limit)
        except (OSError, asyncio.TimeoutError) as exc:
            raise Gone(self, exc) from None
        finally:
            self._waits -= 1
            if self._closed and not self._waits:
                _loop().call_soon(self.sock.close)  # the loop forgets the descriptor before


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
