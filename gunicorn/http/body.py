"""Bodies of requests that are read in Python (see `gunicorn.http.parser`).

A body that ends before its length, or in the middle of a chunk, raises NoMoreData: the engine gives
no application such a body either.
"""

from gunicorn import _core
from gunicorn.http.errors import NoMoreData
from gunicorn.http.unreader import Unreader

LIMITS = (8190, 100)  # limit_request_field_size and limit_request_fields, where there is no cfg


class LengthReader:
    """A body of a known length."""

    def __init__(self, unreader: Unreader, length: int) -> None:
        self.unreader = unreader
        self.length = length  # that is left

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end. Raises NoMoreData."""
        wanted = min(_checked(size), self.length)
        data = self.unreader.read(wanted) if wanted else b""
        if len(data) < wanted:
            raise NoMoreData(data)
        self.length -= wanted
        return data


class ChunkedReader:
    """A body in chunks (RFC 9112 section 7.1); its trailer fields are checked and dropped."""

    def __init__(self, req, unreader: Unreader) -> None:
        cfg = getattr(req, "cfg", None)
        limits = (cfg.limit_request_field_size, cfg.limit_request_fields) if cfg else LIMITS
        self.req = req
        self.unreader = unreader
        self._decoder = _core.ChunkedDecoder(*limits)
        self._buffered = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end. Raises NoMoreData and ParseException."""
        size = _checked(size)
        while len(self._buffered) < size and not self._ended:
            data = self.unreader.read()
            if not data:
                raise NoMoreData(self._buffered)
            body, used, self._ended = self._decoder.feed(data)
            self._buffered += body
            if used < len(data):
                self.unreader.unread(data[used:])
        data, self._buffered = self._buffered[:size], self._buffered[size:]
        return data


class EOFReader:
    """A body that ends with the connection. No request has one (RFC 9112 section 6.3)."""

    def __init__(self, unreader: Unreader) -> None:
        self.unreader = unreader

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        return self.unreader.read(_checked(size))


class Body:
    """The body as a file: `wsgi.input`."""

    def __init__(self, reader) -> None:
        self.reader = reader
        self._ahead = b""

    def __iter__(self) -> "Body":
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    next = __next__

    def read(self, size: int | None = None) -> bytes:
        """Return `size` bytes, fewer at the end alone; all that are left without a size."""
        size = _size_of(size)
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        parts, there = [data], len(data)
        while there < size and (data := self.reader.read(min(size - there, _STEP))):
            parts.append(data)
            there += len(data)
        return b"".join(parts)

    def readline(self, size: int | None = None) -> bytes:
        """Return up to and with the next line feed, at most `size` bytes."""
        size = _size_of(size)
        data, self._ahead = self._ahead or self.reader.read(_LINE_STEP), b""
        parts, there = [], 0
        while data and size:
            end = data.find(b"\n") + 1 or len(data)
            end = min(end, size - there)
            parts.append(data[:end])
            there += end
            if end < len(data):
                self._ahead = data[end:]
            if end < len(data) or there == size or data.endswith(b"\n"):
                return b"".join(parts)
            data = self.reader.read(_LINE_STEP)
        return b"".join(parts)

    def readlines(self, size: int | None = None) -> list[bytes]:
        """Return the lines that are left; with a size, no more once they have that many bytes."""
        lines, there = [], 0
        for line in self:
            lines.append(line)
            there += len(line)
            if size is not None and 0 < size <= there:
                break
        return lines


_STEP = 1 << 20  # bytes that a reader is asked for at once
_LINE_STEP = 1024


def _checked(size: int) -> int:
    if not isinstance(size, int):
        raise TypeError("size must be an integer")
    if size < 0:
        raise ValueError("size must not be negative")
    return size


def _size_of(size: int | None) -> int:
    """Return a file's argument as a number of bytes: none, or less than zero, is all."""
    if size is None:
        return 1 << 63
    if not isinstance(size, int):
        raise TypeError("size must be an integer")
    return size if size >= 0 else 1 << 63
