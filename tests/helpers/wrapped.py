"""WSGI applications of the tests as ASGI ones, for the asgi worker: helpers.wrapped:app('a:b').

Each request has a thread of its own, as in asgiref's WsgiToAsgi; only what tests need is there.
"""

from __future__ import annotations

import asyncio
import io
import sys
import threading

from gunicorn.util import import_app


def name_wrapped(app: str) -> str:
    """The application as the asgi worker is given it."""
    return f"helpers.wrapped:app({app!r})"


def app(name: str):
    """Return an ASGI application that runs the WSGI one of that name."""
    return Wrapped(import_app(name))


class Wrapped:
    """Runs a WSGI application, a thread for each request."""

    def __init__(self, wsgi) -> None:
        self.wsgi = wsgi

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return  # no lifespan
        environ = make_environ(scope, await read(receive))
        answer = Answer(asyncio.get_running_loop(), send)
        await in_thread(answer.run, self.wsgi, environ)


async def read(receive) -> bytes:
    """The whole body. Raises ConnectionError if the client leaves before it is complete."""
    pieces, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError("the body is not complete")
        pieces.append(message["body"])
        more = message["more_body"]
    return b"".join(pieces)


async def in_thread(function, *args) -> None:
    """Run it in a thread that the end of the process does not wait for."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def end(exc):
        if future.cancelled():
            return
        if exc is None:
            future.set_result(None)
        else:
            future.set_exception(exc)

    def run():
        try:
            function(*args)
            raised = None
        except BaseException as exc:  # noqa: BLE001 - it is raised in the task
            raised = exc
        if not loop.is_closed():
            loop.call_soon_threadsafe(end, raised)

    threading.Thread(target=run, daemon=True).start()
    await future


def make_environ(scope, body: bytes) -> dict:
    """The environ of PEP 3333."""
    query = scope["query_string"].decode("latin-1")
    client = scope["client"] or ("", "")
    server = scope["server"] or ("", "")
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "RAW_URI": scope["raw_path"].decode("latin-1") + (f"?{query}" if query else ""),
        "QUERY_STRING": query,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0] or "",
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": pieces_of,
    }
    for name, value in scope["headers"]:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def pieces_of(file, size: int = 65536):
    """The items of a file."""
    return iter(lambda: file.read(size), b"")


class Answer:
    """The way from a WSGI application to send(), from a thread."""

    def __init__(self, loop, send) -> None:
        self.loop = loop
        self.send = send
        self.start: dict | None = None
        self.begun = False
        self.left: int | None = None  # bytes of the body, where its length is given

    def run(self, wsgi, environ) -> None:
        """Give the answer, all of it."""
        items = wsgi(environ, self.start_response)
        try:
            for item in items:
                if item:
                    self.write(item)
            if self.left != 0:
                self.send_body(b"", more=False)
        finally:
            if hasattr(items, "close"):
                items.close()

    def start_response(self, status, headers, exc_info=None):
        """As PEP 3333 has it."""
        if exc_info and self.begun:
            raise exc_info[1]
        length = [value for name, value in headers if name.lower() == "content-length"]
        self.left = int(length[0]) or None if length else None
        self.start = {
            "type": "http.response.start",
            "status": int(status[:3]),
            "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers],
        }
        return self.write

    def write(self, data: bytes) -> None:
        """Send a part of the body; it is the last one where no byte is left of its length."""
        if self.left is not None:
            self.left -= len(data)
        self.send_body(data, more=self.left != 0)

    def send_body(self, data: bytes, *, more: bool) -> None:
        if not self.begun:
            self.begun = True
            self.put(self.start)
        self.put({"type": "http.response.body", "body": data, "more_body": more})

    def put(self, message) -> None:
        asyncio.run_coroutine_threadsafe(self.send(message), self.loop).result()
