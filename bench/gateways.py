"""The CPU time of a hello by each protocol of proxies, beside HTTP.

One worker of ours a protocol on the first core, the load on the second. They take turns, `--rounds`
times; each figure is the median, each ratio that of the same round's figures. uwsgi has one request
a connection, so it stands beside HTTP with `Connection: close`; the others keep theirs.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from measure import cpu_seconds
from servers import ROOT, Scratch, Server, free_port

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tests"))
from helpers import fastcgi_record, proxy_header, uwsgi_packet  # noqa: E402

CLIENTS = 32
WARM_UP = 0.3  # seconds
HOST = b"Host: www.example.com\r\n"
#: The one field that all of them carry.
FIELDS = {"HTTP_HOST": "www.example.com"}


@dataclass
class Way:
    """A protocol: the server's options, the bytes of a connection and of a request."""

    name: str
    like: str
    request: bytes
    first: bytes = b""
    options: tuple[str, ...] = ()
    kept: bool = True
    goal: float = 1.10  # times what `like` needs
    server: Server = field(init=False)
    answer_size: int = 0


def ways() -> list[Way]:
    get = b"GET /hello HTTP/1.1\r\n" + HOST
    inet = proxy_header.addresses("192.0.2.1", 56324)
    header = proxy_header.v2(proxy_header.PROXY, proxy_header.TCP4, inet)
    record = fastcgi_record.request("GET", "/hello", keep=True, **FIELDS)
    return [
        Way("http", "", get + b"\r\n"),
        Way("PROXY v2", "http", get + b"\r\n", header, ("--proxy-protocol", "v2")),
        # The fifteen variables of nginx stand beside one field.
        Way("fastcgi", "http", record, options=("--protocol", "fastcgi"), goal=1.25),
        Way("http, closed", "", get + b"Connection: close\r\n\r\n", kept=False),
        Way(
            "uwsgi", "http, closed", uwsgi_packet.request("GET", "/hello", **FIELDS),
            options=("--protocol", "uwsgi"), kept=False,
        ),
    ]  # fmt: skip


def start(way: Way, core: int, scratch: Scratch) -> None:
    port = free_port()
    command = [str(Path(sys.executable).parent / "gunicorn"), "-b", f"127.0.0.1:{port}"]
    way.server = Server(way.name, [])
    way.server.port = port
    way.server.process = subprocess.Popen(
        [*command, "--keep-alive", "75", "--no-control-socket", *way.options, "app:app"],
        cwd=HERE,
        stderr=(scratch.folder / "gateways.log").open("a"),
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    while True:
        try:
            way.answer_size = size_of_answer(way) if way.kept else 0
            return
        except OSError:
            if way.server.process.poll() is not None:
                raise SystemExit(f"{way.name}: the server has ended") from None


def size_of_answer(way: Way) -> int:
    """How long an answer is; it comes in one piece."""
    with socket.create_connection(("127.0.0.1", way.server.port), 10) as sock:
        sock.sendall(way.first + way.request)
        return len(sock.recv(65536))


def microseconds(load: str, way: Way, seconds: float, scratch: Scratch) -> float:
    """The CPU time of a request."""
    first, request = scratch.folder / "first.bin", scratch.folder / "request.bin"
    first.write_bytes(way.first)
    request.write_bytes(way.request)
    assert way.server.process
    pid = way.server.process.pid
    command = [load, str(way.server.port), str(CLIENTS)]
    files = [str(first), str(request), str(way.answer_size)]
    subprocess.run([*command, str(WARM_UP), *files], check=True, capture_output=True)
    before = cpu_seconds(pid)
    done = subprocess.run([*command, str(seconds), *files], check=True, capture_output=True)
    return (cpu_seconds(pid) - before) * 1e6 / int(done.stdout)


def report(figures: dict[str, list[float]], chosen: list[Way]) -> bool:
    """Print the figures; whether all goals are reached."""
    good = True
    for way in chosen:
        values = figures[way.name]
        line = f"{way.name:14} {statistics.median(values):7.2f} us of CPU a request"
        if way.like:
            pairs = zip(values, figures[way.like], strict=True)
            ratio = statistics.median(mine / its for mine, its in pairs)
            good &= ratio <= way.goal
            line += f"   {ratio:5.2f} x {way.like}"
        print(line)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    folder = ROOT / "build" / "bench-scratch"
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Scratch(folder, folder / "file.bin")
    load = str(folder / "gateway_load")
    source = str(HERE / "gateway_load.c")
    subprocess.run(["cc", "-std=gnu11", "-O2", "-o", load, source], check=True)
    os.sched_setaffinity(0, {cores[-1]})
    chosen = ways()
    figures: dict[str, list[float]] = {way.name: [] for way in chosen}
    started: list[Way] = []
    try:
        for way in chosen:
            start(way, cores[0], scratch)
            started.append(way)
        for _ in range(options.rounds):
            for way in chosen:
                figures[way.name].append(microseconds(load, way, options.seconds, scratch))
    finally:
        for way in started:
            way.server.stop()
    return 0 if report(figures, chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
