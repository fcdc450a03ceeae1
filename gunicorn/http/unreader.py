"""The source of a request's bytes, for code that reads requests in Python.

The engine reads its clients itself; see `gunicorn.http.parser`.
"""

from collections.abc import Iterable

CHUNK = 8192  # bytes of a read


class Unreader:
    """Bytes that are read once, and those of them that were put back. A subclass has `chunk()`."""

    def __init__(self) -> None:
        self.buf = b""

    def chunk(self) -> bytes:
        """Return the next bytes, none at the end."""
        raise NotImplementedError

    def read(self, size: int | None = None) -> bytes:
        """Return `size` bytes, fewer only at the end; without a size buffered ones or a chunk."""
        if size is not None and not isinstance(size, int):
            raise TypeError("size must be an integer")
        if size is None or size < 0:
            return self.take_buffered() or self.chunk()
        parts = [self.take_buffered()]
        there = len(parts[0])
        while there < size and (data := self.chunk()):
            parts.append(data)
            there += len(data)
        data = b"".join(parts)
        self.buf = data[size:]
        return data[:size]

    def unread(self, data: bytes) -> None:
        """Put bytes back: they are read next."""
        self.buf = bytes(data) + self.buf

    def take_buffered(self) -> bytes:
        """Return the bytes that were put back or read ahead, and keep none."""
        data, self.buf = self.buf, b""
        return data


class SocketUnreader(Unreader):
    """Bytes of a socket."""

    def __init__(self, sock, mxchunk: int = CHUNK) -> None:
        super().__init__()
        self.sock = sock
        self.mxchunk = mxchunk

    def chunk(self) -> bytes:
        return self.sock.recv(self.mxchunk)


class IterUnreader(Unreader):
    """Bytes of an iterable of bytes."""

    def __init__(self, iterable: Iterable[bytes]) -> None:
        super().__init__()
        self.iter = iter(iterable)

    def chunk(self) -> bytes:
        return next((data for data in self.iter if data), b"")
