"""Clients of all kinds, the well-behaved and the others, for a soak."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field

PAUSE = 0.03  # seconds between two requests of a client: the crowd is bounded by it
FRESH = 1.0  # seconds: a retiring worker closes what has been idle for two
PATIENCE = 60.0  # seconds until an answer counts as lost
UPLOAD = 3 << 20  # bytes at most: what is beyond 1 MiB is a file of the server's
BLOCK = 1 << 16

#: A module of the server's: what malloc has given to its process, in KiB, and Python's objects.
IN_USE = """
import ctypes, linecache, sys

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        'arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost'
    ).split()]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info

def now():
    linecache.clearcache()  # whole source files, once a traceback has quoted them
    info = mallinfo2()
    return f'{(info.uordblks + info.hblkhd) // 1024} {sys.getallocatedblocks()}'
"""

#: The application that the crowd asks: it tells which worker answered, and what that has in use.
APP = """
import os, time, zlib
import in_use

def app(environ, start_response):
    path = environ['PATH_INFO']
    fields = [('X-Worker', str(os.getpid())), ('X-In-Use', in_use.now())]
    if path == '/upload':
        crc, source = 0, environ['wsgi.input']
        while block := source.read(65536):
            crc = zlib.crc32(block, crc)
        body = b'%d' % crc
    elif path == '/stream':
        start_response('200 OK', fields)
        return (b'x' * 65536 for _ in range(int(environ['QUERY_STRING'])))
    else:
        if path == '/slow':
            time.sleep(0.2)
        body = b'hello'
    start_response('200 OK', fields + [('Content-Length', str(len(body)))])
    return [body]
