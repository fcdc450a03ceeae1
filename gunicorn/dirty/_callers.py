"""The connections of those that call: web workers, and dirty workers that use the stash."""

from __future__ import annotations

import asyncio

from . import protocol
from ._call import Call
from ._relay import Gone, Line
from .errors import DirtyError, DirtyProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from .arbiter import DirtyArbiter


class Caller:
    """A connection, on which one call runs at a time."""

    def __init__(self, arbiter: DirtyArbiter, sock: socket.socket) -> None:
        self._arbiter = arbiter
        self.line = Line(sock)
        self.idle = True

    async def serve(self) -> None:
        """Answer calls until the caller leaves, or the arbiter."""
        try:
            while True:
                await self._serve_one()
        except (Gone, DirtyProtocolError, asyncio.CancelledError):
            pass
        finally:
            self.line.close()

    async def _serve_one(self) -> None:
        self.idle = True
        if self._arbiter.leaving:
            self.line.close_input()  # a call that it has sent is still answered
        kind, number, size = await self.line.read_header()
        self.idle = False
        if kind == protocol.MSG_TYPE_REQUEST:
            await Call(self._arbiter, self.line, number).run()
        else:
            await self._answer(kind, number, size)

    def leave(self) -> None:
        """Take no further call than what was sent."""
        if self.idle:
            self.line.close_input()

    async def _answer(self, kind: int, number: int, size: int) -> None:
        payload = bytes(await self.line.read(size))
        if kind == protocol.MSG_TYPE_STASH and not await self._arbiter.tables.have():
            raise Gone(self.line)  # it is answered by the next arbiter
        try:
            answer = protocol.MSG_TYPE_RESPONSE, self._result(kind, payload)
        except DirtyError as exc:
            error = protocol.payload_of({"error": exc.to_dict()})
            answer = protocol.MSG_TYPE_ERROR, error
        await self.line.send_message(answer[0], number, answer[1])

    def _result(self, kind: int, payload: bytes) -> bytes:
        if kind == protocol.MSG_TYPE_STASH:
            return self._arbiter.tables.run(payload)
        if kind == protocol.MSG_TYPE_STATUS:
            return protocol.payload_of({"result": self._arbiter.status()})
        raise DirtyProtocolError(f"A message of type {kind} is no call")
