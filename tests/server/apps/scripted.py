"""An ASGI application that does what each request's X-Script says: a list of steps, as a literal.

/noted?N tells which messages of script N were accepted. See helpers/asgi_scripts.py.
"""

import ast
import asyncio
import builtins
import contextlib
import json
import threading

noted: dict[str, list] = {}
left_behind: set = set()
BODIES = ("http.response.body", "websocket.http.response.body")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    number = scope["query_string"].decode()
    if scope["path"] == "/noted":
        return await tell(send, json.dumps(noted.get(number)).encode())
    script = next((value for name, value in scope["headers"] if name == b"x-script"), None)
    if script is None:
        return await tell(send, b"hello")
    accepted: list = []
    noted[number] = accepted
    if scope["type"] == "websocket":
        noted.pop(number)
    for step, argument in ast.literal_eval(script.decode()):
        await STEPS[step](argument, accepted, receive, send)


async def tell(send, body):
    fields = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


class Unprintable(Exception):
    """An exception that raises others."""

    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


class Raises:
    """An object of which everything raises."""

    def __eq__(self, other):
        raise ValueError("no equal")

    def __hash__(self):
        raise ValueError("no hash")

    def __repr__(self):
        raise ValueError("no name")

    def __bool__(self):
        raise ValueError("no truth")

    def __index__(self):
        raise ValueError("no number")

    def __iter__(self):
        raise ValueError("no items")


class Equal(str):
    """A string that is equal to all others."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        return True


class Index:
    """A number that lasts, and leaves a task behind."""

    def __index__(self):
        spawn(asyncio.sleep(0))
        return 200


ODD = {
    "raises": Raises,
    "equal": lambda: Equal("type"),
    "hashless": list,
    "buffer": lambda: memoryview(bytearray(100)),
    "index": Index,
    "text": lambda: "\ud800",
    "none": lambda: None,
    "nested": lambda: [[[b"a", [b"b"]]], {b"c": b"d"}],
}


def spawn(coroutine):
    task = asyncio.ensure_future(coroutine)
    left_behind.add(task)
    task.add_done_callback(left_behind.discard)
    task.add_done_callback(lambda task: task.cancelled() or task.exception())


def made(message):
    """The message, with bytes in place of their number."""
    names = [name for name in ("body", "bytes") if isinstance(message.get(name), int)]
    return {**message, **{name: bytes(message[name]) for name in names}}


def give(message, accepted, send):
    """Send, and note the message if send() does not raise."""
    message = made(message)
    waits = send(message)
    if message.get("type") in BODIES:
        size = len(message.get("body", b""))
        accepted.append([message["type"], size, message.get("more_body")])
    else:
        accepted.append([message.get("type"), 0, None])
    return waits


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


async def put_elsewhere(message, accepted, receive, send):
    """From another thread."""

    def put():
        with contextlib.suppress(Exception):
            give(message, accepted, send).close()

    thread = threading.Thread(target=put)
    thread.start()
    thread.join()


async def put_odd(argument, accepted, receive, send):
    """One member, or the name of one, is an odd object."""
    message, place, name = argument
    message, value = made(message), ODD[name]()
    names = [*message, "headers", "body", "more_body", "status"]
    with contextlib.suppress(Exception):
        if name == "equal":
            message[value] = value
        else:
            message[names[place % len(names)]] = value
        await give(message, accepted, send)


async def put_within(argument, accepted, receive, send):
    """A message is sent while the headers of another are read."""
    outer, inner = argument

    def headers():
        with contextlib.suppress(Exception):
            give(inner, accepted, send)
        yield (b"x-a", b"1")

    await put({**outer, "headers": headers()}, accepted, receive, send)


async def put_by_hand(message, accepted, receive, send):
    """The awaitable is stepped, thrown into and closed without a task."""
    with contextlib.suppress(Exception):
        waits = give(message, accepted, send)
        with contextlib.suppress(StopIteration):
            waits.send(None)
            waits.send(None)
            waits.throw(ValueError("by hand"))
        waits.close()
        await waits


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


async def take_by_hand(count, accepted, receive, send):
    """So many awaitables, each stepped once; the last one is left as it is."""
    waits = [receive() for _ in range(count)]
    for one in waits:
        with contextlib.suppress(Exception):
            one.send(None)
    for one in waits[1:]:
        with contextlib.suppress(Exception):
            one.throw(asyncio.CancelledError)


async def pause(seconds, accepted, receive, send):
    await asyncio.sleep(seconds)


async def cancel(_argument, accepted, receive, send):
    """Be cancelled, at the next wait."""
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def leave_behind(message, accepted, receive, send):
    """A task goes on, receives and sends; the messages of a complete answer are refused."""

    async def late():
        await asyncio.sleep(0.005)
        await put(message, accepted, receive, send)
        await asyncio.wait_for(receive(), 0.01)

    spawn(late())


async def fail(name, accepted, receive, send):
    if name == "CancelledError":
        raise asyncio.CancelledError
    if name == "Unprintable":
        raise Unprintable
    if name == "BaseExceptionGroup":
        raise builtins.BaseExceptionGroup("several", [GeneratorExit(), OSError()])  # from 3.11 on
    raise getattr(builtins, name)("from a script")


STEPS = {
    "send": put, "send_all": put_all, "forget": forget, "send_elsewhere": put_elsewhere,
    "send_odd": put_odd, "send_within": put_within, "send_by_hand": put_by_hand, "receive": take,
    "receive_twice": take_twice, "receive_by_hand": take_by_hand, "pause": pause, "cancel": cancel,
    "leave_behind": leave_behind, "raise": fail,
}  # fmt: skip
