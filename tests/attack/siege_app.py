"""What the server of a siege runs: honest paths, and those by which an application hurts it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time

BIG = bytes(4 << 20)


def hello(environ):
    return b"hello"


def big(environ):
    return BIG


def echo(environ):
    return environ["wsgi.input"].read()


def slow(environ):
    time.sleep(0.2)
    return b"slow"


def leave(environ):
    os._exit(0)


def crash(environ):
    os.abort()


def child_returns(environ):
    """A child that ends as if it were the worker."""
    if os.fork() == 0:
        sys.exit(3)
    return b"forked"


def child_stays(environ):
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(5,))
    process.start()
    threading.Timer(2, process.terminate).start()
    return b"started"


def close_all(environ):
    os.closerange(3, 256)
    return b"closed"


def hang(environ):
    while True:
        time.sleep(60)


ROUTES = {
    f"/{function.__name__}": function
    for function in (hello, big, echo, slow, leave, crash, child_returns, child_stays)
    + (close_all, hang)
}


def app(environ, start_response):
    body = ROUTES[environ["PATH_INFO"]](environ)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
