"""The client of dirty applications: blocking, for every worker class but asgi, and asynchronous.

Packages that patch the standard library (gevent, eventlet) make the blocking one cooperate. A
client may be used by several threads, greenlets or tasks at a time: each call has a connection.
"""

from __future__ import annotations

import contextvars
import os
import threading

from gunicorn._dirty import SOCKET_VARIABLE

from . import _connections, protocol
from .errors import DirtyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any


def _request(app_path: str, action: str, args: Any, kwargs: Any) -> bytes:
    """Return the payload of a call. `app_path` comes first: the arbiter reads it alone."""
    return protocol.payload_of(
        {"app_path": app_path, "action": action, "args": list(args), "kwargs": kwargs}
    )


class DirtyClient:
    """Calls dirty applications. `timeout` is the most seconds that a call may take, or None."""

    def __init__(self, socket_path: str, timeout: float | None = 30.0) -> None:
        self.socket_path = socket_path
        self.timeout = timeout

    # ---- blocking ----

    def connect(self) -> None:
        """Try the connection. Raises DirtyConnectionError and DirtyTimeoutError."""
        sock = _connections.take(self.socket_path, _connections.Limit(self.timeout))
        _connections.keep(self.socket_path, sock)

    def execute(self, app_path: str, action: str, *args: Any, **kwargs: Any) -> Any:
        """Run an action, and return its result. Raises DirtyError."""
        sock, answer = self._call(_request(app_path, action, args, kwargs))
        self._release(sock, answer)
        return _only(answer, app_path, action)

    def stream(self, app_path: str, action: str, *args: Any, **kwargs: Any) -> DirtyStreamIterator:
        """Run an action that returns a generator, and iterate over its items."""
        return DirtyStreamIterator(self, app_path, action, args, kwargs)

    def close(self) -> None:
        """Close the connections on which no call runs."""
        _connections.close_idle(self.socket_path)

    def _call(self, payload: bytes) -> tuple[socket.socket, _connections.Answer]:
        limit = _connections.Limit(self.timeout)
        return _connections.call(self.socket_path, protocol.MSG_TYPE_REQUEST, payload, limit)

    def _release(self, sock: socket.socket, answer: _connections.Answer) -> None:
        if answer.last:
            _connections.keep(self.socket_path, sock)
        else:
            sock.close()

    # ---- asyncio ----

    async def connect_async(self) -> None:
        """Try the connection. Raises DirtyConnectionError."""
        _connections.keep(self.socket_path, await _connections.take_async(self.socket_path))

    async def execute_async(self, app_path: str, action: str, *args: Any, **kwargs: Any) -> Any:
        """Run an action, and return its result. Raises DirtyError."""
        sock, answer = await self._call_async(_request(app_path, action, args, kwargs))
        self._release(sock, answer)
        return _only(answer, app_path, action)

    def stream_async(
        self, app_path: str, action: str, *args: Any, **kwargs: Any
    ) -> DirtyAsyncStreamIterator:
        """Run an action that returns a generator, and iterate over its items."""
        return DirtyAsyncStreamIterator(self, app_path, action, args, kwargs)

    async def close_async(self) -> None:
        """Close the connections on which no call runs."""
        self.close()

    async def _call_async(self, payload: bytes) -> tuple[socket.socket, _connections.Answer]:
        limit = _connections.Limit(self.timeout)
        return await _connections.call_async(
            self.socket_path, protocol.MSG_TYPE_REQUEST, payload, limit
        )

    def __enter__(self) -> DirtyClient:
        self.connect()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()

    async def __aenter__(self) -> DirtyClient:
        await self.connect_async()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self.close_async()


def _only(answer: _connections.Answer, app_path: str, action: str) -> Any:
    if answer.kind in (protocol.MSG_TYPE_CHUNK, protocol.MSG_TYPE_END):
        raise DirtyError(f"{app_path}.{action} returns a stream: call stream() or stream_async()")
    return answer.value()


