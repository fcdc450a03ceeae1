"""The Python half of an ASGI worker's engine, for the start, errors, hooks and logs."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import sys
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

_HERE = os.path.dirname(__file__)
SPEC_VERSION = "2.5"
#: Fields that frame, route or describe an answer (RFC 9110, 6.5.1).
_NO_TRAILERS = frozenset(
    b"authorization cache-control connection content-encoding content-length content-range "
    b"content-type host keep-alive set-cookie te trailer transfer-encoding upgrade".split()
)
_PATHSEND = "http.response.pathsend"
_PATHSEND_HINT = f". If a middleware drops {_PATHSEND}, set sendfile = False"
#: Exceptions of frameworks that say that the client has left.
_LEFT = ("ClientDisconnect", "ClientDisconnected", "WebSocketDisconnect")


class Constant(dict):
    """An empty dict that all requests share: what a scope says of an extension."""

    def _refuse(self, *_args, **_kwargs):
        raise TypeError("this dict is the same for all requests: put another in its place")

    __setitem__ = __ior__ = setdefault = update = _refuse  # type: ignore[assignment]


class Half:
    """The functions that the C core calls for the requests of one worker."""

    def __init__(self, worker, loop, state) -> None:
        self.worker = worker
        self.cfg = worker.cfg
        self.log = worker.log
        self.loop = loop
        self.state = state
        self.create_future = loop.create_future
        self.create_task = loop.create_task
        #: Of the worker's start: each task begins with a copy.
        self.context = contextvars.copy_context()
        #: Tasks of requests that have waited, also of those whose answer is complete: scopes.
        self.tasks: dict = {}
        #: Extensions of a request that takes trailers.
        self.trailers_extension = {
            **_extensions(self.cfg.sendfile),
            "http.response.trailers": Constant(),
        }
        self.takes_forwarded = self.cfg.asgi_forwarded_client
        self._cancelled: weakref.WeakSet = weakref.WeakSet()
        #: How a task is made that runs at once, as Python has it from 3.12 on.
        self.task_type = asyncio.Task if sys.version_info >= (3, 12) else None
        self.task_keywords = {"loop": loop, "eager_start": True}
        if self.cfg.loop_block_warning:
            signal.signal(signal.SIGURG, self.loop_blocked)

    def scopes(self, tls, websocket) -> list[dict]:
        """Return a scope for each listener, with all that every request, or WebSocket, has.

        One more is for the requests of a rehearsal, which come by no listener.
        """
        base = {
            **(_websocket(tls) if websocket else _http(tls, self.cfg.sendfile)),
            "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
            "http_version": "1.1",
            "path": "",
            "raw_path": b"",
            "query_string": b"",
            "root_path": self.cfg.root_path or "",
            "headers": [],
            "client": None,
            "server": None,
            "state": self.state,
        }
        names = [sock.getsockname() for sock in self.worker.sockets]
        scopes = [{**base, "server": _server(name)} for name in names]
        scopes.append(scopes[0] if scopes else base)
        return scopes

    def put_forwarded_client(self, scope) -> None:
        """Set the client that a trusted peer names."""
        from gunicorn.workers import _forwarded

        fields = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        everybody = "*" in self.cfg.forwarded_allow_ips
        networks = self.cfg.forwarded_allow_networks()
        client = _forwarded.client(b",".join(fields).decode("latin-1"), networks, everybody)
        if client is not None:
            scope["client"] = client

    async def send_from_thread(self, send, message) -> None:
        """Send when the event loop awaits it: another thread has called send()."""
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError(
                "receive() and send() are for the event loop of the worker: "
                "use asyncio.run_coroutine_threadsafe()"
            )
        await send(message)

    def exit(self) -> None:
        """End the worker from the event loop, if a signal is to end it."""
        if not self.worker.alive:
            self.loop.call_soon(sys.exit)

    def cancel_task(self, task) -> None:
        """Cancel a task, once."""
        if task not in self._cancelled:
            self._cancelled.add(task)
            task.cancel()

    def client_left(self, function):
        """Have `function()` called after the grace period; return its timer."""
        return self.loop.call_later(self.cfg.asgi_disconnect_grace_period, function)

    # ---- logs ----

    def task_failed(self, exc, scope, left, cancelled, line) -> bool:
        """Return whether `exc`, which a task has raised, is a fault that the server answers.

        `left`: the client has gone. `cancelled`: the server has cancelled the task. `line`: how a
        fault is logged that has no answer; None if it has one, and is logged with it.
        """
        cancelled = cancelled or self.worker.broken_off or self.worker.cancels_all
        if cancelled and isinstance(exc, asyncio.CancelledError):
            return False
        if isinstance(exc, SystemExit) and not self.worker.alive:  # of a signal's handler
            return False
        if left and (_says_that_client_left(exc) or isinstance(exc, asyncio.CancelledError)):
            self.log.debug("Ignoring a client that has closed its connection")
            return False
        if line is not None:
            self.log.error("%s %s %s", line, *_line(scope), exc_info=exc)
        return line is None

    def incomplete(self, scope, started) -> None:
        """Log that an application has returned too early."""
        if scope["type"] == "websocket" and not started:
            self.log.warning(
                "WebSocket %s %s is refused with 403: the application returned without an answer",
                *_line(scope),
            )
            return
        self.log.error(
            "Error handling request %s %s: the application returned %s%s",
            *_line(scope),
            "before its answer was complete" if started else "without an answer",
            _PATHSEND_HINT if self.cfg.sendfile and not started else "",
        )

    def task_overdue(self, task, scope, age) -> None:
        """Log that a request is over its deadline, and where its task waits."""
        limit = f"over request_timeout ({self.cfg.request_timeout:g} s). Its task is cancelled."
        self._log_overdue(task, scope, age, limit)

    def task_stuck(self, task, scope, age) -> None:
        """Log that a request goes on although its task was cancelled."""
        limit = (
            "and its task did not end within request_timeout_grace "
            f"({self.cfg.request_timeout_grace:g} s) of its cancellation. This worker is replaced."
        )
        self._log_overdue(task, scope, age, limit)

    def _log_overdue(self, task, scope, age, limit) -> None:
        self.log.error(
            "Request %s %s has been running for %.1f s, %s Its stack:\n%s",
            *(*_line(scope), age, limit, _stack_text(_frames(task.get_coro()))),
        )

    def loop_blocked(self, _signo, frame) -> None:
        """Log which task blocks the event loop, in the midst of it: the handler of SIGURG."""
        task = asyncio.current_task(self.loop)
        frames = []
        while frame is not None and os.path.dirname(frame.f_code.co_filename) != _HERE:
            frames.append(frame)
            frame = frame.f_back
        self.log.warning(
            "The event loop has been blocked for %g s (loop_block_warning) by %s: no other task "
            "of this worker runs. Move what blocks to a thread, by asyncio.to_thread() or the "
            "framework's way. Its stack:\n%s",
            *(self.cfg.loop_block_warning, self._name_of(task), _stack_text(frames[::-1])),
        )

    def _name_of(self, task) -> str:
        if task is None:
            return "a callback"
        slot = self.worker.slot
        if task in self.tasks:
            request = " of the request {} {}".format(*_line(self.tasks[task]))
        elif slot is not None and slot.method:  # it has not waited yet
            request = f" of the request {slot.method} {slot.path}"
        else:
            request = ""
        return f"the task {task.get_name()!r}{request}"

    def environ(self, scope) -> dict:
        """Return an environ for hooks and loggers, as a WSGI server has it."""
        from gunicorn.http import _environ

        method, uri = _line(scope)
        headers = [(name.upper(), value) for name, value in self.pairs(scope["headers"])]
        client = scope.get("client") or ("", "")
        return {
            **_environ.http_variables(headers),
            "REQUEST_METHOD": method,
            "RAW_URI": uri,
            "PATH_INFO": scope["path"],
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "SCRIPT_NAME": scope["root_path"],
            "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
            "REMOTE_ADDR": client[0],
            "REMOTE_PORT": str(client[1] or ""),
            "wsgi.url_scheme": scope["scheme"],
        }

    def trailers(self, headers) -> bytes:
        """Return lines of trailers. Raises ValueError for those that may not be there."""
        from gunicorn.http import wsgi

        lines = []
        for name, value in headers:
            if name.lower() in _NO_TRAILERS:
                raise ValueError(f"{name!r} may not be a trailer (RFC 9110, 6.5.1)")
            if not wsgi.is_token(name.decode("latin-1")):
                raise ValueError(f"{name!r} is no name of a trailer")
            if not wsgi.is_value(value.decode("latin-1")):
                raise ValueError(f"trailer {name!r} has an invalid value")
            lines.append(b"%b: %b\r\n" % (name, value.strip(b" \t")))
        return b"".join(lines)

    def pairs(self, headers) -> list[tuple[str, str]]:
        """Return headers as WSGI has them."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _extensions(sendfile) -> dict:
    files = (_PATHSEND, "http.response.zerocopysend") if sendfile else ()
    return {name: Constant() for name in ("http.response.early_hint", *files)}


