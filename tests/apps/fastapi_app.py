"""The common application of these tests, written with FastAPI, and what only ASGI has."""

import hashlib
import sqlite3
from pathlib import Path
from typing import Annotated

from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    Form,
    HTTPException,
    Query,
    Request,
    Response,
    UploadFile,
    WebSocket,
)
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.middleware.sessions import SessionMiddleware

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key="for tests only")
app.mount("/static", StaticFiles(directory=Path(__file__).resolve().parent / "static"))
done: list[str] = []


@app.get("/", response_class=HTMLResponse)
def index():
    return "hello from fastapi"  # in a thread


@app.get("/facts/{rest:path}")
async def facts(rest: str, request: Request, q: Annotated[list[str], Query()] = []):  # noqa: B006
    return {
        "path": rest,
        "query": q,
        "url": str(request.url.replace(query="")),
        "secure": request.url.is_secure,
        "peer": request.client.host,
        "agent": request.headers.get("User-Agent"),
    }


@app.post("/json")
async def echo_json(data: dict):
    return data


@app.post("/form")
async def form(name: Annotated[str, Form()], text: Annotated[str, Form()], empty: str = Form("")):
    return {"name": name, "text": text, "empty": empty}


@app.post("/upload")
async def upload(file: UploadFile, note: Annotated[str, Form()]):
    checksum = hashlib.sha256(await file.read()).hexdigest()
    return {"name": file.filename, "sha256": checksum, "note": note}


@app.post("/raw")
async def raw(request: Request):
    total = 0
    async for piece in request.stream():
        total += len(piece)
    return {"size": total}


@app.get("/login/{name}")
async def login(name: str, request: Request):
    request.session["name"] = name
    return "in"


@app.get("/me")
async def me(request: Request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return {"name": request.session.get("name"), "visits": request.session["visits"]}


@app.get("/stream")
async def stream(count: int):
    async def lines():
        for n in range(count):
            yield f"line {n} of {count}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.api_route("/file", methods=["GET", "HEAD"])
async def file(path: str):
    return FileResponse(path)


@app.get("/cookies")
async def cookies(response: Response):
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)


@app.get("/redirect")
async def redirects():
    return RedirectResponse("/", status_code=302)


@app.get("/forbidden")
async def forbidden():
    raise HTTPException(403)


@app.get("/error")
async def error():
    raise RuntimeError("raised in a view")


@app.post("/count")
def count():
    with sqlite3.connect("counts.db", timeout=30) as db:
        db.execute("create table if not exists counts (id integer primary key)")
        db.execute("insert into counts default values")
        return {"total": db.execute("select count(*) from counts").fetchone()[0]}


@app.get("/empty", status_code=204)
async def empty():
    pass


# Only ASGI


async def resource():
    """A dependency whose end comes after the answer."""
    try:
        yield "a resource"
    finally:
        done.append("the resource is closed")


class Item(BaseModel):
    name: str
    price: float


@app.post("/items")
async def items(item: Item, held: Annotated[str, Depends(resource)], background: BackgroundTasks):
    background.add_task(done.append, f"{item.name} is kept")
    return {"item": item, "held": held}


@app.websocket("/rooms/{name}")
async def room(socket: WebSocket, name: str, held: Annotated[str, Depends(resource)]):
    await socket.accept()
    while True:
        message = await socket.receive_json()
        if message == "raise":
            raise RuntimeError("raised in a room")
        await socket.send_json({"room": name, "held": held, "message": message})


@app.get("/done")
async def show_done():
    return done
