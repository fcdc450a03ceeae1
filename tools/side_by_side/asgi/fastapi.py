"""FastAPI."""

from __future__ import annotations

from applications import Application
from visit import Visitor

from asgi.client import ASGI, TALK


def use_fastapi(visitor: Visitor) -> None:
    visitor.json("POST", "/items/7?q=1", {"name": "pear", "price": 1.5}, X_Token="secret")
    visitor.json("POST", "/items/7", {"name": 1}, X_Token="secret")
    visitor.json("POST", "/items/7", {"name": "pear", "price": 1.5})
    for chunked in (False, True):
        visitor.upload("/upload", {"note": "Jörg"}, {"file": ("f.bin", b"\0\1" * 300_000)}, chunked)
        visitor.send("POST", "/size", b"x" * 700_000, chunked=chunked)
    for path in ("/stream", "/file", "/background", "/wait", "/done", "/error", "/yielded-error",
                 "/half", "/short", "/redirect", "/cookies", "/empty", "/scope%2Fp/%C3%A4?a=%20b",
                 "/sub/inner", "/sub/", "/sub", "/late-error"):  # fmt: skip
        visitor.get(path)
    visitor.get("/scope/absolute", X_Forwarded_Proto="https")
    visitor.get("/file", Range="bytes=100-199")
    visitor.send("HEAD", "/file")
    visitor.send("HEAD", "/stream")
    visitor.send("DELETE", "/items/7")
    visitor.program("talk.py")
    visitor.get("/done")


