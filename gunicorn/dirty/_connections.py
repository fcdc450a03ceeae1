"""Connections to the dirty arbiter, one for each call that runs; those that are idle are kept.

A call is sent again over another connection only if the arbiter cannot have received all of it: if
the connection breaks while the call is sent, or is reset before the answer begins. An arbiter
that is about to stop takes no further call from an idle connection, and answers calls in its queue
by AGAIN, so a reload loses none.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time

from . import protocol
from .errors import DirtyConnectionError, DirtyError, DirtyTimeoutError
from .tlv import TLVEncoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

IDLE_MAX = 64  # connections kept for each path
FULL_PAUSE = 0.02  # seconds until the next try where the arbiter's queue is full

_idle: dict[str, list[socket.socket]] = {}
_ids = itertools.count(1)

os.register_at_fork(after_in_child=_idle.clear)


class Limit:
    """The end of a number of seconds; None: there is none."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds that are left, None for any number. Raises DirtyTimeoutError."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error()
        return left

    def error(self) -> DirtyTimeoutError:
        """Return the error of a call that has reached the limit."""
        return DirtyTimeoutError("No answer of the dirty worker in time", self.seconds)


class Answer:
    """A message that answers a call; `last` if no other follows."""

    def __init__(self, kind: int, payload: Any) -> None:
        self.kind = kind
        self._payload = payload
        self.last = kind != protocol.MSG_TYPE_CHUNK

    @property
    def has_value(self) -> bool:
        """Whether there is a value: not at the end of a stream."""
        return self.kind != protocol.MSG_TYPE_END

    def value(self) -> Any:
        """Return the result, or the item of a stream. Raises the error that was sent."""
        fields = TLVEncoder.decode_full(self._payload)
        if self.kind == protocol.MSG_TYPE_ERROR:
            raise DirtyError.from_dict(fields.get("error") or {})
        return fields.get("data" if self.kind == protocol.MSG_TYPE_CHUNK else "result")


def _broken(exc: BaseException) -> DirtyConnectionError:
    reason = "it was closed" if isinstance(exc, EOFError) else exc
    return DirtyConnectionError(f"The connection to the dirty arbiter broke: {reason}")


def _cannot_connect(path: str, exc: OSError) -> DirtyConnectionError:
    return DirtyConnectionError(f"Failed to connect to the dirty arbiter: {exc}", path)


def keep(path: str, sock: socket.socket) -> None:
    """Keep a connection, on which no call runs, for another one."""
    kept = _idle.setdefault(path, [])
    if len(kept) < IDLE_MAX:
        kept.append(sock)
    else:
        sock.close()


def close_idle(path: str) -> None:
    """Close the connections that are kept."""
    for sock in _idle.pop(path, []):
        sock.close()


def _kept(path: str) -> socket.socket | None:
    try:
        return _idle[path].pop()
    except (KeyError, IndexError):
        return None


