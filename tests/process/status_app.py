"""An application that naps, waits, hangs, and boots when the gate lets it that BOOT names."""

import collections
import os
import time

from helpers.gate import pass_gate


def boot_slowly():
    if "BOOT" in os.environ:
        pass_gate(os.environ["BOOT"])


boot_slowly()


def nap(seconds):
    start = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - start


def hold(path):
    pass_gate(path)


def stuck():
    """C code that keeps the interpreter, and calls what a sanitizer can tell a signal at."""
    collections.deque(iter(time.monotonic, None), maxlen=0)


def app(environ, start_response):
    """/nap/SECONDS, /hold/GATE, /stuck; "ok" for anything else."""
    _, kind, *rest = environ["PATH_INFO"].split("/")
    body = "ok"
    if kind == "nap":
        body = str(nap(float(rest[0])))
    elif kind == "hold":
        hold("/" + "/".join(rest))
    elif kind == "stuck":
        stuck()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body.encode()]
