"""The threads of a dirty worker, each of which runs one call after the other.

A thread has a socket of its own, whose other end it offers to the arbiter: a seat. The arbiter
sends a call over a seat only when the one before has been answered. If the caller of a stream
leaves, the arbiter closes the seat; the thread closes the generator then, and offers another seat.
"""

from __future__ import annotations

import inspect
import socket
import threading
import traceback

from . import protocol
from .errors import DirtyAppError, DirtyAppNotFoundError, DirtyError, DirtyProtocolError
from .tlv import TLVEncoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .worker import DirtyWorker

#: Bytes of a message or traceback that an error carries.
TEXT_MAX = 64 * 1024


class CallThread(threading.Thread):
    """Runs calls until the arbiter is gone."""

    def __init__(self, worker: DirtyWorker, number: int) -> None:
        super().__init__(name=f"dirty-{number}", daemon=True)
        self._worker = worker

    def run(self) -> None:
        """Serve seats. If that fails, as no descriptors are left, the worker ends, not a thread."""
        try:
            self._serve_seats()
        except BaseException as exc:
            self._worker.end_broken(exc)

    def _serve_seats(self) -> None:
        """Offer a seat, serve it until it is closed, and so on."""
        while (seat := self._offer()) is not None:
            with seat:
                self._serve(seat)

    def _offer(self) -> socket.socket | None:
        seat, other = socket.socketpair()
        with other:
            if self._worker.offer(other):
                return seat
        seat.close()
        return None

    def _serve(self, seat: socket.socket) -> None:
        try:
            while True:
                _, number, payload = protocol.receive(seat)
                Call(self._worker, seat, number).run(payload)
        except (EOFError, OSError, SeatClosed, DirtyProtocolError):
            pass  # the arbiter has closed the seat


class SeatClosed(Exception):
    """The arbiter does not want the answer any more, or is gone."""


class Call:
    """One call: its answer goes to the seat."""

    def __init__(self, worker: DirtyWorker, seat: socket.socket, number: int) -> None:
        self._worker = worker
        self._seat = seat
        self._number = number
        self._app_path = self._action = ""

    def run(self, payload: Any) -> None:
        """Run the action, and send what it returns or raises. Raises SeatClosed."""
        try:
            self._answer(self._invoke(payload))
        except SeatClosed:
            raise
        except BaseException as exc:  # also SystemExit, which would end the thread alone
            self._worker.end_if_forked(exc)
            self._fail(exc)

    def _invoke(self, payload: Any) -> Any:
        request = TLVEncoder.decode_full(payload)
        self._app_path, self._action = request["app_path"], request["action"]
        app = self._worker.apps.get(self._app_path)
        if app is None:
            raise DirtyAppNotFoundError(self._app_path)
        return app(self._action, *request["args"], **request["kwargs"])

    def _answer(self, result: Any) -> None:
        if inspect.isgenerator(result):
            self._stream(result)
        elif inspect.isasyncgen(result):
            self._stream(_items(result))
        else:
            self._send(protocol.MSG_TYPE_RESPONSE, {"result": result})

    def _stream(self, items: Any) -> None:
        try:
            for item in items:
                self._send(protocol.MSG_TYPE_CHUNK, {"data": item})
        finally:
            items.close()
        self._send(protocol.MSG_TYPE_END)

    def _send(self, kind: int, fields: dict[str, Any] | None = None) -> None:
        self._worker.end_if_forked()
        payload = b"" if fields is None else protocol.payload_of(fields)
        try:
            protocol.send(self._seat, kind, self._number, payload)
        except OSError as exc:
            raise SeatClosed from exc

    def _fail(self, exc: BaseException) -> None:
        message, text = _plain(_message(exc)), _plain(traceback.format_exc())
        self._worker.log.error(
            "Error executing %s.%s: %s\n%s", self._app_path, self._action, message, text
        )
        error = self._described(exc, message, text)
        self._send(protocol.MSG_TYPE_ERROR, {"error": error.to_dict()})

    def _described(self, exc: BaseException, message: str, text: str) -> DirtyError:
        if isinstance(exc, DirtyAppNotFoundError) and exc.app_path == self._app_path:
            return exc
        return DirtyAppError(message, self._app_path, self._action, text)


def _message(exc: BaseException) -> str:
    """Return the text of an exception, which is the application's and may fail."""
    try:
        return str(exc)
    except BaseException as other:
        return f"<{type(exc).__name__}, whose text cannot be had: {type(other).__name__}>"


def _plain(text: str) -> str:
    """Return a text that has a form in UTF-8, with its end if it is too long."""
    return text[-TEXT_MAX:].encode("utf-8", "backslashreplace").decode()


def _items(stream: Any) -> Iterator[Any]:
    """Iterate over an asynchronous generator, in an event loop of its own."""
    import asyncio

    loop = asyncio.new_event_loop()
    try:
        while True:
            try:
                yield loop.run_until_complete(stream.__anext__())
            except StopAsyncIteration:
                return
    finally:
        loop.run_until_complete(stream.aclose())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
