"""The tables of the stash, in the arbiter. It keeps values as they came, and decodes none.

One arbiter at a time has the tables: the one that holds the lock of a file which all arbiters of a
master inherit. An arbiter that is replaced writes them there and gives up the lock; its successor
reads them. If an arbiter dies, the lock is free and the file is empty.
"""

from __future__ import annotations

import asyncio
import fcntl
import fnmatch
import os
import struct

from . import protocol
from .errors import DirtyError, DirtyProtocolError
from .tlv import TYPE_DICT, TYPE_LIST, TLVEncoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from gunicorn.glogging import Logger

    Key = bool | int | float | bytes | str | None
    Table = dict[Key, bytes]

SIZE_MAX = 1024**3  # bytes of all keys and values
ENTRY_COST = 256  # bytes that an entry costs beside
NAME_MAX = 64 * 1024  # bytes of a name, a key or a pattern
LOCK_PAUSE = 0.01  # seconds between two looks whether the arbiter before has given the tables up

_SIZES = struct.Struct(">III")
_RESULT = TLVEncoder.encode({"result": None})[:-1]  # a value follows
_NONE = TLVEncoder.encode(None)


class Request:
    """An operation: `op`, `table`, `key`, `pattern`, and `value` as bytes. DirtyProtocolError."""

    def __init__(self, payload: bytes) -> None:
        self.op: int = 0
        self.table = ""
        self.key: Key = None
        self.pattern: str | None = None
        self.value = _NONE
        try:
            self._read(payload)
        except (IndexError, struct.error):
            raise DirtyProtocolError("An operation on the stash is cut off") from None
        if not isinstance(self.table, str) or not isinstance(self.pattern, (str, type(None))):
            raise DirtyError("Names of tables, and patterns, are texts")

    def _read(self, payload: bytes) -> None:
        offset = 5  # the type of a dict, and its size
        for _ in range(payload[4]):
            name, offset = _small(payload, offset)
            if name == "value":
                self.value = bytes(payload[offset:])
                return
            value, offset = _small(payload, offset)
            if name not in ("op", "table", "key", "pattern"):
                raise DirtyProtocolError(f"An operation on the stash has no {name!r}")
            setattr(self, str(name), value)


def _small(payload: bytes, offset: int) -> tuple[Key, int]:
    """Return a value that is neither a list nor a dict, and the offset after it."""
    if payload[offset] in (TYPE_LIST, TYPE_DICT):
        raise DirtyError("Keys of the stash are texts, numbers or bytes")
    value, end = TLVEncoder.decode(payload, offset)
    if end - offset > NAME_MAX:
        raise DirtyError(f"Names and keys of the stash have at most {NAME_MAX} bytes")
    return value, end


