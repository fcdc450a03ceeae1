"""An application to try the server with: ``make run``, or ``gunicorn -c gunicorn.conf.py`` here.

Its page, index.html, calls what stands below and shows what comes of it.
"""

import http.client
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs

INDEX = Path(__file__).with_name("index.html")
UPLOAD_BLOCK = 65536  # bytes
LONGEST_SLEEP = 30.0  # seconds
STATUS_TIMEOUT = 2.0  # seconds


def answer(start_response, value, status="200 OK"):
    """Answer with JSON."""
    content = json.dumps(value, default=repr, sort_keys=True).encode()
    start_response(
        status, [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
    )
    return [content]


def seconds_of(environ, default):
    """The query's `seconds`, within bounds."""
    query = parse_qs(environ["QUERY_STRING"])
    try:
        return min(max(0.0, float(query["seconds"][0])), LONGEST_SLEEP)
    except (KeyError, ValueError):
        return default


def index(environ, start_response):
    start_response(
        "200 OK",
        [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(INDEX.stat().st_size)),
        ],
    )
    return environ["wsgi.file_wrapper"](INDEX.open("rb"))


def who(environ, start_response):
    return answer(
        start_response,
        {
            "pid": os.getpid(),
            "thread": threading.current_thread().name,
            "server": environ["SERVER_SOFTWARE"],
        },
    )


def show_environ(environ, start_response):
    return answer(start_response, environ)


def slow(environ, start_response):
    seconds = seconds_of(environ, 1.0)
    time.sleep(seconds)
    return answer(start_response, {"pid": os.getpid(), "slept": seconds})


def error(environ, start_response):
    raise RuntimeError("this application was asked to fail; the log has the traceback")


def crash(environ, start_response):
    # With a part of the answer the client does not ask again, which would kill another worker.
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    yield f"Worker {os.getpid()} kills itself.\n".encode()
    time.sleep(0.2)  # until it is shown
    os.kill(os.getpid(), signal.SIGKILL)


def upload(environ, start_response):
    began, size = time.monotonic(), 0
    while block := environ["wsgi.input"].read(UPLOAD_BLOCK):
        size += len(block)
    took = time.monotonic() - began
    return answer(start_response, {"pid": os.getpid(), "bytes": size, "reading_took": took})


def stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    for number in range(1, 11):
        yield f"line {number} of 10 from worker {os.getpid()}\n".encode()
        time.sleep(0.3)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


def numbers(environ, start_response):
    """What the master's status port says of the workers: see gunicorn.conf.py."""
    connection = UnixConnection(os.environ.get("STATUS_SOCKET", ""), timeout=STATUS_TIMEOUT)
    try:
        connection.request("GET", "/workers")
        return answer(start_response, json.load(connection.getresponse()))
    except (OSError, ValueError) as exc:
        return answer(start_response, {"error": str(exc)}, "503 Service Unavailable")
    finally:
        connection.close()


ROUTES = {
    "/": index,
    "/who": who,
    "/environ": show_environ,
    "/slow": slow,
    "/error": error,
    "/crash": crash,
    "/upload": upload,
    "/stream": stream,
    "/numbers": numbers,
}


def app(environ, start_response):
    """Route by the path alone."""
    handler = ROUTES.get(environ["PATH_INFO"])
    if handler is None:
        return answer(start_response, {"error": "there is no such page"}, "404 Not Found")
    return handler(environ, start_response)
