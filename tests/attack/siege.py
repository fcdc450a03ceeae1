"""All attacks at once on one server, beside an honest client whose waits and losses are counted.

    python tests/attack/siege.py --seconds 1800 [-k sync] [--application] [--seed 1]

The attackers are clients: they drip heads and bodies, declare bodies that never come, do not read
large answers, upload in crowds, connect and leave, and send nonsense. With --application the
application attacks as well: it ends its worker, crashes, forks children that return into the
server, closes the descriptors of the server, and hangs; the master gets a HUP now and then.

Prints the honest client's waits and losses, and the most memory and descriptors of the processes.
Ends with status 1 if an honest request was lost without an attack of the application that explains
it, if it waited for longer than --bound, or if the memory of a worker was larger than --memory.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import resource
import shlex
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from helpers.server import FATAL, WORKER_ARGS, Server  # noqa: E402
from helpers.wrapped import name_wrapped  # noqa: E402

HELLO = b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
PATIENCE = 60.0  # seconds for one honest request before it counts as lost
EXPLAINED = 3.0  # seconds after an attack of the application in which a loss is its own
DEADLY = ("/leave", "/crash", "/close_all", "/hang")
HARMLESS = ("/child_returns", "/child_stays")
TIMEOUT = 5  # seconds of the setting `timeout`


# Attackers: coroutines that each hold one connection at a time


async def opened(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return sock


async def drip(sock: socket.socket, data: bytes, pause: float) -> None:
    loop = asyncio.get_running_loop()
    for i in range(len(data)):
        await loop.sock_sendall(sock, data[i : i + 1])
        await asyncio.sleep(pause)


async def drip_head(sock):
    await drip(sock, HELLO[:-2] + b"X-Field: y\r\n" * 100, 2.0)


async def drip_body(sock):
    await asyncio.get_running_loop().sock_sendall(sock, HEAD % 100_000)
    await drip(sock, bytes(1000), 2.0)


async def declare(sock):
    """A body that would take the disk, and never comes."""
    await asyncio.get_running_loop().sock_sendall(sock, HEAD % (1 << 40) + b"x")
    await asyncio.sleep(20)


async def never_read(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(3):
        await asyncio.get_running_loop().sock_sendall(sock, HELLO.replace(b"hello", b"big"))
    await asyncio.sleep(20)


async def upload(sock):
    """A mebibyte, but for its last byte."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, HEAD % (1 << 20) + bytes((1 << 20) - 1))
    await asyncio.sleep(5)
    await loop.sock_sendall(sock, b"x")
    await loop.sock_recv(sock, 1)


async def leave_early(sock):
    await asyncio.get_running_loop().sock_sendall(sock, HELLO[: random.randrange(len(HELLO))])
    await asyncio.sleep(random.random() / 10)


async def nonsense(sock):
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, random.randbytes(random.randrange(1, 20_000)))
    await loop.sock_recv(sock, 1)


async def pipeline(sock):
    """Requests without end, of which no answer is read."""
    while True:
        await asyncio.get_running_loop().sock_sendall(sock, HELLO * 100)


ATTACKS = {
    drip_head: 150,
    drip_body: 150,
    declare: 40,
    never_read: 60,
    upload: 60,
    leave_early: 10,
    nonsense: 10,
    pipeline: 5,
}


async def repeat(attack, port: int) -> None:
    while True:
        with contextlib.suppress(OSError, TimeoutError):
            sock = await asyncio.wait_for(opened(port), 10)
            with sock:
                await asyncio.wait_for(attack(sock), 60)
        await asyncio.sleep(0.05 + random.random() / 10)


def besiege(port: int, share: float) -> None:
    """The body of the attackers' process: it is killed at the end."""

    async def all_of_them():
        crowd = [repeat(attack, port) for attack, count in ATTACKS.items() for _ in range(count)]
        await asyncio.gather(*random.sample(crowd, max(1, int(len(crowd) * share))))

    asyncio.run(all_of_them())


# The honest client


class Honest:
    """Asks on kept and on new connections in turn, and keeps count."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.kept: socket.socket | None = None
        self.waits: list[float] = []
        self.lost: list[tuple[float, str]] = []

    def ask(self, keep: bool) -> None:
        begun = time.monotonic()
        sock = self.kept if keep else None
        try:
            if sock is None:
                sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            sock.sendall(
                HELLO if keep else HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            )
            answer = self.read(sock)
            if not answer.startswith(b"HTTP/1.1 200 OK") or not answer.endswith(b"hello"):
                raise OSError(f"answered {answer[:60]!r}")
            closing = b"connection: close" in answer.lower()
            self.kept = sock if keep and not closing else self.kept if not keep else None
            if sock is not self.kept:
                sock.close()
            self.waits.append(time.monotonic() - begun)
        except OSError as exc:
            if keep and self.kept is sock and not answer_begun(exc):
                self.kept = None  # an idle connection may be closed at any time: asked again
                return
            self.kept = None if keep else self.kept
            self.lost.append((time.monotonic(), f"{'kept' if keep else 'new'}: {exc!r}"))

    @staticmethod
    def read(sock: socket.socket) -> bytes:
        data = b""
        while not data.endswith(b"hello"):
            piece = sock.recv(65536)
            if not piece:
                raise OSError("closed" if not data else f"cut after {data[:60]!r}")
            data += piece
            if b"\r\n\r\n" in data and not data.startswith(b"HTTP/1.1 200"):
                break
        return data


def answer_begun(exc: OSError) -> bool:
    return not isinstance(exc, ConnectionError) and str(exc) != "closed"


# What the server occupies


def processes(master: int) -> list[int]:
    found = [master]
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{master}/task/{master}/children").read_text()
        found += [int(pid) for pid in text.split()]
    return found


def private_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


class Watch:
    """The most that any of the processes had."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.memory = self.master = self.descriptors = 0

    def look(self) -> None:
        for pid in processes(self.server.pid):
            with contextlib.suppress(OSError):
                kib = private_kib(pid)
                if pid == self.server.pid:
                    self.master = max(self.master, kib)
                else:
                    self.memory = max(self.memory, kib)
                self.descriptors = max(self.descriptors, len(os.listdir(f"/proc/{pid}/fd")))


