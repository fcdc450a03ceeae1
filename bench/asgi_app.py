"""The ASGI application that every ASGI server runs in the benchmark."""

import functools
import os

HELLO = b"Hello, world!"
BLOCK = bytes(65536)
BLOCKS = 16
FILE = os.environ.get("BENCH_FILE", __file__)
FILE_SIZE = b"%d" % os.stat(FILE).st_size
TEXT = (b"content-type", b"text/plain")
BINARY = (b"content-type", b"application/octet-stream")


async def start(send, *headers):
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def hello(scope, receive, send):
    await start(send, TEXT, (b"content-length", b"13"))
    await send({"type": "http.response.body", "body": HELLO})


async def echo(scope, receive, send):
    blocks, more = [], True
    while more:
        message = await receive()
        blocks.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(blocks)
    await start(send, BINARY, (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.body", "body": body})


async def stream(scope, receive, send):
    await start(send, BINARY)
    for _ in range(BLOCKS):
        await send({"type": "http.response.body", "body": BLOCK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def file(scope, receive, send):
    await start(send, BINARY, (b"content-length", FILE_SIZE))
    if "http.response.pathsend" in scope.get("extensions", {}):
        await send({"type": "http.response.pathsend", "path": FILE})
        return
    with open(FILE, "rb") as source:
        while block := source.read(65536):
            await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@functools.cache
def fastapi_application():
    from fastapi import FastAPI

    application = FastAPI()

    @application.get("/fastapi")
    async def answer():
        return {"message": "Hello, world!"}

    return application


@functools.cache
def starlette_application():
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def answer(request):
        return JSONResponse({"message": "Hello, world!"})

    return Starlette(routes=[Route("/starlette", answer)])


async def fastapi(scope, receive, send):
    await fastapi_application()(scope, receive, send)


async def starlette(scope, receive, send):
    await starlette_application()(scope, receive, send)


ROUTES = {
    "/hello": hello,
    "/echo": echo,
    "/stream": stream,
    "/file": file,
    "/fastapi": fastapi,
    "/starlette": starlette,
}


async def app(scope, receive, send):
    if scope["type"] == "http":
        await ROUTES[scope["path"]](scope, receive, send)
