"""One call on its way: from its caller to a seat, and its answer back."""

from __future__ import annotations

import asyncio

from gunicorn._dirty import CRASHES, ERRORS, OK, REFUSED, RUNNING, TIMEOUTS, WAITING

from . import protocol
from ._relay import Gone
from .errors import DirtyError, DirtyProtocolError, DirtyTimeoutError, DirtyWorkerError
from .tlv import TLVEncoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._pool import Seat
    from ._relay import Line
    from .arbiter import DirtyArbiter

HEAD_MAX = 64 * 1024  # bytes of a call in which its application and its action are named
DEATH_PATIENCE = 1.0  # seconds to learn how a worker died whose connection has ended
ANSWERS = (
    protocol.MSG_TYPE_RESPONSE,
    protocol.MSG_TYPE_ERROR,
    protocol.MSG_TYPE_CHUNK,
    protocol.MSG_TYPE_END,
)


def names_in(head: bytes | bytearray) -> tuple[str, str]:
    """Return application and action, the first items of a call. Raises DirtyProtocolError."""
    values, offset = [], 5  # the type of a dict, and its size
    for key in ("app_path", "action"):
        found, offset = TLVEncoder.decode(head, offset)
        value, offset = TLVEncoder.decode(head, offset)
        if found != key or not isinstance(value, str):
            raise DirtyProtocolError("A call has to begin with app_path and action")
        values.append(value)
    return values[0], values[1]


class Again(Exception):
    """The call has not begun, and is for the next arbiter."""


class Call:
    """A call, of which the header was read. Gone: its caller has left."""

    def __init__(self, arbiter: DirtyArbiter, line: Line, number: int) -> None:
        self._arbiter = arbiter
        self._line = line
        self._number = number
        self._head = bytearray()
        self._is_whole = False  # the head is all of it, so it can be sent again
        self._name = ""

    async def run(self) -> None:
        """Have it answered: by a worker, or with the error that kept it from one."""
        self._head = await self._line.read(min(self._line.unread, HEAD_MAX))
        self._is_whole = self._line.unread == 0
        try:
            app, action = names_in(self._head)
            self._name = f"{app}.{action}"
            while not await self._run_on(await self._seat(app)):
                pass
        except Again:
            await self._line.skip()
            await self._line.send_message(protocol.MSG_TYPE_AGAIN, self._number, b"")
        except DirtyError as exc:
            await self._line.skip()
            await self._fail(exc, REFUSED)

    async def _seat(self, app: str) -> Seat:
        """Return a seat. Raises DirtyError if there is none to wait for."""
        seat = self._arbiter.pool.take(app)
        if seat is not None:
            return seat
        if self._arbiter.has_successor():
            raise Again
        waiter = self._arbiter.wait(app, self._line)
        try:
            with self._arbiter.counted(WAITING):
                seat = await waiter.seat
        except asyncio.CancelledError:
            self._arbiter.pool.give_up(waiter)
            raise Gone(self._line) from None
        if self._line.is_closed():
            self._arbiter.done(seat)
            raise Gone(self._line)
        return seat

    async def _run_on(self, seat: Seat) -> bool:
        """Have it run on a seat. False: the worker died before it had read the call."""
        try:
            with self._arbiter.counted(RUNNING):
                await self._send_to(seat)
                while await self._pass_answer(seat):
                    pass
        except Gone as gone:
            self._arbiter.drop(seat)  # its thread, if it lives, sees that, and offers another
            if gone.line is not seat.line:
                raise
            if gone.unread and self._is_whole:
                return False
            await self._crashed(seat)
        except asyncio.TimeoutError:
            self._arbiter.timed_out(seat, self._name)
            limit = self._arbiter.cfg.dirty_timeout
            text = f"{self._name} ran for longer than dirty_timeout ({limit} s)"
            await self._fail(DirtyTimeoutError(text, limit), TIMEOUTS)
        except DirtyProtocolError as exc:
            self._arbiter.broken(seat.member, exc)
            self._arbiter.drop(seat)
            await self._crashed(seat)
        return True

    async def _send_to(self, seat: Seat) -> None:
        size = len(self._head) + self._line.unread
        header = protocol.header_of(protocol.MSG_TYPE_REQUEST, self._number, size)
        await seat.line.send(header + self._head)
        await self._line.copy_to(seat.line)

    async def _pass_answer(self, seat: Seat) -> bool:
        """Pass one message on. False: it was the last."""
        limit = self._arbiter.cfg.dirty_timeout or None
        kind, number, size = await asyncio.wait_for(seat.line.read_header(), limit)
        if kind not in ANSWERS or number != self._number:
            raise DirtyProtocolError("This is no answer to the call")
        await self._line.send(protocol.header_of(kind, number, size))
        try:
            await seat.line.copy_to(self._line)
        except Gone as gone:
            raise gone if gone.line is self._line else Gone(self._line) from None
        if kind == protocol.MSG_TYPE_CHUNK:
            return True
        self._arbiter.board.figures[ERRORS if kind == protocol.MSG_TYPE_ERROR else OK] += 1
        self._arbiter.done(seat)
        return False

    async def _crashed(self, seat: Seat) -> None:
        member = seat.member
        try:
            how = await asyncio.wait_for(asyncio.shield(member.death), DEATH_PATIENCE)
        except asyncio.TimeoutError:
            how = "broke the connection"
        text = f"Dirty worker (pid:{member.pid}) {how} while it ran {self._name}"
        await self._line.skip()
        await self._fail(DirtyWorkerError(text, member.pid), CRASHES)

    async def _fail(self, error: DirtyError, counter: int) -> None:
        self._arbiter.board.figures[counter] += 1
        payload = protocol.payload_of({"error": error.to_dict()})
        await self._line.send_message(protocol.MSG_TYPE_ERROR, self._number, payload)
