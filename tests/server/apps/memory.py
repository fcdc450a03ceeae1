"""Answers of every kind, and what the process holds after them."""

import gc
import os
import sys
import threading
import time


def held():
    """Allocated blocks, objects, descriptors, threads, and references to what requests touch."""
    gc.collect()
    return {
        "blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "references": references(),
    }


def references():
    """Reference counts of objects that every request uses (of no meaning where immortal)."""
    shared = [application, str, bytes, dict, (), "", b"", True, None, sys.stderr, RuntimeError]
    return [sys.getrefcount(thing) for thing in shared]


def fill_method_cache():
    """Replace what Python's cache of methods begins with: references to None, before 3.12.

    An entry's place comes from the name's address and a number of the class.
    """
    names = [f"{n:0{n % 50}}" for n in range(5000)]
    for number in range(8):
        owner = type(f"Owner{number}", (), {})
        for name in names:
            hasattr(owner, name)


fill_method_cache()


class Body:
    def __init__(self, items):
        self.items = iter(items)

    def __iter__(self):
        return self.items

    def close(self):
        pass


def application(environ, start_response):
    kind = environ["PATH_INFO"].strip("/")
    if kind == "held":
        # The server may still be busy with what came before.
        time.sleep(0.05)
        import json

        payload = json.dumps(held()).encode()
        start_response("200 OK", [("Content-Length", str(len(payload)))])
        return [payload]
    return globals()[kind](environ, start_response)


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def lines(environ, start_response):
    body = b"".join(environ["wsgi.input"].readlines()) + environ["wsgi.input"].readline()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


def unread(environ, start_response):
    return hello(environ, start_response)


def stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    for n in range(5):
        yield b"%d" % n


def writes(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"one")
    write(b"two")
    return Body([b"three"])


def replaces(environ, start_response):
    start_response("200 OK", [("X-A", "b")])
    try:
        raise KeyError
    except KeyError:
        start_response("404 Not Found", [("Content-Length", "0")], sys.exc_info())
    return []


def file(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))  # noqa: SIM115


def hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a>")])
    return hello(environ, start_response)


def sockets(environ, start_response):
    environ["gunicorn.socket"].getpeername()
    return hello(environ, start_response)


def cyclic(environ, start_response):
    environ["self"] = environ
    environ["start"] = start_response
    return hello(environ, start_response)


def raises(environ, start_response):
    raise RuntimeError("raised")


def raises_later(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"x"
    raise RuntimeError("raised")


def wrong_header(environ, start_response):
    start_response("200 OK", [("X-A", "b\r\nc")])
    return []


def wrong_body(environ, start_response):
    start_response("200 OK", [])
    return ["text"]


def no_start(environ, start_response):
    return []


def large(environ, start_response):
    start_response("200 OK", [("Content-Length", str(300_000))])
    return [b"x" * 300_000]
