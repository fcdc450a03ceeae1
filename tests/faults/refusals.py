"""A server whose engine is refused what the test says, by refuse.c, and a life of all it does."""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

from helpers.gate import Gate
from helpers.server import Server
from helpers.status_port import Port
from helpers.wire import WireError, chunked, render, wait_until

EVER = 1 << 30
WORKERS = 2
THREADS = 2
BODY = b"0123456789abcdef" * (3 << 16)  # 3 MiB: more than is kept in memory

#: struct page of refuse.c
PAGE = struct.Struct("@iiiiii q 32s")
ARMED, REFUSED, AHEAD = struct.Struct("@i"), (20, struct.Struct("@i")), (24, struct.Struct("@q"))


class Refusals:
    """The page by which a server is told what to refuse."""

    def __init__(self, path: Path):
        self.path = path
        path.write_bytes(bytes(PAGE.size))
        with path.open("r+b") as file:
            self.page = mmap.mmap(file.fileno(), PAGE.size)

    @contextmanager
    def of(self, call: str, error: int, *, pid: int = 0, before: int = 0, times: int = 1):
        """Meanwhile `times` calls fail with `error`, after `before` that do not; 0: they do little.

        pid: of the only process whose calls are meant; negative: all processes but that.
        """
        PAGE.pack_into(self.page, 0, 0, error, pid, before, times, 0, 0, call.encode())
        ARMED.pack_into(self.page, 0, 1)
        try:
            yield
        finally:
            ARMED.pack_into(self.page, 0, 0)

    @property
    def count(self) -> int:
        """How many calls were refused since the last of()."""
        at, form = REFUSED
        return form.unpack_from(self.page, at)[0]

    def set_clock_ahead(self, seconds: int) -> None:
        """The wall clock of the server is wrong by that much."""
        at, form = AHEAD
        form.pack_into(self.page, at, seconds)


def start_server(
    worker: str, library: Path, directory: Path, *args: str
) -> tuple[Server, Refusals]:
    refusals = Refusals(directory / "page")
    server = Server(
        [
            *("-k", worker, "--threads", str(THREADS), "-w", str(WORKERS)),
            *("--access-logfile", "access.log", "--keep-alive", "2", "--graceful-timeout", "20"),
            *("--name", "refused"),  # a title reads the command line's place
            *args,
            "busy",
        ],
        directory,
        env={"LD_PRELOAD": str(library), "REFUSE": str(refusals.path)},
        expect_trouble=True,
    )
    return server, refusals


# A life


