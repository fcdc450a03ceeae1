"""Each call of the system that the engine makes fails in turn, in a server that lives a full life.

The server goes on, with its master; nobody waits for ever; nothing spins, nothing is left open.
Only a start may end, with a line that says why. `make faults` tries every error at several places,
with gevent too; the suite one of each call.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults.refusals import (
    EVER,
    WORKERS,
    Life,
    Quiet,
    has_started,
    processor_seconds,
    start_server,
)
from helpers.server import FATAL, PACKAGED, SANITIZED, server_has
from helpers.wire import wait_until

pytestmark = [
    pytest.mark.skipif(SANITIZED, reason="the sanitizer stands between the engine and its calls"),
    pytest.mark.skipif(sys.platform != "linux", reason="refuse.c is for glibc"),
    pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler"),
    pytest.mark.slow,
]

ALL = os.environ.get("FAULTS") == "all"

#: Not an error: the call does less than was asked of it.
LITTLE = 0

#: By call: what it is refused with. The first one is for the suite. Some calls only a start makes.
PASSING = {
    "accept4": ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "ECONNABORTED", "EINTR"],
    "close": ["EINTR", "EIO"],
    "epoll_create1": ["EMFILE", "ENOMEM"],
    "epoll_ctl": ["ENOSPC", "ENOMEM"],
    "epoll_wait": ["EINTR"],
    "eventfd": ["EMFILE"],
    "fcntl64": ["EMFILE"],
    "fork": ["EAGAIN", "ENOMEM"],
    "fstat64": ["EIO"],
    "ftruncate64": ["EIO"],
    "getsockname": ["ENOBUFS"],
    "getsockopt": ["ENOBUFS"],
    "lseek64": ["EIO"],
    "malloc": ["ENOMEM"],
    "nanosleep": ["EINTR"],
    "open64": ["EMFILE", "EACCES", "ENOENT"],
    "poll": ["EINTR", "ENOMEM"],
    "pread64": ["EIO", "EINTR", LITTLE],
    "pthread_create": ["EAGAIN"],
    "pwrite64": ["ENOSPC", "EIO", "EINTR", LITTLE],
    "read": ["EINTR", "EAGAIN"],
    "realloc": ["ENOMEM"],
    "recv": ["ECONNRESET", "ETIMEDOUT", "ENOMEM", "EINTR", LITTLE],
    "recvmsg": ["EINTR", "ENOMEM"],
    "send": ["EPIPE", "ECONNRESET", "ENOBUFS", "EAGAIN", "EINTR", LITTLE],
    "sendfile64": ["EIO", "EINVAL", "EINTR", LITTLE],
    "sendmsg": ["EAGAIN", "EPIPE", "ENOBUFS", "EINTR", LITTLE],
    "shutdown": ["ENOTCONN"],
    "wait4": ["EINTR"],
    "write": ["ENOSPC", "EIO", "EINTR", LITTLE],
}

#: What may last; the first ones are for the suite.
LASTING = [
    ("accept4", "EMFILE"),
    ("epoll_ctl", "ENOSPC"),
    ("fork", "EAGAIN"),
    ("write", "ENOSPC"),
    ("accept4", "ENOMEM"),
    ("epoll_create1", "EMFILE"),
    ("eventfd", "EMFILE"),
    ("fcntl64", "EMFILE"),
    ("malloc", "ENOMEM"),
    ("open64", "EMFILE"),
    ("pread64", "EIO"),
    ("pthread_create", "EAGAIN"),
    ("pwrite64", "ENOSPC"),
    ("realloc", "ENOMEM"),
    ("recv", "ENOMEM"),
    ("send", "ENOBUFS"),
    ("sendfile64", "EINVAL"),
    ("sendmsg", "ENOBUFS"),
]

#: By call: what it is refused with at a start, and how often a start makes it, at the most.
STARTING = {
    "bind": ("EACCES", 1),
    "close": ("EIO", 12),
    "epoll_create1": ("EMFILE", 2),
    "epoll_ctl": ("ENOSPC", 8),
    "eventfd": ("EMFILE", 2),
    "fcntl64": ("EMFILE", 2),
    "fork": ("EAGAIN", 2),
    "fstat64": ("EIO", 2),
    "getsockname": ("ENOBUFS", 2),
    "listen": ("EADDRINUSE", 1),
    "malloc": ("ENOMEM", 30),
    "memfd_create": ("EMFILE", 1),
    "mmap64": ("ENOMEM", 5),
    "open64": ("EMFILE", 1),
    "pipe": ("EMFILE", 3),
    "poll": ("ENOMEM", 3),
    "pthread_create": ("EAGAIN", 2),
    "read": ("EINTR", 5),
    "realloc": ("ENOMEM", 16),
    "setsockopt": ("ENOMEM", 1),
    "socket": ("EMFILE", 1),
    "socketpair": ("EMFILE", 1),
}

#: Must be in the log when they have cost somebody an answer, or the server a worker.
OF_SYSTEM = {"EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "ENOSPC", "EIO"}

#: How our own lines say it where the system is not asked for its words.
ALSO_SAID = {"ENOMEM": "No memory"}

#: Calls that are refused in a second while nobody asks for anything: more is a loop.
RATE_MAX = 500


def cases():
    places = (0, 1, 2, 5, 20) if ALL else (0,)
    for call, errors in PASSING.items():
        for error in errors if ALL else errors[:1]:
            for before in places:
                yield pytest.param(call, error, before, id=f"{call}-{error or 'little'}-{before}")


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("refuse") / "refuse.so"
    source = Path(__file__).with_name("refuse.c")
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(path), str(source)]
    subprocess.run(command, check=True, timeout=120)
    return path


class Patient:
    """The server that is refused calls; another one when a test has spoilt it."""

    def __init__(self, worker: str, library: Path, directories):
        self.worker = worker
        self.library = library
        self.directories = directories
        self.server = None

    def well(self) -> Patient:
        if self.server is None:
            directory = self.directories.mktemp("patient")
            self.server, self.refusals = start_server(self.worker, self.library, directory)
            self.server.start(WORKERS)
            Quiet(self.server)
            life = Life(self.server, 30)
            life.lead()
            assert not life.lost and not life.hung, f"{life.lost} {life.hung}\n{self.server.log}"
            self.quiet = Quiet(self.server)
        return self

    def spoilt(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            server._kill()

    def recovers(self) -> None:
        """All is as it was before, and nothing that must not be is in the log."""
        server = self.server
        wait_until(self.quiet.is_complete, lambda: f"it serves\n{server.log[-3000:]}", 60)
        wait_until(self.quiet.is_back, self.quiet.describe, 30)
        assert server.process.poll() is None
        assert not FATAL.search(server.log), server.log[-3000:]


@pytest.fixture(scope="module", params=["gthread", "gevent"] if ALL else ["gthread"])
def patients(request, library, tmp_path_factory):
    if not server_has(request.param) and request.param in PACKAGED:
        pytest.skip(f"{request.param} is not installed")
    one = Patient(request.param, library, tmp_path_factory)
    yield one
    if one.server is not None:
        assert not one.server.close()


@pytest.fixture
def patient(patients, request):
    yield patients.well()
    if request.node.stash.get(FAILED, False):
        patients.spoilt()


FAILED = pytest.StashKey[bool]()


def number(error) -> int:
    return getattr(errno, error) if error else LITTLE


def is_told(error, log: str) -> bool:
    return os.strerror(number(error)) in log or ALSO_SAID.get(error, "\0") in log


@pytest.mark.parametrize(("call", "error", "before"), list(cases()))
def test_a_call_fails(patient, request, call, error, before):
    request.node.stash[FAILED] = True
    start = len(patient.server.log)
    life = Life(patient.server, 30)
    with patient.refusals.of(call, number(error), before=before):
        life.lead()
    patient.recovers()
    log = patient.server.log[start:]
    assert not life.hung, f"{life.hung}\n{log[-3000:]}"
    if life.lost and error in OF_SYSTEM and call not in ("recv", "getsockopt"):
        assert is_told(error, log), f"{life.lost}\n{log[-3000:]}"
    request.node.stash[FAILED] = False
    if patient.refusals.count == 0 and before == 0 and patient.worker == "gthread":
        pytest.fail(f"{call} is never called: the life is not full")


@pytest.mark.parametrize(("call", "error"), LASTING if ALL else LASTING[:4])
def test_a_call_fails_for_long(patient, request, call, error):
    """Nothing spins meanwhile, and it is over when it is over."""
    request.node.stash[FAILED] = True
    server = patient.server
    start = len(server.log)
    with patient.refusals.of(call, number(error), times=EVER):
        Life(server, 1.5).lead()
        calls, seconds = patient.refusals.count, processor_seconds(server)
        time.sleep(1)
        calls, seconds = patient.refusals.count - calls, processor_seconds(server) - seconds
    assert calls < RATE_MAX, f"{calls} calls, {seconds} s\n{server.log[start:][-3000:]}"
    patient.recovers()
    request.node.stash[FAILED] = False


def starts():
    """Each call that a start makes. The suite tries the first one of a kind."""
    for call, (error, count) in STARTING.items():
        for before in range(count if ALL else 1):
            yield pytest.param(call, error, before, id=f"{call}-{error}-{before}")


@pytest.mark.parametrize(("call", "error", "before"), list(starts()))
def test_a_call_of_the_start_fails(library, tmp_path, call, error, before):
    """The server is there in the end, or it has ended and says why."""
    server, refusals = start_server("gthread", library, tmp_path)
    try:
        with refusals.of(call, number(error), before=before):
            server.launch()
            wait_until(lambda: has_started(server), lambda: f"it is up\n{server.log}", 30)
            assert refusals.count == 1 or before > 0, f"{call} is never called"
        if server.process.poll() is None:
            assert server.stop() == 0
        else:
            assert server.process.returncode > 0, server.log
            assert is_told(error, server.log), server.log
            assert "Traceback" not in server.log
        assert not FATAL.search(server.log), server.log
    finally:
        server._kill()


def test_the_clock_jumps(patient, request):
    """Time-outs, keep-alive and the watch over workers do not go by the clock on the wall."""
    request.node.stash[FAILED] = True
    start = len(patient.server.log)
    for seconds in 86400, -86400, 0:
        patient.refusals.set_clock_ahead(seconds)
        with patient.server.connect() as client:
            assert client.request().status == 200
            life = Life(patient.server, 30)
            life.lead()
            assert not life.lost and not life.hung, f"{life.lost} {life.hung}"
    patient.recovers()
    assert "TIMEOUT" not in patient.server.log[start:]
    request.node.stash[FAILED] = False
