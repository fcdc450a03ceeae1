"""An ASGI application for test_asgi_websocket.py: each path does one thing with a WebSocket.

What it has seen is noted by the query of the target: GET /notes?QUERY shows it.
"""

import asyncio
import json
import os
import threading
import time
from collections import defaultdict
from contextvars import ContextVar
from urllib.parse import unquote

from asgi_counts import counts

notes: dict = defaultdict(list)
VARIABLE = ContextVar("VARIABLE", default="unset")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "http":
        await http(scope, receive, send)
    else:
        await PATHS[scope["path"].split("/")[1]](scope, receive, send)


async def lifespan(scope, receive, send):
    await receive()
    scope["state"]["left"] = "by the startup"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def http(scope, receive, send):
    query = scope["query_string"].decode()
    answer = {
        "/notes": lambda: notes[query],
        "/pid": os.getpid,
        "/counts": counts,
        "/": lambda: "http",
    }[scope["path"]]()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def note(scope, *values):
    if scope["query_string"]:
        notes[scope["query_string"].decode()] += values


async def accept(receive, send, **message):
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", **message})


async def messages(receive):
    """Yield messages until the disconnect, too."""
    while (message := await receive())["type"] == "websocket.receive":
        yield message
    yield message


async def echo(scope, receive, send):
    subprotocol = (scope["subprotocols"] or [None])[-1]
    headers = [(b"X-Own", b"value")]
    await accept(receive, send, subprotocol=subprotocol, headers=headers)
    async for message in messages(receive):
        if message["type"] == "websocket.disconnect":
            note(scope, message)
        else:
            await send({**message, "type": "websocket.send"})


handled = 0  # messages that took their time
enough = False


async def busy(scope, receive, send):
    """Each message takes 2 ms, in which nothing else runs."""
    global handled
    await accept(receive, send)
    async for _message in messages(receive):
        time.sleep(0.002)
        handled += 1
        if enough:
            return


async def count(scope, receive, send):
    """Says how many of the others there were, until it is closed."""
    global enough
    await accept(receive, send)
    async for message in messages(receive):
        if message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": str(handled)})
    enough = True


async def show_scope(scope, receive, send):
    await accept(receive, send)
    await send({"type": "websocket.send", "text": repr(dict(scope))})
    await receive()


async def refuse(scope, receive, send):
    await receive()
    await send({"type": "websocket.close"})
    note(scope, await receive())


async def deny(scope, receive, send):
    assert await receive() == {"type": "websocket.connect"}
    headers = [(b"x-own", b"value")]
    start = {"type": "websocket.http.response.start", "status": 418, "headers": headers}
    await send(start)
    for body, more in ((b"short and ", True), (b"stout", False)):
        await send({"type": "websocket.http.response.body", "body": body, "more_body": more})
    note(scope, await receive())


async def raise_before(scope, receive, send):
    raise ValueError("raised before the answer")


async def raise_open(scope, receive, send):
    await accept(receive, send)
    await receive()
    raise ValueError("raised while it was open")


async def raise_after(scope, receive, send):
    await accept(receive, send)
    await receive()
    raise ValueError("raised after the end")


async def return_before(scope, receive, send):
    pass


async def return_open(scope, receive, send):
    await accept(receive, send)


async def close(scope, receive, send):
    """Closes, says what it receives then, and what a further message raises."""
    await accept(receive, send)
    await send({"type": "websocket.close", "code": 3000, "reason": "enough"})
    try:
        await send({"type": "websocket.send", "text": "more"})
    except RuntimeError as exc:
        note(scope, str(exc))
    note(scope, await receive())


async def wrong(scope, receive, send):
    """Sends the messages of the path, a literal, and notes what each raised."""
    await receive()
    for message in eval(unquote(scope["raw_path"].decode().split("/")[2])):
        try:
            await send(message)
            note(scope, None)
        except Exception as exc:
            note(scope, f"{type(exc).__name__}: {exc}")


async def after(scope, receive, send):
    """Sends and receives once more after the end."""
    await accept(receive, send)
    await receive()
    for kind, extra in (("send", {"text": "x"}), ("close", {})):
        try:
            await send({"type": f"websocket.{kind}", **extra})
        except OSError as exc:
            note(scope, type(exc).__name__)
    note(scope, (await receive())["type"])
    await send({"type": "websocket.send", "text": "x"})


async def disconnects(scope, receive, send):
    """Raises as Starlette does."""

    class WebSocketDisconnect(Exception):
        pass

    await accept(receive, send)
    note(scope, (await receive())["type"])
    raise WebSocketDisconnect


async def deaf(scope, receive, send):
    """Neither receives nor sends."""
    await accept(receive, send)
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        note(scope, "cancelled")
        raise


async def slow(scope, receive, send):
    """Takes each message after a pause, and notes the sizes."""
    await accept(receive, send)
    await asyncio.sleep(float(scope["path"].split("/")[2]))
    async for message in messages(receive):
        note(scope, len(message.get("bytes", b"")) or message["type"])
        await asyncio.sleep(0.01)


async def flood(scope, receive, send):
    """Sends for ever, from two tasks; notes how much was taken, and the error."""
    await accept(receive, send)
    block = {"type": "websocket.send", "bytes": bytes(32768)}

    async def pour():
        try:
            while True:
                await send(block)
                note(scope, 32768)
        except OSError as exc:
            note(scope, type(exc).__name__)

    await asyncio.gather(pour(), pour())


async def concurrent(scope, receive, send):
    """Receives in one task while another sends."""
    await accept(receive, send)

    async def tick():
        for n in range(20):
            await send({"type": "websocket.send", "text": str(n)})
            await asyncio.sleep(0)

    task = asyncio.create_task(tick())
    async for message in messages(receive):
        if message["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
    await task


async def blocked(scope, receive, send):
    """Blocks the event loop after each message."""
    await accept(receive, send)
    async for message in messages(receive):
        if "text" in message:
            time.sleep(float(message["text"]))
            await send({"type": "websocket.send", "text": "woken"})
        else:
            note(scope, message)


async def kept(scope, receive, send):
    """Leads from the scope to itself, as careless middleware does."""
    scope["itself"] = (receive, send, threading.Lock())
    await echo(scope, receive, send)


async def context(scope, receive, send):
    await accept(receive, send)
    await send({"type": "websocket.send", "text": VARIABLE.get()})
    VARIABLE.set("set by a WebSocket")
    await receive()


async def pid(scope, receive, send):
    await accept(receive, send)
    await send({"type": "websocket.send", "text": str(os.getpid())})
    note(scope, await receive())


PATHS = {
    "echo": echo, "scope": show_scope, "refuse": refuse, "deny": deny, "raise_before": raise_before,
    "raise_open": raise_open, "raise_after": raise_after, "return_before": return_before,
    "return_open": return_open, "close": close, "wrong": wrong, "after": after,
    "disconnects": disconnects, "deaf": deaf, "slow": slow, "flood": flood,
    "concurrent": concurrent, "blocked": blocked, "kept": kept, "context": context, "pid": pid,
    "busy": busy, "count": count,
}  # fmt: skip
