"""An ASGI application for test_asgi.py: each path does one thing."""

import asyncio
import contextlib
import json
import os
import time
from contextvars import ContextVar
from urllib.parse import unquote

from asgi_counts import counts

VARIABLE = ContextVar("VARIABLE", default="unset")
TEXT = [(b"content-type", b"text/plain")]
seen: list = []


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["query_string"] == b"scope" or scope.get("method") == "CONNECT":
        await show_scope(scope, receive, send)
    else:
        await PATHS[scope["path"].split("/")[1]](scope, receive, send)


async def lifespan(scope, receive, send):
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["left"] = ["by the startup"]
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    print("the shutdown ran", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send, body=b"", headers=(), status=200):
    await send({"type": "http.response.start", "status": status, "headers": [*TEXT, *headers]})
    await send({"type": "http.response.body", "body": body})


async def hello(scope, receive, send):
    await answer(send, b"hello", [(b"content-length", b"5")])


async def show_scope(scope, receive, send):
    await answer(send, repr(dict(scope)).encode())
    if scope["query_string"] == b"mark":
        for name in ("asgi", "extensions", "state"):
            scope[name]["mark"] = True
        for extension in scope["extensions"].values():
            with contextlib.suppress(TypeError, AttributeError):
                extension["mark"] = True
            with contextlib.suppress(TypeError, AttributeError):
                extension.update(mark=True)


async def echo(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send(
            {"type": "http.response.body", "body": message.get("body", b""), "more_body": more}
        )


async def messages(scope, receive, send):
    """What is received until the body's end, and its sizes."""
    got = []
    while not got or got[-1].get("more_body"):
        got.append(await receive())
    sizes = [len(message.pop("body", b"")) for message in got]
    await answer(send, json.dumps([sizes, got]).encode())


async def wait(scope, receive, send):
    """Until the client leaves; says what it received and what a send raises then."""
    await receive()
    seen.append((await receive())["type"])
    try:
        await answer(send, b"too late")
    except OSError as exc:
        seen.append(type(exc).__mro__[-4].__name__)
        raise


async def end(scope, receive, send):
    """Ends an event stream whose client has left, and works on."""
    await receive()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"event", "more_body": True})
    seen.append((await receive())["type"])
    await send({"type": "http.response.body"})
    await asyncio.sleep(1.3)  # beyond the grace period
    seen.append("worked on")


async def show_seen(scope, receive, send):
    await answer(send, json.dumps(seen).encode())


async def show_counts(scope, receive, send):
    seen.clear()
    await answer(send, json.dumps(counts()).encode())


async def after(scope, receive, send):
    """Receives once more when the answer is complete, and says what in /seen."""
    await answer(send, b"done")
    seen.append((await receive())["type"])
    try:
        await send({"type": "http.response.body", "body": b"more"})
    except RuntimeError as exc:
        seen.append(str(exc))


async def background(scope, receive, send):
    await answer(send, b"done")
    await asyncio.sleep(float(scope["query_string"] or 0.5))
    print("the background task ran", flush=True)


async def raise_after(scope, receive, send):
    await answer(send, b"done")
    raise ValueError("raised after the answer")


async def raise_before(scope, receive, send):
    raise ValueError("raised before the answer")


async def raise_between(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    raise ValueError("raised between")


async def nothing(scope, receive, send):
    pass


async def start_only(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})


async def half(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})


async def wrong(scope, receive, send):
    """Sends the messages of the query, a literal, and answers with what each raised."""
    raised = []
    for message in eval(unquote(scope["query_string"].decode())):
        try:
            await send(message)
            raised.append(None)
        except Exception as exc:
            raised.append(f"{type(exc).__name__}: {exc}")
    print(json.dumps(raised), flush=True)


async def status(scope, receive, send):
    await send({"type": "http.response.start", "status": int(scope["query_string"]), "headers": []})
    await send({"type": "http.response.body", "body": b"a body"})


async def fields(scope, receive, send):
    await answer(send, b"", [(b"Server", b"mine"), (b"Date", b"today"), (b"X-A", b"1")])


async def closing(scope, receive, send):
    await answer(send, b"bye", [(b"connection", b"close")])


async def flood(scope, receive, send):
    """Sends for ever, and prints how much was taken when the client stops reading."""
    await send({"type": "http.response.start", "status": 200})
    block, n = bytes(32768), 0
    try:
        while True:
            await send({"type": "http.response.body", "body": block, "more_body": True})
            n += len(block)
            seen.append(n)
    except OSError:
        seen.append("OSError")


