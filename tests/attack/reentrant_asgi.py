"""An ASGI application that sends a message while another is read: by its path, one for each."""

import asyncio
import threading

START = {"type": "http.response.start", "status": 200}
END = {"type": "http.response.body", "body": b"done"}
ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}
DENIAL = [
    {"type": "websocket.http.response.start", "status": 418},
    {"type": "websocket.http.response.body"},
]


class Member:
    """Whatever the server does with it, the function is called first."""

    def __init__(self, function, value):
        self.function, self.value = function, value

    def __iter__(self):
        self.function()
        return iter(self.value)

    def __bool__(self):
        self.function()
        return bool(self.value)

    def __index__(self):
        self.function()
        return self.value

    def __fspath__(self):
        self.function()
        return self.value


class Links(list):
    """A list that is taken out of its message while it is read."""

    def __iter__(self):
        self.message.pop("links")
        self.message = None
        return super().__iter__()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    if scope["path"] == "/":
        await send(START)
        return await send(END)
    error = None
    try:
        await CASES[scope["path"][1:]](send)
    except Exception as exc:
        error = exc
    print(type(error).__name__, flush=True)
    if scope["type"] == "websocket":
        while (await receive())["type"] != "websocket.disconnect":
            pass


def within(name, value, inner, **outer):
    """A message, of which one member sends others, while the server reads it."""

    async def run(send):
        await send({**outer, name: Member(lambda: [send(one) for one in inner], value)})

    return run


def after_start(case):
    async def run(send):
        await send({**START, "trailers": False})
        await case(send)

    return run


async def from_thread(send):
    raised = []

    async def elsewhere():
        await send(START)

    def put():
        try:
            asyncio.run(elsewhere())
        except RuntimeError as exc:
            raised.append(exc)

    thread = threading.Thread(target=put)
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.01)
    await send(START)
    await send(END)
    raise raised[0]


async def vanishing_links(send):
    message = {"type": "http.response.early_hint", "links": Links([b"</a>"])}
    message["links"].message = message
    await send(message)
    await send(START)
    await send(END)


CASES = {
    "start": within("headers", [], [START, END], **START),
    "start_only": within("headers", [], [START, {**END, "more_body": True}], **START),
    "trailers": within("trailers", False, [START, END], **START),
    "status": within("status", 200, [START, END], type="http.response.start"),
    "body": after_start(within("more_body", False, [END], type="http.response.body")),
    "file": after_start(within("path", "/etc/hostname", [END], type="http.response.pathsend")),
    "piece": after_start(
        within("count", 1, [END], type="http.response.zerocopysend", file=0, offset=0)
    ),
    "links": vanishing_links,
    "thread": from_thread,
    "accept": within("headers", [], [ACCEPT], **ACCEPT),
    "accept_close": within("headers", [], [ACCEPT, CLOSE], **ACCEPT),
    "refuse": within("headers", [], [CLOSE], **ACCEPT),
    "deny": within("headers", [], DENIAL, **ACCEPT),
    "close": within("code", 1000, [{**CLOSE, "code": 3000}], **CLOSE),
    "close_denied": within("code", 1000, DENIAL, **CLOSE),
}
