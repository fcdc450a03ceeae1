"""Plain values as bytes: a type, a length, the value. Nothing that is decoded can run code.

    0x00 None                       0x10 bytes   length (4 bytes), the bytes
    0x01 bool   1 byte              0x11 str     length (4 bytes), UTF-8
    0x05 int    8 bytes, signed     0x20 list    count (4 bytes), the items
    0x06 float  8 bytes, IEEE 754   0x21 dict    count (4 bytes), each key (a str) and value

Numbers are big-endian. A tuple becomes a list; a key of a dict that is no str becomes one.
"""

from __future__ import annotations

import struct

from .errors import DirtyProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TYPE_NONE = 0x00
TYPE_BOOL = 0x01
TYPE_INT64 = 0x05
TYPE_FLOAT64 = 0x06
TYPE_BYTES = 0x10
TYPE_STRING = 0x11
TYPE_LIST = 0x20
TYPE_DICT = 0x21

MAX_STRING_SIZE = 64 * 1024 * 1024  # bytes
MAX_BYTES_SIZE = 64 * 1024 * 1024
MAX_LIST_SIZE = 1024 * 1024  # items
MAX_DICT_SIZE = 1024 * 1024
MAX_DEPTH = 200  # lists and dicts within each other

_INT = struct.Struct(">Bq")
_FLOAT = struct.Struct(">Bd")
_SIZED = struct.Struct(">BI")
_INT_VALUE = struct.Struct(">q")
_FLOAT_VALUE = struct.Struct(">d")
_SIZE = struct.Struct(">I")


class TLVEncoder:
    """Encodes and decodes None, bool, int, float, bytes, str, list and dict."""

    @staticmethod
    def encode(value: Any) -> bytes:
        """Return `value` as bytes. Raises DirtyProtocolError for what has no form here."""
        parts: list[bytes] = []
        _encode(value, parts, MAX_DEPTH)
        return b"".join(parts)

    @staticmethod
    def decode(data: bytes | bytearray, offset: int = 0) -> tuple[Any, int]:
        """Return the value at `offset`, and the offset after it. Raises DirtyProtocolError."""
        return _decode(memoryview(data), offset, MAX_DEPTH)

    @staticmethod
    def decode_full(data: bytes | bytearray) -> Any:
        """Return the value that is all of `data`. Raises DirtyProtocolError."""
        value, end = _decode(memoryview(data), 0, MAX_DEPTH)
        if end != len(data):
            raise DirtyProtocolError(f"{len(data) - end} bytes follow the value")
        return value


# ---- encoding ----


def _encode(value: Any, parts: list[bytes], depth: int) -> None:
    if value is None:
        parts.append(b"\x00")
    elif isinstance(value, bool):
        parts.append(b"\x01\x01" if value else b"\x01\x00")
    elif isinstance(value, int):
        parts.append(_int(value))
    elif isinstance(value, float):
        parts.append(_FLOAT.pack(TYPE_FLOAT64, value))
    elif isinstance(value, (bytes, bytearray, memoryview)):
        _encode_bytes(TYPE_BYTES, value, MAX_BYTES_SIZE, parts)
    elif isinstance(value, str):
        _encode_bytes(TYPE_STRING, _utf8(value), MAX_STRING_SIZE, parts)
    else:
        _encode_items(value, parts, depth)


def _int(value: int) -> bytes:
    try:
        return _INT.pack(TYPE_INT64, value)
    except struct.error:
        raise DirtyProtocolError("An int does not fit into 64 bits; send it as a str") from None


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise DirtyProtocolError(f"A str has no form in UTF-8: {exc}") from None


def _encode_bytes(kind: int, data: Any, limit: int, parts: list[bytes]) -> None:
    size = memoryview(data).nbytes
    _check(size, limit, "bytes")
    parts.append(_SIZED.pack(kind, size))
    parts.append(data)


def _encode_items(value: Any, parts: list[bytes], depth: int) -> None:
    if not isinstance(value, (list, tuple, dict)):
        raise DirtyProtocolError(f"Unsupported type: {type(value).__name__}")
    if depth == 0:
        raise DirtyProtocolError(f"Lists and dicts are nested more than {MAX_DEPTH} deep")
    _check(len(value), MAX_LIST_SIZE, "items")
    if isinstance(value, dict):
        parts.append(_SIZED.pack(TYPE_DICT, len(value)))
        for key, item in value.items():
            _encode(str(key), parts, depth - 1)
            _encode(item, parts, depth - 1)
    else:
        parts.append(_SIZED.pack(TYPE_LIST, len(value)))
        for item in value:
            _encode(item, parts, depth - 1)


def _check(size: int, limit: int, unit: str) -> None:
    if size > limit:
        raise DirtyProtocolError(f"A value has {size} {unit}; {limit} are allowed")


# ---- decoding ----


def _decode(data: memoryview, offset: int, depth: int) -> tuple[Any, int]:
    try:
        return _decode_value(data, offset, depth)
    except (IndexError, struct.error):
        raise DirtyProtocolError(
            "The value is cut off", bytes(data[offset : offset + 20])
        ) from None


def _decode_value(data: memoryview, offset: int, depth: int) -> tuple[Any, int]:
    kind = data[offset]
    offset += 1
    if kind == TYPE_STRING:
        part, offset = _slice(data, offset, MAX_STRING_SIZE)
        return _text(part), offset
    if kind == TYPE_INT64:
        return _INT_VALUE.unpack_from(data, offset)[0], offset + 8
    if kind == TYPE_NONE:
        return None, offset
    if kind == TYPE_BOOL:
        return data[offset] != 0, offset + 1
    if kind == TYPE_FLOAT64:
        return _FLOAT_VALUE.unpack_from(data, offset)[0], offset + 8
    if kind == TYPE_BYTES:
        return _slice(data, offset, MAX_BYTES_SIZE)
    return _decode_items(kind, data, offset, depth)


def _slice(data: memoryview, offset: int, limit: int) -> tuple[bytes, int]:
    size = _size(data, offset, limit, "bytes")
    end = offset + 4 + size
    if end > len(data):
        raise IndexError
    return bytes(data[offset + 4 : end]), end


def _size(data: memoryview, offset: int, limit: int, unit: str) -> int:
    size: int = _SIZE.unpack_from(data, offset)[0]
    _check(size, limit, unit)
    return size


def _text(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError as exc:
        raise DirtyProtocolError(f"A str is not UTF-8: {exc}", part[:20]) from None


def _decode_items(kind: int, data: memoryview, offset: int, depth: int) -> tuple[Any, int]:
    if kind not in (TYPE_LIST, TYPE_DICT):
        raise DirtyProtocolError(f"Unknown type of value: 0x{kind:02x}")
    if depth == 0:
        raise DirtyProtocolError(f"Lists and dicts are nested more than {MAX_DEPTH} deep")
    count = _size(data, offset, MAX_LIST_SIZE, "items")
    read = _decode_list if kind == TYPE_LIST else _decode_dict
    return read(data, offset + 4, count, depth - 1)


def _decode_list(data: memoryview, offset: int, count: int, depth: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, offset = _decode_value(data, offset, depth)
        items.append(item)
    return items, offset


def _decode_dict(
    data: memoryview, offset: int, count: int, depth: int
) -> tuple[dict[str, Any], int]:
    items = {}
    for _ in range(count):
        key, offset = _decode_value(data, offset, depth)
        if not isinstance(key, str):
            raise DirtyProtocolError(f"A key of a dict is no str: {type(key).__name__}")
        items[key], offset = _decode_value(data, offset, depth)
    return items, offset
