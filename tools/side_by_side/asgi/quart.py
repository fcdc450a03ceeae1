"""Quart."""

from __future__ import annotations

from applications import Application
from visit import Visitor

from asgi.client import ASGI, TALK


def use_quart(visitor: Visitor) -> None:
    for path in ("/stream", "/error", "/file", "/session", "/session", "/template", "/timeout"):
        visitor.get(path)
    visitor.post("/form", {"name": "Jörg"})
    for chunked in (False, True):
        visitor.upload("/upload", {}, {"file": ("f.bin", b"\0\1" * 300_000)}, chunked)
        visitor.send("POST", "/body", b"x" * 400_000, chunked=chunked)
    visitor.get("/file", Range="bytes=10-19")
    visitor.program("talk.py")
    visitor.get("/done")


QUART = Application(
    name="quart",
    install=("quart", "websockets"),
    target=("serve:app",),
    pages=("/", "/template"),
    files={
        "file.txt": "0123456789\n" * 30_000,
        "serve.py": """
import asyncio
from quart import Quart, abort, make_response, render_template_string, request
from quart import send_file, session, websocket

app = Quart("serve")
app.secret_key = "s" * 40
done = []

@app.get("/")
async def index():
    return {"path": request.full_path, "scheme": request.scheme, "root": request.root_path}

@app.get("/template")
async def template():
    return await render_template_string("<p>{{ a }}</p>", a="b")

@app.get("/stream")
async def stream():
    async def parts():
        for n in range(100):
            yield f"{n}\\n".encode() * 100
    return parts(), 200, {"X-Stream": "yes"}

@app.get("/error")
async def error():
    raise RuntimeError("raised in a view")

@app.get("/timeout")
async def timeout():
    response = await make_response("untimed")
    response.timeout = None
    return response

@app.get("/file")
async def file():
    return await send_file("$STATE/file.txt", conditional=True)

@app.get("/session")
async def visits():
    session["n"] = session.get("n", 0) + 1
    return str(session["n"])

@app.post("/form")
async def form():
    return dict(await request.form)

@app.post("/upload")
async def upload():
    return str(len((await request.files)["file"].read()))

@app.post("/body")
async def body():
    size = 0
    async for part in request.body:
        size += len(part)
    return str(size)

@app.get("/done")
async def was_done():
    return done

@app.after_serving
async def after():
    print("after serving")

@app.websocket("/echo")
async def echo():
    try:
        while True:
            await websocket.send(await websocket.receive())
    except asyncio.CancelledError:
        done.append("echo cancelled")
        raise

@app.websocket("/refuse")
async def refuse():
    abort(401)

@app.websocket("/closes")
async def closes():
    await websocket.accept(subprotocol="b", headers={"x-one": "1"})
    await websocket.send("last")
    await websocket.close(4005, "enough")

@app.websocket("/raises")
async def raises():
    await websocket.accept()
    raise RuntimeError("raised in a socket")
""",
        "talk.py": TALK
        + """
async def main():
    await talk("/echo", "one", b"two", "ä" * 70_000)
    await talk("/closes", receive=2, subprotocols=["a", "b"])
    await talk("/raises", receive=1)
    await talk("/refuse")
    await talk("/missing")
    async with websockets.connect(URL + "/echo") as a:
        await a.send("x")
        await a.recv()
        a.transport.abort()
    await asyncio.sleep(0.5)
asyncio.run(main())
""",
    },
    workers=ASGI,
    visit=use_quart,
)
