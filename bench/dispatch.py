"""Measure whether fast requests wait behind slow ones while another worker is free.

Two sync workers, 32 clients on kept connections that never rest, a share of requests that sleeps.
The application says which worker ran a request and when (CLOCK_MONOTONIC, which all processes
share), so that what the fast ones went through is known afterwards: how long each took from the
client's first byte to its last, and whether a worker was free of slow requests all that time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
START_SECONDS = 20.0


@dataclass
class Answer:
    slow: bool
    worker: int
    asked: float  # by the client
    answered: float
    began: float  # in the worker
    ended: float


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/dispatch.py", description=__doc__.splitlines()[0])
    parser.add_argument("--gunicorn", default=str(Path(sys.executable).with_name("gunicorn")))
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--fast", type=float, default=0.001, help="seconds of a fast request")
    parser.add_argument("--slow", type=float, default=1.0, help="seconds of a slow request")
    parser.add_argument("--share", default="0.0005,0.05", help="of slow requests")
    parser.add_argument("--args", default="", help="for gunicorn")
    return parser.parse_args()


def start(options) -> tuple[subprocess.Popen, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [options.gunicorn, "-w", str(options.workers), "-b", f"127.0.0.1:{port}"]
    command += ["--chdir", str(HERE), "--keep-alive", "60", *options.args.split(), "dispatch_app"]
    log = tempfile.TemporaryFile()
    server = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            asyncio.run(all_boot(port, options.workers))
            return server, port
        except OSError:
            if time.monotonic() > deadline or server.poll() is not None:
                sys.exit("the server does not start")
            time.sleep(0.05)


async def all_boot(port: int, workers: int) -> None:
    """Until every worker has answered: so many requests at once, each of which keeps one busy."""
    seen: set[bytes] = set()
    while len(seen) < workers:
        seen.update(await asyncio.gather(*(answering(port, 0.1) for _ in range(workers))))


async def answering(port: int, seconds: float) -> bytes:
    """Return the worker that has run a request of so many seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /%f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % seconds)
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2].split()[0]


async def client(port: int, share: float, options, until: float, answers: list[Answer]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until:
        slow = random.random() < share
        seconds = options.slow if slow else options.fast
        asked = time.monotonic()
        writer.write(b"GET /%f HTTP/1.1\r\nHost: a\r\n\r\n" % seconds)
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].split()[0])
        worker, began, ended = (await reader.readexactly(size)).split()
        answered = time.monotonic()
        answers.append(Answer(slow, int(worker), asked, answered, float(began), float(ended)))
        if b"connection: close" in head.lower():
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def load(port: int, share: float, options) -> list[Answer]:
    answers: list[Answer] = []
    until = time.monotonic() + options.seconds
    await asyncio.gather(
        *(client(port, share, options, until, answers) for _ in range(options.clients))
    )
    return answers


def all_busy(answers: list[Answer], workers: int) -> list[tuple[float, float]]:
    """When every worker was running a slow request, in order."""
    edges = [(a.began, 1) for a in answers if a.slow] + [(a.ended, -1) for a in answers if a.slow]
    spans, running, since = [], 0, 0.0
    for at, step in sorted(edges):
        if running == workers and step < 0:
            spans.append((since, at))
        running += step
        if running == workers:
            since = at
    return spans


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def report(share: float, answers: list[Answer], options) -> None:
    spans = all_busy(answers, options.workers)
    fast = [a for a in answers if not a.slow]
    free = [a for a in fast if not any(b < a.answered and a.asked < e for b, e in spans)]
    busy = sum(end - begin for begin, end in spans)
    print(
        f"{share:.2%} slow: {len(answers)} answers, {len(answers) - len(fast)} slow; "
        f"all workers in slow requests for {busy / options.seconds:.0%} of the time"
    )
    for name, chosen in (("all fast", fast), ("a worker free", free)):
        times = [(a.answered - a.asked) * 1000 for a in chosen]
        print(
            f"  {name:14} {len(times):7}  p50 {quantile(times, 0.5):7.1f} ms"
            f"  p99 {quantile(times, 0.99):7.1f} ms  max {max(times, default=0):7.1f} ms"
        )


def main() -> int:
    options = parse_arguments()
    for share in map(float, options.share.split(",")):
        server, port = start(options)
        try:
            answers = asyncio.run(load(port, share, options))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
        report(share, answers, options)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
