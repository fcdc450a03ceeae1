"""Try a wheel as its user would: python tools/try_wheel.py WHEEL

It is installed in an empty virtual environment of the Python that runs this, with no compiler on
the PATH and no package index. Each worker that is built in then answers a request, and one over
TLS where the command openssl makes a certificate.
"""

import os
import shutil
import signal
import socket
import ssl
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


def make_certificate(directory):
    """Return the flags of a server with a certificate of its own, or None."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    files = {"--certfile": directory / "cert.pem", "--keyfile": directory / "key.pem"}
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-subj", "/CN=wheel", "-out", files["--certfile"], "-keyout", files["--keyfile"]],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return [word for pair in files.items() for word in pair]


def encrypted(client):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(client)


def fetch(path, tls):
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
            with encrypted(client) if tls else client as connection:
                connection.sendall(REQUEST)
                return b"".join(iter(lambda: connection.recv(65536), b""))


def serve(directory, environ, options):
    """Start a server, send it a request, and stop it."""
    address = directory / "socket"
    command = [directory / "venv/bin/gunicorn", *options, "-b", f"unix:{address}", "hello:app"]
    server = subprocess.Popen([str(word) for word in command], cwd=directory, env=environ)
    try:
        answer = fetch(address, "--certfile" in options)
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
        certificate = make_certificate(directory)
        for options in WORKERS:
            serve(directory, environ, options)
            if certificate:
                serve(directory, environ, [*options, *certificate])
        run(*pip, "uninstall", "-y", "monoceros", environ=environ)
        left = [p.name for p in venv.rglob("*gunicorn*")]
        assert not left, left
    kinds = "http and https" if certificate else "http"
    print(f"{wheel.name}: installed, served {kinds}, uninstalled by {sys.version.split()[0]}")


main()