class _Stream:
    """What both iterators have in common: the call, its limits and its connection."""

    #: Seconds between two items.
    DEFAULT_IDLE_TIMEOUT = 30.0

    def __init__(
        self,
        client: DirtyClient,
        app_path: str,
        action: str,
        args: Any,
        kwargs: Any,
        idle_timeout: float | None = None,
    ) -> None:
        self.client = client
        self._payload: bytes | None = _request(app_path, action, args, kwargs)
        self._idle_timeout = self.DEFAULT_IDLE_TIMEOUT if idle_timeout is None else idle_timeout
        self._sock: socket.socket | None = None
        self._limit: _connections.Limit | None = None  # of the whole stream

    def _begin(self) -> bytes:
        """Return the call, once; the time of the stream counts from here."""
        payload, self._payload = self._payload, None
        self._limit = _connections.Limit(self.client.timeout)
        assert payload is not None
        return payload

    def _next_limit(self) -> _connections.Limit:
        """Return the limit of the next item."""
        assert self._limit is not None
        left = self._limit.left()
        return _connections.Limit(min(left or self._idle_timeout, self._idle_timeout))

    def _item(self, answer: _connections.Answer, end: type[Exception]) -> Any:
        if answer.last and self._sock is not None:
            sock, self._sock = self._sock, None
            _connections.keep(self.client.socket_path, sock)
        if not answer.has_value:
            raise end
        return answer.value()

    def close(self) -> None:
        """Give up the rest of the stream: the generator is closed in its worker."""
        self._payload = None
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()


class DirtyStreamIterator(_Stream):
    """The items of a stream. The client's timeout is that of all, `idle_timeout` of each."""

    def __iter__(self) -> DirtyStreamIterator:
        return self

    def __next__(self) -> Any:
        path = self.client.socket_path
        if self._payload is not None:
            payload = self._begin()
            self._sock, answer = _connections.call(
                path, protocol.MSG_TYPE_REQUEST, payload, self._next_limit()
            )
        elif self._sock is not None:
            sock, self._sock = self._sock, None  # an error closes it
            answer = _connections.read_next(sock, self._next_limit())
            self._sock = sock
        else:
            raise StopIteration
        return self._item(answer, StopIteration)


class DirtyAsyncStreamIterator(_Stream):
    """The items of a stream. The client's timeout is that of all, `idle_timeout` of each."""

    def __aiter__(self) -> DirtyAsyncStreamIterator:
        return self

    async def __anext__(self) -> Any:
        path = self.client.socket_path
        if self._payload is not None:
            payload = self._begin()
            self._sock, answer = await _connections.call_async(
                path, protocol.MSG_TYPE_REQUEST, payload, self._next_limit()
            )
        elif self._sock is not None:
            sock, self._sock = self._sock, None  # an error closes it
            answer = await _connections.read_next_async(sock, self._next_limit())
            self._sock = sock
        else:
            raise StopAsyncIteration
        return self._item(answer, StopAsyncIteration)

    async def aclose(self) -> None:
        """Give up the rest of the stream: the generator is closed in its worker."""
        self.close()


# ---- the clients of this process ----

_thread = threading.local()
_context: contextvars.ContextVar[DirtyClient] = contextvars.ContextVar("dirty_client")
_path: str | None = None


def set_dirty_socket_path(path: str | None) -> None:
    """Have the clients that are made from now on connect to `path`; None: as the master says."""
    global _path
    _path = path


def get_dirty_socket_path() -> str:
    """Return the path of the dirty arbiter's socket. Raises DirtyError without one."""
    path = _path or os.environ.get(SOCKET_VARIABLE)
    if path is None:
        raise DirtyError("There is no dirty arbiter: dirty_workers and dirty_apps are not set")
    return path


def get_dirty_client(timeout: float | None = 30.0) -> DirtyClient:
    """Return the client of this thread. A call may take `timeout` seconds. Raises DirtyError."""
    client: DirtyClient | None = getattr(_thread, "client", None)
    if client is None:
        client = _thread.client = DirtyClient(get_dirty_socket_path())
    client.timeout = timeout
    return client


async def get_dirty_client_async(timeout: float | None = 30.0) -> DirtyClient:
    """Return the client of this task. A call may take `timeout` seconds. Raises DirtyError."""
    client = _context.get(None)
    if client is None:
        client = DirtyClient(get_dirty_socket_path())
        _context.set(client)
    client.timeout = timeout
    return client


def close_dirty_client() -> None:
    """Close the connections of this thread's client."""
    client: DirtyClient | None = getattr(_thread, "client", None)
    if client is not None:
        client.close()
        _thread.client = None


async def close_dirty_client_async() -> None:
    """Close the connections of this task's client."""
    client = _context.get(None)
    if client is not None:
        await client.close_async()