FASTAPI_FILES = {
    "serve.py": """
import asyncio
from contextlib import asynccontextmanager
from fastapi import BackgroundTasks, Depends, FastAPI, File, Form, Header, HTTPException, Request
from fastapi import UploadFile, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel

done = []

@asynccontextmanager
async def lifespan(app):
    yield {"begun": "yes"}

app = FastAPI(lifespan=lifespan)

class Item(BaseModel):
    name: str
    price: float

def token(x_token: str = Header()):
    if x_token != "secret":
        raise HTTPException(401, "no")
    return x_token

async def resource():
    try:
        yield "resource"
    finally:
        done.append("resource closed")

@app.get("/")
async def index(request: Request):
    return {"begun": request.state.begun, "query": str(request.query_params)}

@app.post("/items/{number}")
async def item(number: int, item: Item, tasks: BackgroundTasks, q: str = "",
               t=Depends(token), r=Depends(resource)):
    tasks.add_task(done.append, f"kept {item.name}")
    return {"number": number, "item": item, "q": q, "r": r}

@app.post("/upload")
async def upload(file: UploadFile = File(), note: str = Form()):
    data = await file.read()
    return {"name": file.filename, "size": len(data), "sum": sum(data), "note": note}

@app.post("/size")
async def size(request: Request):
    return sum([len(part) async for part in request.stream()])

@app.get("/stream")
async def stream():
    async def parts():
        for n in range(50):
            yield f"part {n}\\n" * 100
            await asyncio.sleep(0)
    return StreamingResponse(parts(), media_type="text/plain")

@app.get("/file")
def file():
    return FileResponse("$STATE/file.txt", headers={"ETag": "same", "Last-Modified": "never"})

@app.get("/background")
async def background(tasks: BackgroundTasks):
    tasks.add_task(done.append, "in the background")
    return "begun"

@app.get("/done")
async def was_done():
    return sorted(done)

@app.get("/wait")
def wait():
    import time
    time.sleep(0.2)
    return "waited"

@app.get("/error")
async def error():
    raise RuntimeError("raised in a view")

@app.get("/yielded-error")
async def yielded_error(r=Depends(resource)):
    raise ValueError("after the dependency")

@app.get("/late-error")
async def late_error(tasks: BackgroundTasks):
    def fail():
        raise RuntimeError("raised in the background")
    tasks.add_task(fail)
    return "answered"

@app.get("/half")
async def half():
    async def parts():
        yield b"some"
        raise RuntimeError("raised in the stream")
    return StreamingResponse(parts())

@app.get("/short")
async def short():
    async def parts():
        yield b"some"
    return StreamingResponse(parts(), headers={"Content-Length": "100"})

@app.get("/redirect")
async def redirect():
    return RedirectResponse("/")

@app.get("/cookies")
async def cookies():
    response = Response("cookies")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response

@app.get("/empty", status_code=204)
async def empty():
    return Response(status_code=204)

@app.get("/scope/{rest:path}")
@app.get("/scope%2Fp/{rest:path}")
async def scope(request: Request):
    keys = ("type", "http_version", "method", "scheme", "path", "raw_path", "query_string",
            "root_path")
    seen = {key: str(request.scope[key]) for key in keys}
    return seen | {"client": request.client.host, "url": request.url.path,
                   "headers": [f"{k}" for k, v in request.scope["headers"]]}

inner = FastAPI()

@inner.get("/inner")
async def in_sub(request: Request):
    return {"root": request.scope["root_path"], "path": request.scope["path"]}

app.mount("/sub", inner)

class Rooms:
    def __init__(self):
        self.members = []

rooms = Rooms()

@app.websocket("/chat/{name}")
async def chat(socket: WebSocket, name: str):
    await socket.accept()
    rooms.members.append(socket)
    try:
        while True:
            text = await socket.receive_text()
            for member in rooms.members:
                await member.send_text(f"{name}: {text}")
    except WebSocketDisconnect as e:
        rooms.members.remove(socket)
        done.append(f"{name} left {e.code} {e.reason}")

@app.websocket("/json")
async def json(socket: WebSocket):
    await socket.accept(subprotocol="b", headers=[(b"x-one", b"1")])
    while True:
        await socket.send_json({"got": await socket.receive_json()})

@app.websocket("/closes")
async def closes(socket: WebSocket):
    await socket.accept()
    await socket.send_bytes(await socket.receive_bytes())
    await socket.close(4001, "enough")

@app.websocket("/returns")
async def returns(socket: WebSocket):
    await socket.accept()
    await socket.send_text("only")

@app.websocket("/raises")
async def raises(socket: WebSocket):
    await socket.accept()
    raise RuntimeError("raised in a socket")

@app.websocket("/refuses")
async def refuses(socket: WebSocket):
    await socket.close(4003)

@app.websocket("/denies")
async def denies(socket: WebSocket):
    raise HTTPException(401, "not you")

@app.websocket("/early")
async def early(socket: WebSocket):
    raise RuntimeError("raised before accept")
""",
    "file.txt": "0123456789\n" * 30_000,
    "talk.py": TALK
    + """
async def main():
    await talk("/chat/ann", "hello", "ä" * 70_000)
    await talk("/json", '{"a": 1}', subprotocols=["a", "b"])
    await talk("/json", "not json", receive=1, subprotocols=["b"])
    await talk("/json", compression=None, close=4321, subprotocols=["b"])
    await talk("/closes", b"x" * 200_000, receive=2)
    await talk("/returns", receive=2)
    await talk("/raises", receive=1)
    for path in ("/refuses", "/denies", "/early", "/missing"):
        await talk(path)
    async with (websockets.connect(URL + "/chat/bob") as bob,
                websockets.connect(URL + "/chat/eve") as eve):
        await bob.send("one")
        print(await bob.recv(), await eve.recv())
        bob.transport.abort()
    async with websockets.connect(URL + "/chat/flood") as flood:
        for n in range(300):
            await flood.send(f"{n}" * 100)
        got = [len(await flood.recv()) for n in range(300)]
        print(got == [len("flood: ") + len(f"{n}") * 100 for n in range(300)])
    await asyncio.sleep(0.5)
asyncio.run(main())
""",
}

FASTAPI = Application(
    name="fastapi",
    install=("fastapi", "python-multipart", "websockets"),
    target=("serve:app",),
    pages=("/", "/docs", "/openapi.json"),
    files=FASTAPI_FILES,
    workers=ASGI,
    visit=use_fastapi,
    accepted=((r"log: .*\(N, 'bye'\)", "a disconnect that is not caught is no error"),),
)
