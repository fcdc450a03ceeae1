"""An ASGI application that does what each request's X-Script says: a list of steps, as a literal.

/noted?N tells which messages of script N were accepted.
"""

import ast
import asyncio
import contextlib
import json

noted: dict[str, list] = {}


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    number = scope["query_string"].decode()
    if scope["path"] == "/noted":
        return await tell(send, json.dumps(noted.get(number)).encode())
    script = next((value for name, value in scope["headers"] if name == b"x-script"), None)
    if script is None:
        return await tell(send, b"hello")
    accepted: list = []
    noted[number] = accepted
    for step, argument in ast.literal_eval(script.decode()):
        await STEPS[step](argument, accepted, receive, send)


async def tell(send, body):
    fields = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def give(message, accepted, send):
    """Send, and note the message if send() does not raise."""
    size = message.get("body", 0)
    waits = send({**message, "body": bytes(size)} if size else message_without_body(message))
    accepted.append([message.get("type"), size, message.get("more_body")])
    return waits


def message_without_body(message):
    return {key: value for key, value in message.items() if key != "body"}


async def put(message, accepted, receive, send):
    with contextlib.suppress(Exception):
        await give(message, accepted, send)


async def put_all(messages, accepted, receive, send):
    """Several at a time, by tasks."""
    await asyncio.gather(*(put(message, accepted, receive, send) for message in messages))


async def forget(message, accepted, receive, send):
    """Send without waiting."""
    with contextlib.suppress(Exception):
        give(message, accepted, send)


async def take(seconds, accepted, receive, send):
    """Receive, for a while."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(receive(), seconds)


async def take_twice(seconds, accepted, receive, send):
    """Receive in two tasks, of which one is cancelled."""
    one, other = asyncio.create_task(receive()), asyncio.create_task(receive())
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.wait([one, other], timeout=seconds)
    other.cancel()


async def pause(seconds, accepted, receive, send):
    await asyncio.sleep(seconds)


async def cancel(_argument, accepted, receive, send):
    """Be cancelled, at the next wait."""
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def fail(name, accepted, receive, send):
    raise {"ValueError": ValueError, "OSError": OSError, "CancelledError": asyncio.CancelledError}[
        name
    ]("from a script")


STEPS = {
    "send": put, "send_all": put_all, "forget": forget, "receive": take,
    "receive_twice": take_twice, "pause": pause, "cancel": cancel, "raise": fail,
}  # fmt: skip
