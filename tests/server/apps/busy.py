"""Requests that meet at a gate, large answers, and small ones."""

import json
import threading

from helpers.gate import pass_gate

running = 0
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
        body = environ["wsgi.input"].read()
        payload = json.dumps(
            {
                "running": now,
                "multithread": environ["wsgi.multithread"],
                "thread": threading.get_ident(),
                "size": len(body),
            }
        ).encode()
        start_response("200 OK", [("Content-Length", str(len(payload)))])
        return [payload]
    finally:
        with lock:
            running -= 1