def _http(tls, sendfile) -> dict:
    return {
        "type": "http",
        "method": "GET",
        "scheme": "https" if tls else "http",
        "extensions": _extensions(sendfile),
    }


def _websocket(tls) -> dict:
    return {
        "type": "websocket",
        "scheme": "wss" if tls else "ws",
        "subprotocols": [],
        "extensions": {"websocket.http.response": Constant()},
    }


def _server(name) -> tuple:
    if isinstance(name, tuple):
        return name[:2]
    return (name.decode() if isinstance(name, bytes) else name, None)


def _line(scope) -> tuple[str, str]:
    """Return the method and the target of a request."""
    uri = scope.get("raw_path") or b""
    query = scope.get("query_string")
    if query:
        uri += b"?" + query
    return scope.get("method", "GET"), uri.decode("latin-1")


def _says_that_client_left(exc) -> bool:
    """Return whether an exception, or its cause, is that of a write to a client gone."""
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        if isinstance(exc, OSError) or type(exc).__name__ in _LEFT:
            return True
        members = getattr(exc, "exceptions", None)
        if isinstance(members, tuple) and members:
            return all(map(_says_that_client_left, members))
        exc = exc.__cause__ or exc.__context__
    return False


def _stack_text(frames) -> str:
    import traceback

    stack = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames)
    return "".join(stack.format()).rstrip() or "  (unknown)"


def _frames(coroutine) -> list[FrameType]:
    """Return the frames of a coroutine that waits, outermost first."""
    frames = []
    while coroutine is not None:
        frame: Any = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            break
        frames.append(frame)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return frames
