"""Subclasses of our workers, as they are written for gunicorn, and an application that sees them.

What is done around a request goes by its path: see `WAYS`.
"""

import ctypes
import importlib
import threading
import time

from gunicorn.workers.sync import SyncWorker

BASES = {
    "sync": "sync.SyncWorker",
    "gthread": "gthread.ThreadWorker",
    "gevent": "ggevent.GeventWorker",
    "eventlet": "geventlet.EventletWorker",
}
SEEN = []
BAD_FIELDS = {"/value": ("X-Value", "a\nb"), "/name": ("X Name", "a")}  # of answers
BEGUN = []  # an event for the application to set


class TooLate(Exception):
    """Raised in a thread by another."""


def tell(worker, req, client, go_on):
    """Tell of what the application raises."""
    try:
        go_on()
    except BaseException as exc:
        worker.log.info("around %s: %r", req.uri, exc)
        raise


def catch(worker, req, client, go_on):
    """Keep it to oneself."""
    try:
        go_on()
    except KeyError:
        worker.log.info("caught around %s", req.uri)


def alone(worker, req, client, go_on):
    """Answer without the application."""
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nalone")


def nothing(worker, req, client, go_on):
    """Forget about it."""


def twice(worker, req, client, go_on):
    """Answer, and try to do so again."""
    go_on()
    go_on()


def aside(worker, req, client, go_on):
    """Leave it to a thread, and do not wait for it."""
    BEGUN.append(threading.Event())  # not earlier: now the library is patched
    threading.Thread(target=go_on).start()
    BEGUN[-1].wait()


def bounded(worker, req, client, go_on):
    """Have the application interrupted."""
    if worker.name:
        with importlib.import_module(worker.name).Timeout(0.2):
            go_on()
        return
    thread, error = ctypes.c_ulong(threading.get_ident()), ctypes.py_object(TooLate)
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    timer = threading.Timer(0.2, raise_in, [thread, error])
    timer.start()
    try:
        go_on()
    finally:
        timer.cancel()


def last(worker, req, client, go_on):
    """End the worker with this one."""
    go_on()
    worker.alive = False


WAYS = {f"/{way.__name__}": way for way in (catch, alone, nothing, twice, aside, bounded, last)}


class Around:
    """What is overridden."""

    name = None

    def init_process(self):
        self.seen = SEEN  # the application is not loaded yet
        super().init_process()

    def handle_request(self, *args):
        req, client = (args[0], args[1].sock) if len(args) == 2 else args[1:3]
        assert client.fileno() >= 0
        self.seen.append(req.uri)
        way = WAYS.get(req.path, tell)
        way(self, req, client, lambda: super(Around, self).handle_request(*args))

    def handle_error(self, req, client, addr, exc):
        self.log.info("own handle_error: %s %r", req.uri, exc)
        if req.path != "/page":
            super().handle_error(req, client, addr, exc)
            return
        client.sendall(b"HTTP/1.1 500 Mine\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmine")


class OwnSync(Around, SyncWorker):
    """To be named by its path or by an entry point."""


class Leftover(SyncWorker):
    """With methods that our engine has no use for."""

    def handle(self, listener, client, addr):
        raise AssertionError

    def notify(self):
        raise AssertionError


def wrapping(base):
    """A class with a method that nothing calls, whose `run` does more than ours."""

    def run(self):
        self.log.info("run")
        return base.run(self)

    body = {"__module__": __name__, "run": run, "handle": lambda self, *args: None}
    return type("Wrapping", (base,), body)


class Replacing(SyncWorker):
    """Serves by a loop of its own, which calls what the engine does not."""

    def run(self):
        while self.alive:
            self.notify()
            time.sleep(0.05)

    def handle(self, listener, client, addr):
        raise AssertionError


def own_class(kind):
    """A subclass of the worker of that name."""
    module, _, name = BASES[kind].partition(".")
    base = getattr(importlib.import_module(f"gunicorn.workers.{module}"), name)
    return type("Own", (Around, base), {"name": getattr(base, "name", None)})


def cut_off(path):
    yield b"some"
    raise KeyError(path)


def app(environ, start_response):
    path = environ["PATH_INFO"]
    late = environ["QUERY_STRING"] == "late"
    if path in ("/raise", "/catch", "/page") and not late:
        raise KeyError(path)
    if path in ("/bounded", "/slow"):
        until = time.monotonic() + 20
        while time.monotonic() < until:
            time.sleep(0.01)
    if path == "/aside":
        BEGUN[-1].set()
        time.sleep(0.2)
    if path in BAD_FIELDS:
        start_response("200 OK", [BAD_FIELDS[path]])
    if late:
        start_response("200 OK", [])
        return cut_off(path)
    body = SEEN[-1].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