"""


@dataclass
class Loss:
    """A request that a client was entitled to an answer to, by time.monotonic()."""

    role: str
    error: str
    worker: int | None  # that answered last on the connection
    asked: float  # the last request that was answered was sent, or the connection opened
    good: float  # that answer was here; a slow reader finds it long after it was sent
    at: float


@dataclass
class Line:
    """A client's connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    asked: float = field(default_factory=time.monotonic)
    good: float = field(default_factory=time.monotonic)
    worker: int | None = None
    last: bool = False  # whether the server has said that it closes

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Our end goes with a reset, whatever is on its way."""
        if not self.writer.transport.is_closing():
            raw = self.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()


class Crowd:
    """So many clients of each kind, in a thread of its own; as a context manager."""

    def __init__(self, address, each: int, seed: int, tls=None) -> None:
        self.address = address
        self.tls = tls  # the clients' ssl.SSLContext
        self.each = each
        self.random = random.Random(seed)
        self.answers: Counter[str] = Counter()
        self.losses: list[Loss] = []
        self.mischief: Counter[str] = Counter()
        self.least: dict[int, tuple[int, int]] = {}  # that a worker had in use: KiB, objects
        self._stop = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *exc) -> None:
        self._stop = True
        self._thread.join()

    async def _main(self) -> None:
        honest = [self.keeper, self.closer, self.uploader, self.downloader, self.sleeper]
        clients = [self._honest(role) for role in honest for _ in range(self.each)]
        unruly = [self.staller, self.resetter]
        clients += [self._unruly(role) for role in unruly for _ in range(self.each)]
        await asyncio.gather(*clients)

    async def _open(self) -> Line:
        name = None if self.tls is None else "localhost"
        return Line(
            *await asyncio.open_connection(*self.address, ssl=self.tls, server_hostname=name)
        )

    async def _honest(self, role) -> None:
        """Asks on and on; whatever goes wrong is a loss."""
        line, name = None, role.__name__
        while not self._stop:
            now = time.monotonic()
            if line and now - line.asked > FRESH:
                line.close()
                line = None
            try:
                line = line or await asyncio.wait_for(self._open(), PATIENCE)
                await asyncio.wait_for(role(line), PATIENCE)
                self.answers[name] += 1
                line.asked, line.good = now, time.monotonic()
                reusable = role != self.closer and not line.last
            except Exception as exc:
                error = f"{type(exc).__name__}: {exc}"
                last = (line.worker, line.asked, line.good) if line else (None, now, now)
                self.losses.append(Loss(name, error, *last, time.monotonic()))
                reusable = False
            if line and not reusable:
                line.close()
                line = None
            await asyncio.sleep(self.random.uniform(0, 2 * PAUSE))
        if line:
            line.close()

    async def _unruly(self, role) -> None:
        """Misbehaves on and on; nothing that happens to it is a loss."""
        while not self._stop:
            try:
                line = await self._open()
                try:
                    await role(line)
                finally:
                    line.close()
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
                pass
            await asyncio.sleep(self.random.uniform(0, 10 * PAUSE))

    # Those who are owed an answer

    async def keeper(self, line: Line) -> None:
        await self._get(line, "/")

    async def closer(self, line: Line) -> None:
        await self._get(line, "/", "Connection: close\r\n")

    async def sleeper(self, line: Line) -> None:
        await self._get(line, "/slow")

    async def uploader(self, line: Line) -> None:
        """A body of any size, sent at once or in pieces, with its length or chunked."""
        body = self.random.randbytes(int(UPLOAD ** self.random.random()))
        chunked, slow = self.random.random() < 0.5, self.random.random() < 0.2
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
        line.writer.write(f"POST /upload HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode())
        for at in range(0, len(body), BLOCK):
            block = body[at : at + BLOCK]
            line.writer.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
            await line.writer.drain()
            if slow:
                await asyncio.sleep(PAUSE)
        if chunked:
            line.writer.write(b"0\r\n\r\n")
        if int(await self._answer(line)) != zlib.crc32(body):
            raise ValueError("another body than was sent")

    async def downloader(self, line: Line) -> None:
        """Up to 4 MiB, read slowly at times."""
        blocks = self.random.choice([1, 2, 16, 64])
        line.writer.write(f"GET /stream?{blocks} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        body = await self._answer(line, slow=self.random.random() < 0.2)
        if body != b"x" * (blocks * BLOCK):
            raise ValueError(f"{len(body)} bytes of {blocks * BLOCK}")

    async def _get(self, line: Line, path: str, fields: str = "") -> None:
        line.writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
        if await self._answer(line) != b"hello":
            raise ValueError("not the answer")

    async def _answer(self, line: Line, slow: bool = False) -> bytes:
        head = (await line.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if not head.startswith("http/1.1 200"):
            raise ValueError(head.partition("\r\n")[0])
        fields = dict(row.split(": ", 1) for row in head.split("\r\n")[1:] if row)
        line.worker = int(fields["x-worker"])
        used = tuple(map(int, fields["x-in-use"].split()))
        self.least[line.worker] = tuple(map(min, used, self.least.get(line.worker, used)))
        line.last = fields.get("connection") == "close"
        if "content-length" in fields:
            return await line.reader.readexactly(int(fields["content-length"]))
        body = bytearray()
        while size := int(await line.reader.readline(), 16):
            body += await line.reader.readexactly(size)
            await line.reader.readexactly(2)
            if slow:
                await asyncio.sleep(PAUSE)
        await line.reader.readexactly(2)
        # To the server a slow reader has been idle since the answer was in the socket's buffer.
        line.last = line.last or slow
        return bytes(body)

    # Those who are not

    async def staller(self, line: Line) -> None:
        """Stops in the middle, and waits for what the server does about it."""
        stage = self.random.choice(["silent", "head", "body", "chunk", "deaf"])
        self.mischief[f"stalls: {stage}"] += 1
        line.writer.write(
            {
                "silent": b"",
                "head": b"GET / HTTP/1.1\r\nHost:",
                "body": b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nxyz",
                "chunk": b"POST /upload HTTP/1.1\r\nHost: a\r\n"
                b"Transfer-Encoding: chunked\r\n\r\nffff\r\nabc",
                "deaf": b"GET /stream?200 HTTP/1.1\r\nHost: a\r\n\r\n",
            }[stage]
        )
        if stage == "deaf":
            await asyncio.sleep(self.random.uniform(1, 20))
        else:
            await asyncio.wait_for(line.reader.read(), self.random.uniform(1, 20))

    async def resetter(self, line: Line) -> None:
        """Goes with a reset, anywhere."""
        stage = self.random.choice(["connected", "head", "body", "asked", "answered", "stream"])
        self.mischief[f"resets: {stage}"] += 1
        if stage == "head":
            line.writer.write(b"GET / HTTP/1.1\r\nHo")
        elif stage == "body":
            line.writer.write(
                b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n"
                + b"x" * 2000000
            )
        elif stage in ("asked", "answered"):
            line.writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        elif stage == "stream":
            line.writer.write(b"GET /stream?64 HTTP/1.1\r\nHost: a\r\n\r\n")
        if stage in ("answered", "stream"):
            await asyncio.wait_for(line.reader.read(100), PATIENCE)
        else:
            await asyncio.sleep(self.random.uniform(0, 0.1))
        line.reset()