async def events(scope, receive, send):
    """A stream of events without end."""
    await send({"type": "http.response.start", "status": 200})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"event", "more_body": True})
            await asyncio.sleep(0.02)
    finally:
        print("the stream has ended", flush=True)


async def error_page(scope, receive, send):
    """As frameworks do it: the page is sent, then the exception goes on to the server."""
    await answer(send, b"error", status=500)
    raise ValueError("behind the page")


async def pieces(scope, receive, send):
    """As many pieces of 4 KiB as the query says, each of its own byte."""
    await send({"type": "http.response.start", "status": 200})
    for n in range(int(scope["query_string"])):
        await send(
            {"type": "http.response.body", "body": bytes([n % 251]) * 4096, "more_body": True}
        )
    await send({"type": "http.response.body"})


async def sleep(scope, receive, send):
    try:
        await asyncio.sleep(float(scope["query_string"] or 60))
    except asyncio.CancelledError:
        seen.append("cancelled")
        print("cancelled", flush=True)
        raise
    await answer(send, b"slept")


async def block(scope, receive, send):
    time.sleep(float(scope["query_string"]))
    await answer(send, b"blocked")


async def block_late(scope, receive, send):
    await asyncio.sleep(0)
    await block(scope, receive, send)


def block_after(seconds):
    time.sleep(seconds)


async def block_at_end(scope, receive, send):
    """In the task of a request whose answer is complete."""
    await answer(send, b"done")
    await asyncio.sleep(0)
    block_after(float(scope["query_string"]))


async def block_apart(scope, receive, send):
    """In a task of its own, a while after the request."""

    async def apart():
        await asyncio.sleep(0.7)
        block_after(float(scope["query_string"]))

    apart.task = asyncio.create_task(apart(), name="apart")
    await answer(send, b"done")


async def stubborn(scope, receive, send):
    """Goes on although it is cancelled, until the process has the file of the query."""
    while not os.path.exists(scope["query_string"]):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)
    await answer(send, b"at last")


async def context(scope, receive, send):
    before = VARIABLE.get()
    VARIABLE.set("set by a request")
    while (await receive())["more_body"]:
        pass
    task = asyncio.current_task()
    await asyncio.sleep(0)
    body = json.dumps([before, VARIABLE.get(), task is asyncio.current_task()])
    await answer(send, body.encode())


async def tasks(scope, receive, send):
    """receive() as a coroutine: in a task, and with a time-out that passes."""
    message = await asyncio.create_task(receive())
    try:
        await asyncio.wait_for(receive(), 0.05)
        timed_out = False
    except asyncio.TimeoutError:
        timed_out = True
    await answer(send, json.dumps([message["type"], timed_out]).encode())


async def send_path(scope, receive, send):
    path = scope["query_string"].decode()
    size = os.path.getsize(path)
    headers = [(b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.pathsend", "path": path})


async def send_pieces(scope, receive, send):
    """Of the file of the query: its first five bytes, a word, and all from the tenth byte on."""
    await send({"type": "http.response.start", "status": 200})
    with open(scope["query_string"], "rb") as file:
        piece = {"type": "http.response.zerocopysend", "file": file}
        await send({**piece, "count": 5, "more_body": True})
        await send({"type": "http.response.body", "body": b"word", "more_body": True})
        await send({**piece, "offset": 10})


async def trailing(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "trailers": True})
    await send({"type": "http.response.body", "body": b"body"})
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"4")]}
    await send({**trailers, "more_trailers": True})
    headers = [(b"x-known", b"%d" % ("http.response.trailers" in scope["extensions"]))]
    await send({**trailers, "headers": headers})


async def hints(scope, receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    await answer(send, b"hinted")


async def pid(scope, receive, send):
    await answer(send, str(os.getpid()).encode())


PATHS = {
    "": hello, "scope": show_scope, "echo": echo, "messages": messages, "wait": wait,
    "end": end, "seen": show_seen, "after": after, "background": background,
    "raise_after": raise_after, "raise_before": raise_before,
    "raise_between": raise_between, "nothing": nothing,
    "start_only": start_only, "half": half, "wrong": wrong, "status": status, "fields": fields,
    "closing": closing, "flood": flood, "pieces": pieces, "sleep": sleep, "block": block,
    "block_late": block_late, "stubborn": stubborn,
    "block_at_end": block_at_end, "block_apart": block_apart,
    "context": context, "tasks": tasks, "send_path": send_path,
    "send_pieces": send_pieces, "trailing": trailing, "hints": hints, "pid": pid,
    "counts": show_counts, "events": events, "error_page": error_page,
}  # fmt: skip
