"""The stash: tables of plain values that all workers share. They live in the dirty arbiter.

A reload hands them on; when the dirty arbiter crashes or the server stops, they are lost. Keys are
texts, numbers or bytes. Each function is a method of the thread's `StashClient`.
"""

from __future__ import annotations

import threading

from . import _connections, protocol
from .client import get_dirty_socket_path
from .errors import DirtyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class StashError(DirtyError):
    """An operation on the stash failed."""


class StashTableNotFoundError(StashError):
    """There is no such table."""

    def __init__(self, table_name: str) -> None:
        super().__init__(f"Stash table not found: {table_name}")
        self.table_name = table_name


class StashKeyNotFoundError(StashError):
    """The table has no such key."""

    def __init__(self, table_name: str, key: Any) -> None:
        super().__init__(f"Key not found in {table_name}: {key}")
        self.table_name = table_name
        self.key = key


class StashClient:
    """Operations on the stash. Each may take `timeout` seconds. They raise StashError."""

    def __init__(self, socket_path: str, timeout: float | None = 30.0) -> None:
        self.socket_path = socket_path
        self.timeout = timeout

    def put(self, table: str, key: Any, value: Any) -> None:
        """Store a value. The table is made if there is none."""
        self._run(protocol.STASH_OP_PUT, table, key=key, value=value)

    def get(self, table: str, key: Any, default: Any = None) -> Any:
        """Return a value; `default` if there is none."""
        try:
            return self._run(protocol.STASH_OP_GET, table, key=key)
        except StashKeyNotFoundError:
            return default

    def delete(self, table: str, key: Any) -> bool:
        """Remove a key. False: it was not there."""
        return bool(self._run(protocol.STASH_OP_DELETE, table, key=key))

    def keys(self, table: str, pattern: str | None = None) -> list[Any]:
        """Return the keys of a table, or those that match a pattern of `fnmatch`."""
        found: list[Any] = self._run(protocol.STASH_OP_KEYS, table, pattern=pattern)
        return found

    def clear(self, table: str) -> None:
        """Remove all keys of a table."""
        self._run(protocol.STASH_OP_CLEAR, table)

    def info(self, table: str) -> dict[str, Any]:
        """Return `table`, its name, and `size`, its number of keys.

        Raises StashTableNotFoundError.
        """
        found: dict[str, Any] = self._run(protocol.STASH_OP_INFO, table)
        return found

    def ensure(self, table: str) -> None:
        """Make a table if there is none."""
        self._run(protocol.STASH_OP_ENSURE, table)

    def exists(self, table: str, key: Any = None) -> bool:
        """Return whether there is the table, or the key in it."""
        return bool(self._run(protocol.STASH_OP_EXISTS, table, key=key))

    def delete_table(self, table: str) -> None:
        """Remove a table."""
        self._run(protocol.STASH_OP_DELETE_TABLE, table)

    def tables(self) -> list[str]:
        """Return the names of the tables."""
        found: list[str] = self._run(protocol.STASH_OP_TABLES, "")
        return found

    def table(self, name: str) -> StashTable:
        """Return a table that can be used as a dict."""
        return StashTable(self, name)

    def close(self) -> None:
        """Close the connections that are idle."""
        _connections.close_idle(self.socket_path)

    def _run(self, op: int, table: str, **fields: Any) -> Any:
        """Run an operation. `value` is the last field: the arbiter keeps it as it comes."""
        given = {name: field for name, field in fields.items() if field is not None}
        payload = protocol.payload_of({"op": op, "table": table, **given})
        try:
            sock, answer = _connections.call(
                self.socket_path,
                protocol.MSG_TYPE_STASH,
                payload,
                _connections.Limit(self.timeout),
                again=True,
            )
            _connections.keep(self.socket_path, sock)
            return answer.value()
        except DirtyError as exc:
            raise _translated(exc, table, fields.get("key")) from None

    def __enter__(self) -> StashClient:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()


def _translated(exc: DirtyError, table: str, key: Any) -> StashError:
    missing = exc.details.get("missing")
    if missing == "key":
        return StashKeyNotFoundError(table, key)
    if missing == "table":
        return StashTableNotFoundError(table)
    return StashError(exc.message, exc.details)


class StashTable:
    """A table as a dict. Missing keys raise KeyError."""

    def __init__(self, client: StashClient, name: str) -> None:
        self._client = client
        self._name = name

    @property
    def name(self) -> str:
        """The name of the table."""
        return self._name

    def __getitem__(self, key: Any) -> Any:
        missing = object()
        found = self._client.get(self._name, key, missing)
        if found is missing:
            raise KeyError(key)
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        self._client.put(self._name, key, value)

    def __delitem__(self, key: Any) -> None:
        if not self._client.delete(self._name, key):
            raise KeyError(key)

    def __contains__(self, key: Any) -> bool:
        return self._client.exists(self._name, key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys())

    def __len__(self) -> int:
        try:
            return int(self._client.info(self._name)["size"])
        except StashTableNotFoundError:
            return 0

    def get(self, key: Any, default: Any = None) -> Any:
        """Return a value; `default` if there is none."""
        return self._client.get(self._name, key, default)

    def keys(self, pattern: str | None = None) -> list[Any]:
        """Return the keys, or those that match a pattern."""
        return self._client.keys(self._name, pattern)

    def clear(self) -> None:
        """Remove all keys."""
        self._client.clear(self._name)

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over keys and values; a key that is removed meanwhile is left out."""
        missing = object()
        for key in self.keys():
            value = self.get(key, missing)
            if value is not missing:
                yield key, value

    def values(self) -> Iterator[Any]:
        """Iterate over the values."""
        for _, value in self.items():
            yield value


# ---- the client of this thread ----

_thread = threading.local()
_path: str | None = None


def set_stash_socket_path(path: str | None) -> None:
    """Have the clients that are made from now on connect to `path`; None: as the master says."""
    global _path
    _path = path


def get_stash_socket_path() -> str:
    """Return the path of the socket. Raises StashError without one."""
    try:
        return _path or get_dirty_socket_path()
    except DirtyError as exc:
        raise StashError(exc.message) from None


def _client() -> StashClient:
    client: StashClient | None = getattr(_thread, "client", None)
    if client is None:
        client = _thread.client = StashClient(get_stash_socket_path())
    return client


def put(table: str, key: Any, value: Any) -> None:
    """Store a value. The table is made if there is none."""
    _client().put(table, key, value)


def get(table: str, key: Any, default: Any = None) -> Any:
    """Return a value; `default` if there is none."""
    return _client().get(table, key, default)


def delete(table: str, key: Any) -> bool:
    """Remove a key. False: it was not there."""
    return _client().delete(table, key)


def keys(table: str, pattern: str | None = None) -> list[Any]:
    """Return the keys of a table, or those that match a pattern of `fnmatch`."""
    return _client().keys(table, pattern)


def clear(table: str) -> None:
    """Remove all keys of a table."""
    _client().clear(table)


def info(table: str) -> dict[str, Any]:
    """Return the name and the size of a table. Raises StashTableNotFoundError."""
    return _client().info(table)


def ensure(table: str) -> None:
    """Make a table if there is none."""
    _client().ensure(table)


def exists(table: str, key: Any = None) -> bool:
    """Return whether there is the table, or the key in it."""
    return _client().exists(table, key)


def delete_table(table: str) -> None:
    """Remove a table."""
    _client().delete_table(table)


def tables() -> list[str]:
    """Return the names of the tables."""
    return _client().tables()


def table(name: str) -> StashTable:
    """Return a table that can be used as a dict."""
    return _client().table(name)
