"""Requests that meet at a gate, large answers, and small ones."""

import hashlib
import json
import os
import tempfile
import threading
import time

from helpers.gate import pass_gate

running = 0

LARGE = tempfile.TemporaryFile()  # noqa: SIM115  (without a name: workers are killed)
LARGE.write(b"x" * (8 << 20))
LARGE.flush()
lock = threading.Lock()


def application(environ, start_response):
    global running
    path = environ["PATH_INFO"]
    with lock:
        running += 1
        now = running
    try:
        if path == "/gate":
            pass_gate(environ["HTTP_X_GATE"])
        if path == "/large":
            start_response("200 OK", [("Content-Length", str(8 << 20))])
            return [b"x" * (8 << 20)]
        if path == "/chunks":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return iter([b"x" * (1 << 20)] * 8)
        if path == "/file":
            start_response("200 OK", [("Content-Length", str(8 << 20))])
            again = open(f"/proc/self/fd/{LARGE.fileno()}", "rb")  # noqa: SIM115
            return environ["wsgi.file_wrapper"](again)
        if path == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return (b"x" * 65536 for _ in range(1600))
        if path == "/paced":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return (b"x" * 65536 for _ in range(400) if not time.sleep(0.001))
        body = environ["wsgi.input"].read()
        payload = json.dumps(
            {
                "running": now,
                "multithread": environ["wsgi.multithread"],
                "thread": threading.get_ident(),
                "pid": os.getpid(),
                "size": len(body),
                "sha256": hashlib.sha256(body).hexdigest(),
            }
        ).encode()
        start_response("200 OK", [("Content-Length", str(len(payload)))])
        return [payload]
    finally:
        with lock:
            running -= 1