def hurt(port: int, path: str) -> None:
    """One request to a path by which the application attacks; its answer is of no interest."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as sock:
        sock.sendall(HELLO.replace(b"/hello", path.encode()))
        sock.settimeout(0.5)
        sock.recv(100)


def siege(args, directory: Path) -> int:
    options = [*WORKER_ARGS[args.kind], "-w", "3", "--timeout", str(TIMEOUT)]
    options += ["--graceful-timeout", "5", "--worker-connections", "300", "--no-control-socket"]
    options += shlex.split(args.settings)
    environ = {"TMPDIR": "/nonexistent"} if args.no_files else {}
    app = "attack.siege_app:app"
    options.append(name_wrapped(app) if args.kind == "asgi" else app)
    server = Server(options, directory, env=environ, expect_trouble=True)
    server.start(3)
    port = server.address[1]
    context = multiprocessing.get_context("spawn")
    attackers = context.Process(target=besiege, args=(port, args.share), daemon=True)
    attackers.start()
    honest, watch, chance = Honest(port), Watch(server), random.Random(args.seed)
    attacked: list[float] = []
    begun = time.monotonic()
    next_attack = begun + 5
    turn = 0
    while time.monotonic() < begun + args.seconds and server.process.poll() is None:
        turn += 1
        honest.ask(keep=turn % 2 == 0)
        if args.application and time.monotonic() > next_attack:
            path = chance.choice(DEADLY + HARMLESS)
            hurt(port, path)
            if path in DEADLY:
                attacked.append(time.monotonic())
            if chance.random() < 0.1:
                server.kill(signal.SIGHUP)
            next_attack = time.monotonic() + chance.uniform(1, 8)
        if turn % 50 == 0:
            watch.look()
        time.sleep(0.01)
    attackers.kill()
    attackers.join()
    code = server.stop() if server.process.poll() is None else server.process.returncode
    return report(args, server, honest, watch, attacked, code)


def report(args, server, honest, watch, attacked, code) -> int:
    waits = sorted(honest.waits) or [0.0]
    unexplained = [
        text
        for at, text in honest.lost
        if not any(0 <= at - since < EXPLAINED + 2 * TIMEOUT for since in attacked)
    ]
    fatal = [line for line in server.log.splitlines() if FATAL.search(line)]
    if args.application:
        fatal = [line for line in fatal if "SIGABRT" not in line and "Aborted" not in line]
    explained = f"{len(unexplained)} of them unexplained; {len(attacked)} deadly attacks"
    print(f"{args.kind}: {len(waits)} honest answers, {len(honest.lost)} lost, {explained}")
    p50, p99, worst = (1000 * waits[i] for i in (len(waits) // 2, len(waits) * 99 // 100, -1))
    print(f"  wait: p50 {p50:.1f} ms, p99 {p99:.0f} ms, worst {worst:.0f} ms")
    print(
        f"  most: {watch.memory / 1024:.0f} MiB a worker, {watch.master / 1024:.1f} MiB the master"
    )
    print(f"  {watch.descriptors} descriptors in one process; exit code {code}")
    for line in (*unexplained[:10], *fatal[:10]):
        print(f"  {line}")
    late = waits[-1] > args.bound and not args.application
    large = watch.memory > args.memory * 1024
    return int(bool(unexplained or fatal or code or late or large))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("-k", dest="kind", default="gthread", choices=list(WORKER_ARGS))
    parser.add_argument("--application", action="store_true", help="it attacks as well")
    parser.add_argument("--settings", default="", help="of the server, as on its command line")
    parser.add_argument("--no-files", action="store_true", help="there is no room on a disk")
    parser.add_argument("--share", type=float, default=1.0, help="of the attackers")
    parser.add_argument("--bound", type=float, default=5.0, help="seconds of the worst wait")
    parser.add_argument("--memory", type=float, default=400, help="MiB of a worker")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    random.seed(args.seed)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        return siege(args, Path(directory))


if __name__ == "__main__":
    sys.exit(main())
