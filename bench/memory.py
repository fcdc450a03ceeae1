"""What the master and its workers occupy without preloading, beside gunicorn.

    .venv/bin/python bench/memory.py --beside PATH/TO/gunicorn
    .venv/bin/python bench/memory.py --parts           # what master and worker are made of

PSS counts a page that n processes share as an n-th of it in each, so the sum over the master and
its workers is what they occupy together. The pages of libraries are shared with whoever else runs
Python on the machine; "alone" counts them in full.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from preload import rollup

HERE = Path(__file__).resolve().parent
APPS = {"bare": "answer", "flask": "flask()", "django": "django()"}
START_TIMEOUT = 120.0  # seconds; sixteen workers import Django on whatever cores there are
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
ROUNDS_OF_REQUESTS = 3  # one for each worker at the same time


class Mapping(NamedTuple):
    """A line of smaps: where it comes from, and its memory in KiB."""

    rights: str
    start: str  # in the file
    path: str  # empty: anonymous memory
    data: float  # that is no longer the file's, or never was; this process's share
    file: float  # pages of the file


class Memory(NamedTuple):
    """What a server occupies, in MiB, and the seconds until all its workers had the application."""

    pss: float  # as it is now: others on this machine have the same libraries, too
    alone: float  # as it would be if nobody had
    data: float  # of both: heaps, stacks, relocations; the rest are pages of files
    seconds: float


class Server:
    """A master on a port of its own, whose workers have all answered."""

    def __init__(self, command: str, app: str, workers: int, options: list[str]) -> None:
        self.log = HERE / "results" / f"memory-{os.getpid()}.log"
        self.log.parent.mkdir(exist_ok=True)
        arguments = ["-b", "127.0.0.1:0", "-w", str(workers), "--no-control-socket", *options]
        began = time.perf_counter()
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [command, *arguments, f"memory_app:{APPS[app]}"],
                cwd=HERE,
                env={**os.environ, "MEMORY_APP": app},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._await(workers)
            self.seconds = time.perf_counter() - began
            for _ in range(ROUNDS_OF_REQUESTS):
                self._ask(workers)
        except BaseException:
            self.stop()
            raise

    def _await(self, workers: int) -> None:
        ends = time.monotonic() + START_TIMEOUT
        while time.monotonic() < ends and self.process.poll() is None:
            text = self.log.read_text()
            if text.count("loaded\n") >= workers:
                self.port = int(re.search(r"Listening at: http://127.0.0.1:(\d+)", text)[1])
                return
            time.sleep(0.002)
        raise SystemExit(f"the server did not start:\n{self.log.read_text()}")

    def _ask(self, count: int) -> None:
        clients = [socket.create_connection(("127.0.0.1", self.port), 60) for _ in range(count)]
        for client in clients:
            client.sendall(REQUEST)
        for client in clients:
            while client.recv(65536):
                pass
            client.close()

    def processes(self) -> list[int]:
        """The master and its workers."""
        pid = self.process.pid
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def memory(self) -> Memory:
        """What all processes occupy together."""
        sums = [rollup(pid) for pid in self.processes()]
        pss = sum(one["Pss"] for one in sums) / 1024
        data = sum(one["Pss_Anon"] for one in sums) / 1024
        files: dict[tuple, float] = {}
        for pid in self.processes():
            for one in mappings(pid):
                place = (one.path, one.start)
                files[place] = max(files.get(place, 0), one.file)
        return Memory(pss, data + sum(files.values()) / 1024, data, self.seconds)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.log.unlink()


def mappings(pid: int) -> Iterator[Mapping]:
    """Yield what a process has mapped."""
    text = Path(f"/proc/{pid}/smaps").read_text()
    for found in re.finditer(r"^[0-9a-f]+-[0-9a-f]+ (.+)\n((?:\w+: .*\n)+)", text, re.M):
        rights, start, _device, _inode, *path = found[1].split(None, 4)
        size = {name: int(kib) for name, kib in re.findall(r"(\w+): +(\d+) kB", found[2])}
        pages = size["Rss"] - size["Anonymous"]
        share = size["Pss"] * size["Anonymous"] / size["Rss"] if size["Rss"] else 0
        yield Mapping(rights, start, path[0] if path else "", share, pages)


def print_parts(command: str, options: list[str]) -> None:
    """Print what master and worker are made of, one worker, the bare application."""
    server = Server(command, "bare", 1, options)
    try:
        for role, pid in zip(("master", "worker"), server.processes(), strict=True):
            parts: dict[str, list[float]] = {}
            for one in mappings(pid):
                name = Path(one.path).name or "anonymous: arenas of Python, stacks of threads"
                sums = parts.setdefault(name, [0.0, 0.0])
                sums[0] += one.data / 1024
                sums[1] += one.file / 1024
            data, pages = (sum(column) for column in zip(*parts.values(), strict=True))
            print(f"{role}: {data:.2f} MiB of data (its share), {pages:.2f} MiB of files (common)")
            for name, sums in sorted(parts.items(), key=lambda part: -sum(part[1])):
                if sum(sums) >= 0.04:
                    print(f"  {sums[0]:6.2f} {sums[1]:6.2f}  {name}")
    finally:
        server.stop()


def measure(command: str, app: str, workers: int, options: list[str], rounds: int) -> Memory:
    """Return the medians over the rounds."""
    seen = []
    for _ in range(rounds):
        server = Server(command, app, workers, options)
        try:
            seen.append(server.memory())
        finally:
            server.stop()
    return Memory(*(statistics.median(column) for column in zip(*seen, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ours = str(Path(sys.executable).with_name("gunicorn"))
    parser.add_argument("--server", default=ours, help="the command that is measured")
    parser.add_argument("--beside", help="another one; it needs Flask and Django beside it")
    parser.add_argument("--apps", default=",".join(APPS))
    parser.add_argument("--workers", default="1,2,4,8,16")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--parts", action="store_true", help="what master and worker are made of")
    parser.add_argument("options", nargs="*", help="of the servers, behind --")
    args = parser.parse_args()
    if args.parts:
        print_parts(args.server, args.options)
        return
    commands = [args.server, *([args.beside] if args.beside else [])]
    print("application, workers; MiB of PSS now, PSS alone, data; seconds until all have loaded")
    for app in args.apps.split(","):
        for workers in map(int, args.workers.split(",")):
            row = [measure(one, app, workers, args.options, args.rounds) for one in commands]
            cells = "  |  ".join("{:6.1f} {:6.1f} {:6.1f} {:5.2f}".format(*one) for one in row)
            print(f"{app:8}{workers:3}   {cells}", flush=True)


if __name__ == "__main__":
    main()
