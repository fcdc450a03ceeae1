"""Litestar."""

from __future__ import annotations

from applications import Application
from visit import Visitor

from asgi.client import ASGI, TALK


def use_litestar(visitor: Visitor) -> None:
    for path in (
        "/stream",
        "/error",
        "/events",
        "/files/file.txt",
        "/before",
        "/schema/openapi.json",
    ):
        visitor.get(path)
    visitor.json("POST", "/items", {"name": "pear", "price": 1.5})
    visitor.json("POST", "/items", {"name": "pear"})
    visitor.upload("/upload", {}, {"file": ("f.bin", b"\0\1" * 300_000)}, True)
    visitor.program("talk.py")


LITESTAR = Application(
    name="litestar",
    install=("litestar", "python-multipart", "websockets"),
    target=("serve:app",),
    pages=("/", "/before"),
    static="/files/file.txt",
    files={
        "files/file.txt": "0123456789\n" * 30_000,
        "serve.py": """
import asyncio
from dataclasses import dataclass
from typing import Annotated
from litestar import Litestar, WebSocket, get, post, websocket, websocket_listener
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import ServerSentEvent, Stream
from litestar.static_files import create_static_files_router

@dataclass
class Item:
    name: str
    price: float

@get("/")
async def index() -> dict[str, str]:
    return {"hello": "world"}

@get("/before", sync_to_thread=True)
def before() -> str:
    return "in a thread"

@get("/stream")
async def stream() -> Stream:
    async def parts():
        for n in range(100):
            yield f"{n} " * 100
    return Stream(parts())

@get("/events")
async def events() -> ServerSentEvent:
    async def parts():
        for n in range(5):
            yield str(n)
    return ServerSentEvent(parts())

@get("/error")
async def error() -> None:
    raise RuntimeError("raised in a view")

@post("/items")
async def items(data: Item) -> Item:
    return data

Form = Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)]

@post("/upload")
async def upload(data: Form) -> int:
    return len(await data["file"].read())

@websocket_listener("/listen")
async def listen(data: str) -> str:
    return data.upper()

@websocket("/raises")
async def raises(socket: WebSocket) -> None:
    await socket.accept(subprotocols="b")
    await socket.send_json({"a": 1})
    raise RuntimeError("raised in a socket")

app = Litestar([index, before, stream, events, error, items, upload, listen, raises,
                create_static_files_router("/files", ["files"])])
""",
        "talk.py": TALK
        + """
async def main():
    await talk("/listen", "one", "ä" * 70_000)
    await talk("/raises", receive=2, subprotocols=["a", "b"])
    await talk("/missing")
asyncio.run(main())
""",
    },
    workers=ASGI,
    visit=use_litestar,
)
