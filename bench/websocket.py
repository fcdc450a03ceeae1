"""The CPU time of an echoed WebSocket message, and the memory of an open WebSocket.

Each server has one worker on the first core, and the load the second one. For each work the servers
take turns, `--rounds` times; each figure is the median. Uses the servers' own package index
releases in environments of their own, as run.py does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from measure import cpu_seconds, memory
from run import build_echo
from servers import ROOT, Scratch, Server, Unavailable

HERE = Path(__file__).resolve().parent
CLIENTS = 64
WARM_UP = 0.3  # seconds
OPEN = 1000  # WebSockets whose memory is measured
#: Bytes of a message, and messages of a burst.
WORKS = [(32, 1), (4096, 1), (65536, 1), (32, 16)]
APP = "asgi_echo:app"
UVICORN = "uvicorn==0.54.0 uvloop==0.23.0 httptools websockets==17.4 wsproto==1.3.2"
GRANIAN = "granian[uvloop]==2.8.9"


def ours(loop: str) -> list[str]:
    command = ["{bin}/gunicorn", "-k", "asgi", "--asgi-loop", loop, "-b", "127.0.0.1:{port}"]
    return [*command, "--worker-connections", "12000", "--pythonpath", str(ROOT / "tools"), APP]


def uvicorn(protocol: str) -> list[str]:
    command = ["{bin}/uvicorn", "--loop", "uvloop", "--ws", protocol, "--port", "{port}"]
    return [*command, "--log-level", "error", "--app-dir", str(ROOT / "tools"), APP]


def granian() -> list[str]:
    command = ["{bin}/granian", "--interface", "asgi", "--loop", "uvloop", "--port", "{port}"]
    return [*command, "--log-level", "error", "--working-dir", str(ROOT / "tools"), APP]


def servers() -> list[Server]:
    echo = str(ROOT / "build" / "bench" / "src" / "demo" / "echo")
    return [
        Server("echo", [echo, "--websocket", "{port}"]),
        Server("ours-uvloop", ours("uvloop"), ours=True),
        Server("ours-asyncio", ours("asyncio"), ours=True),
        Server("uvicorn-sansio", uvicorn("websockets-sansio"), UVICORN, "uvicorn-websocket"),
        Server("uvicorn-wsproto", uvicorn("wsproto"), UVICORN, "uvicorn-websocket"),
        Server("granian", granian(), GRANIAN, "granian-websocket"),
    ]


def build_load(folder: Path) -> str:
    """Compile the clients; return the path of the program."""
    program = str(folder / "websocket_load")
    source = str(HERE / "websocket_load.c")
    subprocess.run(["cc", "-std=gnu11", "-O2", "-o", program, source], check=True)
    return program


def echoed(load: str, port: int, size: int, burst: int, seconds: float) -> int:
    """Run the clients for so long; return how many messages were echoed."""
    numbers = [port, CLIENTS, size, burst, seconds]
    done = subprocess.run([load, *map(str, numbers)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def microseconds(load: str, server: Server, work: tuple[int, int], options) -> float:
    """Return the CPU time of a message."""
    assert server.process
    echoed(load, server.port, *work, WARM_UP)
    before = cpu_seconds(server.process.pid)
    count = echoed(load, server.port, *work, options.seconds)
    return (cpu_seconds(server.process.pid) - before) * 1e6 / count


def kibibytes(load: str, server: Server) -> float:
    """Return the private memory of an open WebSocket."""
    assert server.process
    before = memory(server.process.pid)[1]
    arguments = [str(number) for number in (server.port, OPEN, 32, 1, 0)]
    clients = subprocess.Popen([load, *arguments], stdout=subprocess.PIPE)
    assert clients.stdout
    clients.stdout.readline()
    used = memory(server.process.pid)[1] - before
    clients.kill()
    clients.wait()
    return used / OPEN / 1024


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default="", help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--python", default=sys.executable)
    return parser.parse_args()


def prepare(wanted: list[Server], python: str, scratch: Scratch, core: int) -> list[Server]:
    """Install and start the servers; return those that answer, and say which do not."""
    ready = []
    for server in wanted:
        try:
            if server.name == "echo":
                build_echo()
            server.install(python, scratch)
            server.start(core, scratch)
            ready.append(server)
        except Unavailable as exc:
            print(f"{server.name}: left out: {exc}")
    return ready


def compare(load: str, contestants: list[Server], options) -> None:
    for size, burst in WORKS:
        figures: dict[str, list[float]] = {server.name: [] for server in contestants}
        for _ in range(options.rounds):
            for server in contestants:
                figures[server.name].append(microseconds(load, server, (size, burst), options))
        print(f"\n{size} bytes, bursts of {burst}: CPU us a message")
        for name, values in figures.items():
            print(f"  {name:16} {statistics.median(values):7.1f}  of {min(values):.1f} to "
                  f"{max(values):.1f}")  # fmt: skip
    print("\nan open WebSocket: KiB of private memory")
    for server in contestants:
        print(f"  {server.name:16} {kibibytes(load, server):7.1f}")


def main() -> None:
    options = parse_arguments()
    cores = sorted(os.sched_getaffinity(0))
    folder = ROOT / "build" / "bench-scratch"
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Scratch(folder, folder / "file.bin")
    os.sched_setaffinity(0, {cores[-1]})
    names = options.servers.split(",") if options.servers else []
    wanted = [server for server in servers() if not names or server.name in names]
    contestants = prepare(wanted, options.python, scratch, cores[0])
    try:
        compare(build_load(folder), contestants, options)
    finally:
        for server in contestants:
            server.stop()


if __name__ == "__main__":
    main()
