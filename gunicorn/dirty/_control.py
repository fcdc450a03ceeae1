"""The arbiter's end of the connection with a dirty worker: what it says of itself, and its seats.

No message of a worker is trusted: it is small, its descriptors are sockets, and a worker has no
more seats than threads. A worker that breaks these rules is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

from . import protocol
from ._pool import BOOTING, Seat
from ._relay import Line
from .errors import DirtyProtocolError
from .tlv import TLVEncoder
from .worker import CLASSES, LEAVING, SEAT
from .worker import READY as BOOTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._pool import Member
    from .arbiter import DirtyArbiter

MESSAGE_MAX = 1024 * 1024  # bytes

_FLAGS = socket.MSG_DONTWAIT | getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Control:
    """A worker's control connection."""

    def __init__(self, arbiter: DirtyArbiter, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._arbiter = arbiter
        self._task: asyncio.Task[None] | None = None
        self._said: set[int] = set()  # each message comes once, save those that offer a seat
        self._fd = -1  # that came with the present message

    def begin(self, member: Member) -> None:
        """Listen to the worker."""
        self._task = asyncio.get_running_loop().create_task(self._listen(member))

    def close(self) -> None:
        """Have the worker stop."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    async def _listen(self, member: Member) -> None:
        try:
            while True:
                await self._hear(member)
        except (EOFError, OSError):
            self._arbiter.fell_silent(member)
        except (DirtyProtocolError, LookupError, TypeError, ValueError, AttributeError) as exc:
            self._arbiter.broken(member, exc)
        finally:
            self._drop_fd()
            self.sock.close()

    async def _hear(self, member: Member) -> None:
        kind, _, size = protocol.parse_header(await self._receive(protocol.HEADER_SIZE))
        if size > MESSAGE_MAX:
            raise DirtyProtocolError(f"A message of {size} bytes is too large")
        value = TLVEncoder.decode_full(await self._receive(size))
        if kind == SEAT:
            self._offer(member)
        elif kind not in (CLASSES, BOOTED, LEAVING) or kind in self._said:
            raise DirtyProtocolError(f"A message of type {kind} does not belong here")
        else:
            self._said.add(kind)
            await self._take(kind, member, value)
        self._drop_fd()

    async def _take(self, kind: int, member: Member, value: Any) -> None:
        if kind == LEAVING:
            self._arbiter.wants_to_leave(member)
        elif member.phase != BOOTING:
            self.close()  # it was to stop meanwhile
        elif kind == CLASSES:
            await self._choose(member, value)
        else:
            self._arbiter.booted(member)

    async def _choose(self, member: Member, classes: dict[str, Any]) -> None:
        limits = {path: _limit(classes[path]["workers"]) for path in member.apps}
        apps = self._arbiter.pool.choose(member, limits)
        self._arbiter.tables.declare(
            str(name) for path in apps for name in classes[path]["stashes"]
        )
        member.worker.app_paths = apps
        if not apps:
            self.close()  # the others have all applications that are wanted
            return
        payload = TLVEncoder.encode(apps)
        message = protocol.header_of(protocol.MSG_TYPE_RESPONSE, 0, len(payload)) + payload
        await asyncio.get_running_loop().sock_sendall(self.sock, message)
        self._arbiter.changed()

    def _offer(self, member: Member) -> None:
        threads = max(1, self._arbiter.cfg.dirty_threads)
        if self._fd < 0 or len(member.seats) >= threads or member.phase == BOOTING:
            raise DirtyProtocolError("It offers a seat that it may not have")
        sock = socket.socket(fileno=self._fd)
        self._fd = -1
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
            sock.close()
            raise DirtyProtocolError("It offers a seat that is no stream")
        self._arbiter.pool.offer(Seat(member, Line(sock)))

    async def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = await self._receive_part(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    async def _receive_part(self, size: int) -> bytes:
        while True:
            try:
                part, fds, _, _ = socket.recv_fds(self.sock, size, 1, _FLAGS)
            except BlockingIOError:
                await self._readable()
                continue
            for fd in fds:
                self._drop_fd()
                self._fd = fd
            return part

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.add_reader(self.sock, _set, future)
        try:
            await future
        finally:
            loop.remove_reader(self.sock)

    def _drop_fd(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _limit(count: Any) -> int | None:
    """Return how many workers a class wants; None: all, also if it says no such number."""
    return count if isinstance(count, int) and count >= 1 else None