class Tables:
    """The tables, if this arbiter has them. `file` is the descriptor that all arbiters share."""

    def __init__(self, file: int, log: Logger) -> None:
        self._file = file
        self._log = log
        self._tables: dict[str, Table] = {}
        self._size = 0
        self._declared: set[str] = set()
        self._is_ours = False
        self._is_given = False

    # ---- whose they are ----

    async def have(self) -> bool:
        """Wait until they are this arbiter's. False: it has handed them on."""
        while not (self._is_ours or self._is_given):
            if not self._take():
                await asyncio.sleep(LOCK_PAUSE)
        return not self._is_given

    def _take(self) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        self._is_ours = True
        self._load()
        self.declare(self._declared)
        return True

    def hand_on(self) -> None:
        """Let the successor have them."""
        if self._is_ours:
            self._save()
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        self._is_ours, self._is_given = False, True
        self._tables = {}

    def declare(self, names: Iterable[str]) -> None:
        """Have these tables; at once, or when they are this arbiter's."""
        self._declared.update(names)
        if self._is_ours:
            for name in self._declared:
                self._tables.setdefault(name, {})

    def _save(self) -> None:
        try:
            with os.fdopen(os.dup(self._file), "wb") as file:
                self._write(file)
        except OSError as exc:
            self._log.error("The stash is lost: it cannot be handed on: %s", exc)
            os.ftruncate(self._file, 0)

    def _write(self, file: BinaryIO) -> None:
        for name, table in self._tables.items():
            file.write(_record(name, b"", b""))
            for key, value in table.items():
                file.write(_record(name, TLVEncoder.encode(key), value))

    def _load(self) -> None:
        os.lseek(self._file, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._file), "rb") as file:
            for name, key, value in _records(file):
                table = self._tables.setdefault(name, {})
                if key:
                    self._store(table, TLVEncoder.decode(key)[0], value)
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)

    # ---- operations ----

    def run(self, payload: bytes) -> bytes:
        """Run an operation: return the payload of its answer. Raises DirtyError."""
        request = Request(payload)
        operation = _OPERATIONS.get(request.op)
        if operation is None:
            raise DirtyProtocolError(f"The stash has no operation {request.op!r}")
        return operation(self, request)

    def _put(self, request: Request) -> bytes:
        table = self._tables.setdefault(request.table, {})
        before = _cost(request.key, table[request.key]) if request.key in table else 0
        if self._size - before + _cost(request.key, request.value) > SIZE_MAX:
            raise DirtyError(f"The stash is full: it has at most {SIZE_MAX} bytes")
        self._size -= before
        self._store(table, request.key, request.value)
        return _result(True)

    def _store(self, table: Table, key: Key, value: bytes) -> None:
        table[key] = value
        self._size += _cost(key, value)

    def _get(self, request: Request) -> bytes:
        value = self._tables.get(request.table, {}).get(request.key)
        if value is None:
            raise DirtyError("The stash has no such key", {"missing": "key"})
        return _RESULT + value

    def _delete(self, request: Request) -> bytes:
        value = self._tables.get(request.table, {}).pop(request.key, None)
        if value is not None:
            self._size -= _cost(request.key, value)
        return _result(value is not None)

    def _keys(self, request: Request) -> bytes:
        keys, pattern = list(self._tables.get(request.table, {})), request.pattern
        if pattern:
            keys = [key for key in keys if fnmatch.fnmatchcase(str(key), pattern)]
        return protocol.payload_of({"result": keys})

    def _clear(self, request: Request) -> bytes:
        table = self._tables.get(request.table, {})
        self._size -= sum(_cost(key, value) for key, value in table.items())
        table.clear()
        return _result(True)

    def _info(self, request: Request) -> bytes:
        table = self._tables.get(request.table)
        if table is None:
            raise DirtyError("The stash has no such table", {"missing": "table"})
        return protocol.payload_of({"result": {"size": len(table), "table": request.table}})

    def _ensure(self, request: Request) -> bytes:
        self._tables.setdefault(request.table, {})
        return _result(True)

    def _delete_table(self, request: Request) -> bytes:
        self._clear(request)
        return _result(self._tables.pop(request.table, None) is not None)

    def _list(self, request: Request) -> bytes:
        return protocol.payload_of({"result": list(self._tables)})

    def _exists(self, request: Request) -> bytes:
        table = self._tables.get(request.table)
        if table is None or request.key is None:
            return _result(table is not None)
        return _result(request.key in table)


_OPERATIONS: dict[int, Callable[[Tables, Request], bytes]] = {
    protocol.STASH_OP_PUT: Tables._put,
    protocol.STASH_OP_GET: Tables._get,
    protocol.STASH_OP_DELETE: Tables._delete,
    protocol.STASH_OP_KEYS: Tables._keys,
    protocol.STASH_OP_CLEAR: Tables._clear,
    protocol.STASH_OP_INFO: Tables._info,
    protocol.STASH_OP_ENSURE: Tables._ensure,
    protocol.STASH_OP_DELETE_TABLE: Tables._delete_table,
    protocol.STASH_OP_TABLES: Tables._list,
    protocol.STASH_OP_EXISTS: Tables._exists,
}


def _result(truth: bool) -> bytes:
    return _RESULT + TLVEncoder.encode(truth)


def _cost(key: Key, value: bytes) -> int:
    return len(value) + (len(key) if isinstance(key, (bytes, str)) else 8) + ENTRY_COST


def _record(name: str, key: bytes, value: bytes) -> bytes:
    table = name.encode()
    return _SIZES.pack(len(table), len(key), len(value)) + table + key + value


def _records(file: BinaryIO) -> Iterator[tuple[str, bytes, bytes]]:
    while header := file.read(_SIZES.size):
        table, key, value = (file.read(size) for size in _SIZES.unpack(header))
        yield table.decode(), key, value