class Life:
    """Clients and an operator; they bear whatever happens, and count what did not go well."""

    def __init__(self, server: Server, patience: float):
        self.server = server
        self.patience = patience
        self.lost: Counter[str] = Counter()  # by kind: requests that had another end than an answer
        self.hung: Counter[str] = Counter()  # and those that had none

    def lead(self) -> None:
        for part in (
            self.clients_that_stay,
            self.uploads,
            self.downloads,
            self.handing_over,
            self.status,
            self.reload,
            self.clients_that_stay,
            self.more_and_fewer,
            self.murder,
        ):
            self.bear(part)

    def bear(self, part) -> None:
        name = part.__name__
        try:
            part()
        except (OSError, WireError) as exc:
            late = isinstance(exc, TimeoutError) or "no answer in time" in str(exc)
            (self.hung if late else self.lost)[name] += 1
        except AssertionError as exc:
            (self.hung if str(exc).startswith("not in") else self.lost)[name] += 1

    def connect(self, **options):
        return self.server.connect(timeout=self.patience, **options)

    def clients_that_stay(self) -> None:
        with self.connect() as client:
            for _ in range(3):
                assert client.request().status == 200
            client.send(render() * 3)
            for _ in range(3):
                assert client.read_response().status == 200
            assert client.request("POST", body=b"x" * 100).status == 200

    def uploads(self) -> None:
        for fields, body in ([], BODY), ([("Transfer-Encoding", "chunked")], chunked(BODY)):
            with self.connect() as client:
                client.send_if_open(render("POST", "/", fields, body))
                answer = client.read_response()
                assert answer.status == 200 and json.loads(answer.body)["size"] == len(BODY)

    def downloads(self) -> None:
        for target in "/large", "/chunks", "/file":
            with self.connect(receive_buffer=4096) as client:
                client.send(render(target=target))
                assert client.read_response().body.count(b"x") == 8 << 20

    def handing_over(self) -> None:
        """More requests for one worker than it has threads: the others get them."""
        by_pid: dict[int, list] = {}
        with ExitStack() as stack:
            for _ in range(WORKERS * THREADS + 4):
                client = stack.enter_context(self.connect())
                answer = client.request()
                assert answer.status == 200
                by_pid.setdefault(json.loads(answer.body)["pid"], []).append(client)
            gate = stack.enter_context(Gate())
            gate.listener.settimeout(self.patience)
            busy = max(by_pid.values(), key=len)[: THREADS + 1]
            for client in busy:
                client.send(render(target="/gate", headers=[("X-Gate", gate.path)]))
            try:
                gate.wait(len(busy))
            finally:
                gate.open()
            for client in busy:
                assert client.read_response().status == 200

    def status(self) -> None:
        for path in "/metrics", "/workers", "/dump":
            Port.private(self.server.pid).text(path)

    def wait(self, condition, what: str):
        return wait_until(condition, what, self.patience)

    def reload(self) -> None:
        before = set(self.server.worker_pids())
        start = len(self.server.log)
        self.server.kill(signal.SIGUSR1)
        self.server.kill(signal.SIGHUP)

        def is_done():
            if "[ERROR]" in self.server.log[start:]:
                return True  # said
            now = set(self.server.worker_pids())
            return len(now) == WORKERS and not now & before

        self.wait(is_done, "new workers")

    def more_and_fewer(self) -> None:
        self.server.kill(signal.SIGTTIN)
        try:
            self.wait(lambda: len(self.server.worker_pids()) > WORKERS, "one worker more")
        finally:
            self.server.kill(signal.SIGTTOU)
        self.wait(lambda: len(self.server.worker_pids()) == WORKERS, "one worker fewer")

    def murder(self) -> None:
        victim = self.wait(self.server.worker_pids, "a worker")[0]
        os.kill(victim, signal.SIGKILL)
        self.wait(lambda: victim not in self.server.worker_pids(), "it is gone")


# What is true afterwards


def has_started(server: Server) -> bool:
    """All workers are there and requests are answered, or the server has ended."""
    if server.process.poll() is not None:
        return True
    try:
        complete = server.is_up(WORKERS) and len(server.worker_pids()) == WORKERS
        return complete and all(server.request().status == 200 for _ in range(2 * WORKERS))
    except (OSError, AssertionError):
        return False


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def processor_seconds(server: Server) -> float:
    """Of the master, its dead and its living workers."""
    ticks = 0
    for pid in server.pid, *server.worker_pids():
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        fields = [int(one) for one in text.rpartition(")")[2].split()[11:15]]
        ticks += sum(fields if pid == server.pid else fields[:2])
    return ticks / os.sysconf("SC_CLK_TCK")


class Quiet:
    """The server as it is when nobody asks for anything, to compare with."""

    def __init__(self, server: Server):
        self.server = server
        wait_until(self.is_complete, "all workers are ready", 60)
        self.master = descriptors(server.pid)
        self.worker = max(descriptors(pid) for pid in server.worker_pids())

    def is_complete(self) -> bool:
        """All workers are there, and one answers."""
        try:
            answered = self.server.request().status == 200
            return answered and len(self.server.ready_pids()) == WORKERS
        except (OSError, AssertionError):
            return False

    def is_back(self) -> bool:
        pids = self.server.worker_pids()
        try:
            return (
                len(pids) == WORKERS
                and descriptors(self.server.pid) <= self.master
                and all(descriptors(pid) <= self.worker for pid in pids)
            )
        except OSError:
            return False

    def describe(self) -> str:
        counts = {pid: descriptors(pid) for pid in self.server.worker_pids()}
        log = self.server.log[-3000:]
        now = descriptors(self.server.pid)
        return f"descriptors: {self.master} → {now}, {self.worker} → {counts}\n{log}"
