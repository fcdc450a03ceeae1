"""Try a wheel as its user would: python tools/try_wheel.py WHEEL

It is installed in an empty virtual environment of the Python that runs this, with no compiler on
the PATH and no package index. Each worker that is built in then answers a request, and over TLS one
of each version of HTTP, where the command openssl makes a certificate.
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

# The preface, SETTINGS, and HEADERS of stream 1: GET, https, / and an authority (RFC 7541).
HEADERS = b"\x82\x87\x84\x41\x05wheel"
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
HTTP2 += len(HEADERS).to_bytes(3, "big") + b"\1\5\0\0\0\1" + HEADERS
STATUS_200 = b"\x88"


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
    return [word for pair in files.items() for word in pair] + ["--http-protocols", "h2,h1"]


def encrypted(client, protocol):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context.wrap_socket(client)


def exchange_http1(connection):
    connection.sendall(REQUEST)
    answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and b"gunicorn/" in answer, answer


def exchange_http2(connection):
    connection.sendall(HTTP2)
    frames = connection.makefile("rb")
    while True:
        head = frames.read(9)
        payload = frames.read(int.from_bytes(head[:3], "big"))
        if head[3] == 1:  # HEADERS
            assert payload.startswith(STATUS_200), payload
            return


def connect(path):
    """A connection to the unix socket `path`, once the server listens."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(str(path))
            return client
        except OSError:
            client.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def serve(directory, environ, options):
    """Start a server, send it requests, and stop it."""
    address = directory / "socket"
    command = [directory / "venv/bin/gunicorn", *options, "-b", f"unix:{address}", "hello:app"]
    server = subprocess.Popen([str(word) for word in command], cwd=directory, env=environ)
    try:
        if "--certfile" not in options:
            with connect(address) as connection:
                exchange_http1(connection)
        else:
            with encrypted(connect(address), "http/1.1") as connection:
                exchange_http1(connection)
            with encrypted(connect(address), "h2") as connection:
                exchange_http2(connection)
    finally:
        server.send_signal(signal.SIGTERM)
        status = server.wait(START_SECONDS)
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
    kinds = "HTTP/1.1, and over TLS HTTP/2 too" if certificate else "HTTP/1.1"
    print(f"{wheel.name}, {sys.version.split()[0]}: installed, uninstalled, and served {kinds}")


main()
