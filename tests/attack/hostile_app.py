"""An application that turns on its own server: it writes over what its worker shares."""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import os
import random
import socket
import stat
import threading
import time
from urllib.parse import parse_qs

LIBC = ctypes.CDLL(None)  # its calls run without the interpreter's lock
HOT = 16 * 1024  # bytes at the start of a mapping, where the slots in use are
MOST_THREADS = 12
WORDS = (0, 1, 2, 3, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)


def app(environ, start_response):
    if environ["PATH_INFO"] == "/attack":
        seconds = float(parse_qs(environ["QUERY_STRING"])["seconds"][0])
        if threading.active_count() < MOST_THREADS:
            begin(time.monotonic() + seconds)
    body = b"%d\n" % os.getpid()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def begin(until: float) -> None:
    for attack in (scribble, flood, send_nonsense):
        threading.Thread(target=attack, args=(until,), daemon=True).start()


def shared_mappings() -> list[tuple[int, int]]:
    """The start and size of all memory that other processes have, too, and that can be written."""
    with open("/proc/self/maps") as maps:
        fields = [line.split() for line in maps]
    spans = [field[0].split("-") for field in fields if field[1].startswith("rw-s")]
    return [(int(start, 16), int(end, 16) - int(start, 16)) for start, end in spans]


def scribble(until: float) -> None:
    """Random bytes, numbers and zeros, everywhere."""
    chance = random.Random()
    mappings = shared_mappings()
    assert mappings
    while time.monotonic() < until:
        for start, size in mappings:
            span = min(size, HOT) if chance.random() < 0.9 else size
            at = chance.randrange(0, span, 8)
            if chance.random() < 0.5:
                data = chance.choice(WORDS).to_bytes(8, "little")
            else:
                data = chance.randbytes(chance.choice((8, 64, 4096)))
            data = data[: size - at]
            LIBC.memcpy(ctypes.c_void_p(start + at), data, ctypes.c_size_t(len(data)))


def inherited(kind) -> list[int]:
    """Descriptors of a kind, but those of the standard streams."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            if int(name) > 2 and kind(int(name)):
                found.append(int(name))
    return found


def is_written(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    log = os.readlink(f"/proc/self/fd/{fd}").endswith(".log")
    writes = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    return (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)) and writes and not log


def is_queue(fd: int) -> bool:
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return False
    with socket.socket(fileno=os.dup(fd)) as one:
        return one.family == socket.AF_UNIX and one.type == socket.SOCK_SEQPACKET


def flood(until: float) -> None:
    """Nonsense into every pipe, and into the file that takes stacks."""
    fds = inherited(is_written)
    assert fds
    while time.monotonic() < until:
        for fd in fds:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                os.ftruncate(fd, 2**40)
                os.lseek(fd, random.choice((0, 2**30)), os.SEEK_SET)
            else:
                os.set_blocking(fd, False)
            try:
                os.write(fd, os.urandom(512))
            except OSError:
                pass


def send_nonsense(until: float) -> None:
    """Messages that are none into the queue between workers."""
    fds = inherited(is_queue)
    assert fds
    while time.monotonic() < until:
        for fd in fds:
            with socket.socket(fileno=os.dup(fd)) as queue, open("/dev/null") as null:
                rights = array.array("i", [null.fileno()] * random.randrange(4))
                control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
                size = random.randrange(1, 400)
                label = (1).to_bytes(4, "little") + bytes(4) + os.urandom(size)
                try:
                    queue.sendmsg([label], control, socket.MSG_DONTWAIT)
                except OSError:
                    pass
        time.sleep(0.001)
