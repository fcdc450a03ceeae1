"""Instructions that the server needs for a request, counted by callgrind.

    make instructions                                        # this checkout
    make instructions ARGS="--against /path/to/other/.venv"  # beside another build

A figure is the difference of two runs with FEW and MANY requests, divided by the difference of
their numbers: what the start and the end cost is in both and so in neither. One client asks on one
kept connection. The same build gives the same figure within about half a percent: the stand-by
looks every 4 ms, and callgrind is slow.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gateways import Way, ways

HERE = Path(__file__).resolve().parent
FEW, MANY = 500, 2500
PATIENCE = 120.0  # seconds: callgrind makes a start some fifty times slower
SIZE = 65536  # bytes of the body that is echoed

BROWSER = (
    "GET /hello?page={n}&session={n:08x}-4b1d&sort=newest HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Connection: keep-alive\r\n"
    'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"\r\n'
    "sec-ch-ua-mobile: ?0\r\n"
    'sec-ch-ua-platform: "Linux"\r\n'
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Referer: https://www.example.com/articles/archive?page={n}&sort=newest\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8,fr;q=0.7\r\n"
    "Cookie: sessionid={n:08x}; csrftoken=kq3Jt0Xb7rWm5Zp1Ys9Vd2Ng8Hf4Lc6A; theme=dark\r\n"
    "X-Request-Id: {n:08x}-4b1d-4f6e\r\n"
    "\r\n"
)


def hello(_: int) -> bytes:
    return b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"


def browser(n: int) -> bytes:
    return BROWSER.format(n=n % 256).encode()


def post(_: int) -> bytes:
    return b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE + bytes(SIZE)


#: The requests that the server with Python gets, and those that the engine without it gets.
WORKS: dict[str, Callable[[int], bytes]] = {"hello": hello, "browser": browser, "echo 64K": post}
PLAIN: dict[str, Callable[[int], bytes]] = {"C echo: hello": hello, "C echo: 64K": post}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connect(port: int, process: subprocess.Popen) -> socket.socket:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port), PATIENCE)
        time.sleep(0.05)
    raise SystemExit("the server does not listen: is callgrind there, and the server built?")


def answer(client: socket.socket) -> None:
    """Receive one answer, whose length is declared."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        piece = client.recv(1 << 18)
        if not piece:
            raise SystemExit("the server closed the connection")
        data += piece
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: (\d+)", head)
    if not head.startswith(b"HTTP/1.1 200") or not found:
        raise SystemExit(f"unexpected answer: {head!r}")
    left = int(found[1]) - len(body)
    while left > 0:
        left -= len(client.recv(min(left, 1 << 18)))


@contextlib.contextmanager
def counted(command: list[str], counts: list[int]) -> Iterator[subprocess.Popen]:
    """Run a command under callgrind; the instructions of its busiest process go to `counts`."""
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes", *command],
            cwd=directory,  # where it writes; a path among its options is lost with the title
            env={**os.environ, "PYTHONPATH": str(HERE)},
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        totals = [
            int(found[1])
            for path in Path(directory).iterdir()
            if (found := re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE))
        ]
        counts.append(max(totals, default=0))


def ask(client: socket.socket, request, number: int) -> None:
    for n in range(number):
        client.sendall(request(n))
        answer(client)


def ask_as(way: Way, client: socket.socket, number: int) -> None:
    """Ask by another protocol, on this connection or each time on another."""
    address = client.getpeername()
    client.sendall(way.first if way.kept else way.request)
    size = 0
    for _ in range(number):
        if not way.kept:
            with client:
                while client.recv(1 << 16):
                    pass
            client = socket.create_connection(address, PATIENCE)
        client.sendall(way.request)
        if way.kept:
            got = len(client.recv(1 << 16))
            size = size or got
            while got < size:
                got += len(client.recv(size - got))
    client.close()


def instructions(command: Callable[[int], list[str]], request, number: int) -> int:
    counts: list[int] = []
    port = free_port()
    with counted(command(port), counts) as process, connect(port, process) as client:
        if isinstance(request, Way):
            ask_as(request, client, number)
        else:
            ask(client, request, number)
    return counts[0]


def per_request(command: Callable[[int], list[str]], request) -> float:
    few, many = (instructions(command, request, number) for number in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def server(venv: Path, *arguments: str) -> Callable[[int], list[str]]:
    command = [str(venv.resolve() / "bin" / "python"), "-m", "gunicorn", "--no-control-socket"]
    return lambda port: [*command, "-b", f"127.0.0.1:{port}", *arguments]


def wsgi_server(venv: Path, *options: str) -> Callable[[int], list[str]]:
    return server(venv, *options, "app:app")


def asgi_server(venv: Path) -> Callable[[int], list[str]]:
    return server(venv, "-k", "asgi", "--asgi-loop", "asyncio", "asgi_app:app")


def echo(program: Path) -> Callable[[int], list[str]]:
    return lambda port: [str(program.resolve()), str(port)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="the environment of another build")
    parser.add_argument("--echo", type=Path, help="the C echo application of this build")
    parser.add_argument("--echo-against", type=Path, help="the C echo application of the other")
    args = parser.parse_args()
    rows: list[tuple] = []
    for prefix, serve in (("", wsgi_server), ("ASGI ", asgi_server)):
        ours, others = serve(Path(sys.prefix)), args.against and serve(args.against)
        rows += [(prefix + name, request, ours, others) for name, request in WORKS.items()]
    for way in ways():
        this = wsgi_server(Path(sys.prefix), *way.options)
        that = args.against and wsgi_server(args.against, *way.options)
        rows.append((f"hello: {way.name}", way, this, that))
    if args.echo:
        plain, other = echo(args.echo), args.echo_against and echo(args.echo_against)
        rows += [(name, request, plain, other) for name, request in PLAIN.items()]
    print(f"{'instructions a request':24} {'this':>10} {'other':>10} {'ratio':>7}")
    for name, request, this, other in rows:
        mine = per_request(this, request)
        theirs = per_request(other, request) if other else 0.0
        beside = f" {theirs:10.0f} {mine / theirs:7.3f}" if theirs else ""
        print(f"{name:24} {mine:10.0f}{beside}", flush=True)


if __name__ == "__main__":
    main()