def _try_connect(path: str) -> socket.socket | None:
    """Return a new connection, or None where the queue is full. Raises DirtyConnectionError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.connect(path)
    except BlockingIOError:
        sock.close()
        return None
    except OSError as exc:
        sock.close()
        raise _cannot_connect(path, exc) from exc
    return sock


# ---- blocking ----


def take(path: str, limit: Limit) -> socket.socket:
    """Return a connection. Raises DirtyConnectionError and DirtyTimeoutError."""
    sock = _kept(path)
    while sock is None:
        sock = _try_connect(path)
        if sock is None:
            limit.left()
            time.sleep(FULL_PAUSE)
    return sock


def call(
    path: str, kind: int, payload: bytes, limit: Limit, again: bool = False
) -> tuple[socket.socket, Answer]:
    """Send a call, and return its connection with the first answer. Raises DirtyError.

    `again`: it may be sent again even if the arbiter has received it.
    """
    lost = (BrokenPipeError, ConnectionResetError, *((EOFError,) if again else ()))
    while True:
        sock = take(path, limit)
        try:
            sock.settimeout(limit.left())
            protocol.send(sock, kind, next(_ids), payload)
            answer = read(sock, limit)
        except lost:
            sock.close()
            continue
        except BaseException as exc:
            sock.close()
            raise _translated(exc, limit) from exc
        if answer.kind != protocol.MSG_TYPE_AGAIN:
            return sock, answer
        sock.close()


def read(sock: socket.socket, limit: Limit) -> Answer:
    """Receive an answer. Raises DirtyError, and ConnectionResetError before it has begun."""
    header = protocol.receive_exactly(sock, protocol.HEADER_SIZE, limit.left)
    kind, _, size = protocol.parse_header(header)
    try:
        return Answer(kind, protocol.receive_exactly(sock, size, limit.left))
    except ConnectionResetError as exc:
        raise _broken(exc) from exc


def read_next(sock: socket.socket, limit: Limit) -> Answer:
    """Receive a further answer. Raises DirtyError; the connection is closed then."""
    try:
        return read(sock, limit)
    except BaseException as exc:
        sock.close()
        raise _translated(exc, limit) from exc


def _translated(exc: BaseException, limit: Limit) -> BaseException:
    if isinstance(exc, DirtyError):
        return exc
    if isinstance(exc, TimeoutError):
        return limit.error()
    return _broken(exc) if isinstance(exc, (OSError, EOFError)) else exc


# ---- asyncio ----


async def take_async(path: str) -> socket.socket:
    """Return a connection. Raises DirtyConnectionError."""
    sock = _kept(path)
    while sock is None:
        sock = _try_connect(path)
        if sock is None:
            await asyncio.sleep(FULL_PAUSE)
    sock.settimeout(0)
    return sock


async def call_async(
    path: str, kind: int, payload: bytes, limit: Limit
) -> tuple[socket.socket, Answer]:
    """Send a call, and return its connection with the first answer. Raises DirtyError."""
    return await _within(limit, _call_async(path, kind, payload))


async def read_next_async(sock: socket.socket, limit: Limit) -> Answer:
    """Receive a further answer. Raises DirtyError; the connection is closed then."""
    return await _within(limit, _read_next_async(sock))


async def _within(limit: Limit, step: Any) -> Any:
    try:
        return await asyncio.wait_for(step, limit.left())
    except asyncio.TimeoutError:
        raise limit.error() from None


async def _call_async(path: str, kind: int, payload: bytes) -> tuple[socket.socket, Answer]:
    while True:
        sock = await take_async(path)
        try:
            await _send_async(sock, kind, payload)
            answer = await _read_async(sock)
        except (BrokenPipeError, ConnectionResetError):
            sock.close()
            continue
        except BaseException as exc:
            sock.close()
            if isinstance(exc, (OSError, EOFError)):
                raise _broken(exc) from exc
            raise
        if answer.kind != protocol.MSG_TYPE_AGAIN:
            return sock, answer
        sock.close()


async def _read_next_async(sock: socket.socket) -> Answer:
    try:
        return await _read_async(sock)
    except BaseException as exc:
        sock.close()
        if isinstance(exc, (OSError, EOFError)):
            raise _broken(exc) from exc
        raise


async def _send_async(sock: socket.socket, kind: int, payload: bytes) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, protocol.header_of(kind, next(_ids), len(payload)))
    if payload:
        await loop.sock_sendall(sock, payload)


async def _read_async(sock: socket.socket) -> Answer:
    kind, _, size = protocol.parse_header(await _receive_async(sock, protocol.HEADER_SIZE))
    try:
        return Answer(kind, await _receive_async(sock, size))
    except ConnectionResetError as exc:
        raise _broken(exc) from exc


async def _receive_async(sock: socket.socket, size: int) -> bytearray:
    loop = asyncio.get_running_loop()
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        count = await loop.sock_recv_into(sock, view[done:])
        if count == 0:
            raise EOFError(done)
        done += count
    return data
