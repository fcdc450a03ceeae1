#!/usr/bin/env python3
"""Have h2spec check HTTP/2 of each worker class, over TLS and in clear text.

Usage: h2spec.py BUILD [WORKER]...

Go builds h2spec into BUILD. The exit status is 1 if a test fails that `ACCEPTED` does not name.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import trustme

MODULE = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"
WORKERS = ("sync", "gthread", "gevent", "eventlet", "tornado", "asgi")
START_TIMEOUT = 60.0  # seconds

#: Clear text: a peer that does not begin with HTTP/2 is answered with 400 by HTTP/1.
ACCEPTED = {True: set(), False: {"Sends invalid connection preface"}}

APPLICATION = """\
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "6")])
    return [b"hello\\n"]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello\\n"})
"""


def build(directory: Path) -> str:
    """Return the command, built if it is not there."""
    found = shutil.which("h2spec", path=f"{directory}:{os.environ['PATH']}")
    if found:
        return found
    go = shutil.which("go", path=os.environ["PATH"] + ":/usr/local/go/bin")
    if not go:
        sys.exit("h2spec: Go is not installed: see https://go.dev/doc/install")
    environ = {**os.environ, "GOBIN": str(directory.resolve()), "GOFLAGS": "-mod=mod"}
    subprocess.run([go, "install", MODULE], env=environ, check=True)
    return str(directory / "h2spec")


def make_certificate(directory: Path) -> list[str]:
    issued = trustme.CA().issue_cert("localhost")
    certificate, key = directory / "cert.pem", directory / "key.pem"
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    return ["--certfile", str(certificate), "--keyfile", str(key)]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def answers(port: int) -> bool:
    """Whether a worker is there: HTTP/1 in clear text has an answer, also where it is refused."""
    try:
        with socket.create_connection(("127.0.0.1", port), START_TIMEOUT) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            return sock.recv(1) != b""
    except OSError:
        return False


def start(directory: Path, worker: str, port: int, arguments: list[str]) -> subprocess.Popen:
    gunicorn = Path(sys.executable).with_name("gunicorn")
    common = ["--http-protocols=h2,h1", "--log-level=error", "--no-control-socket"]
    application = "h2spec_app:" + ("asgi" if worker == "asgi" else "wsgi")
    process = subprocess.Popen(
        [str(gunicorn), "-k", worker, "-b", f"127.0.0.1:{port}", *common, *arguments, application],
        cwd=directory,
    )
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end:
        if answers(port):
            return process
        time.sleep(0.05)
    process.kill()
    sys.exit(f"h2spec: the {worker} worker does not start")


def failed(command: str, port: int, tls: bool) -> tuple[str, set[str]]:
    """Run h2spec. Returns its last line, and the names of the tests that have failed."""
    arguments = [command, "-S", "-h", "127.0.0.1", "-p", str(port), "-o", "5"]
    done = subprocess.run(
        [*arguments, *(["-t", "-k"] if tls else [])], capture_output=True, text=True, check=False
    )
    names = set(re.findall(r"\N{MULTIPLICATION SIGN} \d+: (.*)", done.stdout))
    return done.stdout.strip().splitlines()[-1], names


def main() -> int:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    command = build(directory)
    (directory / "h2spec_app.py").write_text(APPLICATION)
    encrypted = make_certificate(directory.resolve())
    result = 0
    for worker in sys.argv[2:] or WORKERS:
        for tls in (True, False):
            port = free_port()
            arguments = encrypted if tls else ["--http2-cleartext=prior-knowledge"]
            process = start(directory, worker, port, arguments)
            line, names = failed(command, port, tls)
            process.send_signal(signal.SIGTERM)
            process.wait()
            print(f"{worker} {'TLS' if tls else 'clear text'}: {line}", flush=True)
            for name in names - ACCEPTED[tls]:
                print(f"    failed: {name}")
                result = 1
    return result


if __name__ == "__main__":
    sys.exit(main())
