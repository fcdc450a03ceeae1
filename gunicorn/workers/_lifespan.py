"""The lifespan protocol of ASGI (version 2.0): an application's start and end in a worker."""

from __future__ import annotations

import asyncio

STARTUP = {"type": "lifespan.startup"}
SHUTDOWN = {"type": "lifespan.shutdown"}


class StartupFailed(Exception):
    """The application has said that it cannot serve."""


class Lifespan:
    """One application's, in one event loop.

    `state` is the application's to fill, for its requests.
    """

    def __init__(self, app, log, *, required: bool) -> None:
        self.app = app
        self.log = log
        self.required = required
        self.state: dict = {}
        self._task: asyncio.Task | None = None
        self._receives = False

    async def startup(self) -> None:
        """Start the application.

        Raises StartupFailed with the application's message; if the protocol is required, also
        the application's exception.
        """
        self._messages: asyncio.Queue = asyncio.Queue()
        self._answer = asyncio.get_running_loop().create_future()
        self._awaited = "lifespan.startup"
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        self._messages.put_nowait(STARTUP)
        self._task = asyncio.ensure_future(self.app(scope, self._receive, self._send))
        await asyncio.wait({self._task, self._answer}, return_when=asyncio.FIRST_COMPLETED)
        if not self._answer.done():
            self._returned_early()
        elif self._answer.result() is not None:
            await self._end_task()
            raise StartupFailed(self._answer.result())

    def waiting(self) -> asyncio.Task | None:
        """Return the application's task if it waits for the end."""
        return self._task if self._receives else None

    async def _receive(self) -> dict[str, str]:
        self._receives = True
        try:
            return await self._messages.get()
        finally:
            self._receives = False

    async def shutdown(self, seconds: float) -> None:
        """Have the application end, within so many seconds."""
        if self._task is None or self._task.done():
            return
        self._answer = asyncio.get_running_loop().create_future()
        self._awaited = "lifespan.shutdown"
        self._messages.put_nowait(SHUTDOWN)
        done, _ = await asyncio.wait(
            {self._task, self._answer}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            self.log.warning("ASGI lifespan: the shutdown did not end within %.1f s", seconds)
        elif self._answer.done() and self._answer.result() is not None:
            self.log.error("ASGI lifespan: the shutdown failed: %s", self._answer.result())
        await self._end_task()

    async def _send(self, message) -> None:
        kind = message["type"]
        if self._answer.done() or kind not in (
            f"{self._awaited}.complete",
            f"{self._awaited}.failed",
        ):
            raise RuntimeError(f"ASGI message {kind!r} was not expected")
        failed = kind.endswith(".failed")
        self._answer.set_result(str(message.get("message", "")) if failed else None)

    def _returned_early(self) -> None:
        task, self._task = self._task, None
        assert task is not None
        exc = None if task.cancelled() else task.exception()
        if not self.required:
            self.log.debug("ASGI lifespan: the application does not support it", exc_info=exc)
        elif exc is not None:
            raise exc
        else:
            raise StartupFailed("the application returned without an answer to lifespan.startup")

    async def _end_task(self) -> None:
        """Let the task end by itself for a moment, or cancel it; log its exception."""
        task, self._task = self._task, None
        assert task is not None
        await asyncio.wait({task}, timeout=1.0)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
        if task.done() and not task.cancelled() and task.exception() is not None:
            self.log.error("ASGI lifespan: the application raised", exc_info=task.exception())
