"""Try a wheel as its user would: python tools/try_wheel.py WHEEL

It is installed in an empty virtual environment of the Python that runs this, with no compiler on
the PATH and no package index. Each worker that is built in then answers a request.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

APPLICATION = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["SERVER_SOFTWARE"].encode()]
"""
WORKERS = (["-k", "sync"], ["-k", "gthread", "--threads", "4"])
START_SECONDS = 30
REQUEST = b"GET / HTTP/1.1\r\nHost: wheel\r\nConnection: close\r\n\r\n"


def run(*command, environ):
    subprocess.run([str(word) for word in command], env=environ, check=True, timeout=300)


def fetch(path):
    """The whole answer of the server at the unix socket `path`, once it listens."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                continue
            client.sendall(REQUEST)
            return b"".join(iter(lambda: client.recv(65536), b""))


def serve(directory, environ, options):
    """Start a server, send it a request, and stop it."""
    address = directory / "socket"
    command = [directory / "venv/bin/gunicorn", *options, "-b", f"unix:{address}", "hello:app"]
    server = subprocess.Popen([str(word) for word in command], cwd=directory, env=environ)
    try:
        answer = fetch(address)
    finally:
        server.send_signal(signal.SIGTERM)
        status = server.wait(START_SECONDS)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and b"gunicorn/" in answer, answer
    assert status == 0, status


def main():
    wheel = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        environ = {"PATH": "/nonexistent", "HOME": name, "LANG": os.environ.get("LANG", "C")}
        venv = directory / "venv"
        run(sys.executable, "-m", "venv", venv, environ=environ)
        python = venv / "bin/python"
        pip = (python, "-m", "pip", "--disable-pip-version-check", "-q")
        run(*pip, "install", "--no-index", wheel, environ=environ)
        run(*pip, "check", environ=environ)
        (directory / "hello.py").write_text(APPLICATION)
        for options in WORKERS:
            serve(directory, environ, options)
        run(*pip, "uninstall", "-y", "monoceros", environ=environ)
        left = [p.name for p in venv.rglob("*gunicorn*")]
        assert not left, left
    print(f"{wheel.name}: installed, served and uninstalled by {sys.version.split()[0]}")


main()
