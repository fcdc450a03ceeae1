"""An application that naps, hangs, and boots slowly when BOOT says so."""

import collections
import os
import time


def boot_slowly():
    time.sleep(float(os.environ.get("BOOT", "0")))


boot_slowly()


def nap(seconds):
    start = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - start


def stuck():
    """C code that keeps the interpreter, and calls what a sanitizer can tell a signal at."""
    collections.deque(iter(time.monotonic, None), maxlen=0)


def app(environ, start_response):
    """/nap/SECONDS, /stuck; "ok" for anything else."""
    _, kind, *rest = environ["PATH_INFO"].split("/")
    body = "ok"
    if kind == "nap":
        body = str(nap(float(rest[0]) if rest else 0.5))
    elif kind == "stuck":
        stuck()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body.encode()]
