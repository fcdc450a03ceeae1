"""An application that waits by the standard library, as the greenlet workers have it patched."""

import os
import socket
import threading
import time

from helpers.gate import pass_gate

LOCAL = threading.local()


def sleep(environ, value):
    time.sleep(float(value))
    return "slept"


def gate(environ, value):
    pass_gate(value)
    return "let through"


def block(environ, value):
    """Compute, so that nothing else runs in the worker."""
    until = time.monotonic() + float(value)
    while time.monotonic() < until:
        pass
    return "computed"


def talk(environ, value):
    """Ask a server, which may be this one."""
    host, _, port = value.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as peer:
        peer.sendall(b"GET /sleep?0.2 HTTP/1.0\r\nHost: a\r\n\r\n")
        answer = b""
        while piece := peer.recv(4096):
            answer += piece
    return answer.decode().splitlines()[-1]


def local(environ, value):
    """What an earlier request has left in a thread-local object."""
    seen = getattr(LOCAL, "value", "nothing")
    LOCAL.value = value
    return seen


def receive():
    """Wait for bytes that never come."""
    one, other = socket.socketpair()
    with one, other:
        one.recv(1)


def lock():
    """Wait for a lock that is never released."""
    one = threading.Lock()
    one.acquire()
    one.acquire()


#: In what an application may wait, beside its library's own sleep().
WAITS = {"": lambda: time.sleep(60), "receive": receive, "lock": lock}


def timeout(environ, value):
    module = __import__(environ["HTTP_X_KIND"])
    wait = WAITS[value] if value != "own" else lambda: module.sleep(60)
    with module.Timeout(0.1):
        wait()
    return "no timeout"


def timeout_around(environ, value):
    """It fires beneath what the application calls, which may clean up, and is caught above."""
    module = __import__(environ["HTTP_X_KIND"])
    limit = module.Timeout(0.1)
    if kind_has_start(module):
        limit.start()
    cleaned = []
    try:
        try:
            WAITS[value]()
        finally:
            cleaned.append(value)
    except module.Timeout as exc:
        assert exc is limit
        return f"late, {len(cleaned)} cleaned up"
    return "no timeout"


def timeout_and_on(environ, value):
    """What a Timeout of its own breaks off, and then more."""
    module = __import__(environ["HTTP_X_KIND"])
    with module.Timeout(0.1, False):
        time.sleep(5)
    time.sleep(float(value))
    return "slept"


def timeout_left_running(environ, value):
    module = __import__(environ["HTTP_X_KIND"])
    module.Timeout(0.2).start() if kind_has_start(module) else module.Timeout(0.2)
    return "started"


def kind_has_start(module):
    return module.__name__ == "gevent"


def length(environ, value):
    return str(len(environ["wsgi.input"].read()))


def pid(environ, value):
    return str(os.getpid())


def cleans_up(environ, value):
    try:
        time.sleep(30)
    finally:
        with open(value, "w") as file:
            file.write("cleaned up")
    return ""


PAGES = {f"/{page.__name__}": page for page in (
    sleep, gate, block, talk, local, timeout, timeout_around, timeout_and_on,
    timeout_left_running, length, pid, cleans_up,
)}  # fmt: skip


def app(environ, start_response):
    body = PAGES[environ["PATH_INFO"]](environ, environ["QUERY_STRING"]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
