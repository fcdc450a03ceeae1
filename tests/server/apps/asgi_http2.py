"""What an ASGI application sees of HTTP/2."""

import asyncio
import json

left = 0


async def application(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await PATHS[scope["path"]](scope, receive, send)


async def answer(send, body):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def show(scope, receive, send):
    shown = {key: value for key, value in scope.items() if isinstance(value, str)}
    await answer(send, json.dumps(shown).encode())


async def echo(scope, receive, send):
    """Send back each piece as it comes."""
    global left
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            left += 1
            return
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})
        if not more:
            return


async def count(scope, receive, send):
    """Say how many clients have left, when one has."""
    while left == 0:
        await asyncio.sleep(0.01)
    await answer(send, b"%d" % left)


async def trail(scope, receive, send):
    """Send trailers by two messages, behind a body of two."""
    assert "http.response.trailers" in scope["extensions"]
    await send({"type": "http.response.start", "status": 200, "trailers": True})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    await send({"type": "http.response.body", "body": b"b"})
    for name, more in ((b"X-Sum", True), (b"x-other", False)):
        headers = [(name, b"1")]
        await send({"type": "http.response.trailers", "headers": headers, "more_trailers": more})


async def ok(scope, receive, send):
    await answer(send, b"ok")


async def big(scope, receive, send):
    await answer(send, b"x" * int(scope["query_string"]))


PATHS = {
    "/echo": echo,
    "/scope": show,
    "/left": count,
    "/trailers": trail,
    "/ok": ok,
    "/big": big,
}
