"""The common application of these tests, written with Starlette, and what only ASGI has."""

import asyncio
import contextlib
import hashlib
import sqlite3
from contextvars import ContextVar
from pathlib import Path

import anyio
import sniffio
from starlette.applications import Starlette
from starlette.background import BackgroundTasks
from starlette.endpoints import WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).resolve().parent / "static"
VARIABLE = ContextVar("VARIABLE", default="unset")
done: list[str] = []


async def index(request):
    return Response("hello from starlette", media_type="text/html")


async def facts(request):
    return JSONResponse(
        {
            "path": request.path_params["rest"],
            "query": request.query_params.getlist("q"),
            "url": str(request.url.replace(query="")),
            "secure": request.url.is_secure,
            "peer": request.client.host,
            "agent": request.headers.get("User-Agent"),
        }
    )


async def echo_json(request):
    return JSONResponse(await request.json())


async def form(request):
    async with request.form() as fields:
        return JSONResponse(dict(fields))


async def upload(request):
    async with request.form() as fields:
        file = fields["file"]
        checksum = hashlib.sha256(await file.read()).hexdigest()
        return JSONResponse({"name": file.filename, "sha256": checksum, "note": fields["note"]})


async def raw(request):
    total = 0
    async for piece in request.stream():
        total += len(piece)
    return JSONResponse({"size": total})


async def login(request):
    request.session["name"] = request.path_params["name"]
    return PlainTextResponse("in")


async def me(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse({"name": request.session.get("name"), "visits": request.session["visits"]})


async def stream(request):
    count = int(request.query_params["count"])
    lines = (f"line {n} of {count}\n" for n in range(count))
    return StreamingResponse(lines, media_type="text/plain")  # iterated in a thread


async def file(request):
    return FileResponse(request.query_params["path"])


async def cookies(request):
    response = PlainTextResponse("cookies")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    return response


async def redirects(request):
    return RedirectResponse("/", status_code=302)


async def forbidden(request):
    raise HTTPException(403)


async def error(request):
    raise RuntimeError("raised in a view")


def add_one():
    with sqlite3.connect("counts.db", timeout=30) as db:
        db.execute("create table if not exists counts (id integer primary key)")
        db.execute("insert into counts default values")
        return db.execute("select count(*) from counts").fetchone()[0]


async def count(request):
    return JSONResponse({"total": await anyio.to_thread.run_sync(add_one)})


async def empty(request):
    return Response(status_code=204)


# Only ASGI


async def events(request):
    """Server-sent events, without end unless a number is given."""
    number = int(request.query_params.get("number", "1000000"))

    async def lines():
        try:
            for n in range(number):
                yield f"data: {n}\n\n"
                await asyncio.sleep(0.01)
        finally:
            done.append("events")

    return StreamingResponse(lines(), media_type="text/event-stream")


async def background(request):
    async def work(name):
        await asyncio.sleep(0)
        done.append(name)

    tasks = BackgroundTasks()
    tasks.add_task(work, "first")
    tasks.add_task(done.append, "second")  # in a thread
    return PlainTextResponse("begun", background=tasks)


async def show_done(request):
    return JSONResponse(done)


async def tasks(request):
    """The libraries that find out which loop and task they run in."""
    before = VARIABLE.get()
    VARIABLE.set("set by a request")
    timed_out = []
    try:
        await asyncio.wait_for(asyncio.sleep(30), 0.01)
    except asyncio.TimeoutError:
        timed_out.append("wait_for")
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep(30)
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 0)
        group.start_soon(anyio.sleep, 30)
        await anyio.sleep(0)
        group.cancel_scope.cancel()
    timeout = getattr(asyncio, "timeout", None)  # from Python 3.11 on
    if timeout:
        try:
            async with timeout(0.01):
                await asyncio.sleep(30)
        except TimeoutError:
            timed_out.append("timeout")
    return JSONResponse(
        {
            "library": sniffio.current_async_library(),
            "cancelled": scope.cancelled_caught,
            "is_task": isinstance(asyncio.current_task(), asyncio.Task),
            "variable": before,
            "passed": timed_out,
            "state": request.state.of_lifespan,
        }
    )


class Upper(WebSocketEndpoint):
    encoding = "text"

    async def on_connect(self, websocket):
        await websocket.accept(subprotocol=websocket.scope["subprotocols"][0])

    async def on_receive(self, websocket, data):
        await websocket.send_text(data.upper())

    async def on_disconnect(self, websocket, close_code):
        done.append(f"closed with {close_code}")


async def denied(websocket):
    await websocket.send_denial_response(PlainTextResponse("no entry", 401))


@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"of_lifespan": "there"}


class Named(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["X-Middleware"] = "passed"
        return response


app = Starlette(
    lifespan=lifespan,
    middleware=[Middleware(SessionMiddleware, secret_key="for tests only"), Middleware(Named)],
    routes=[
        Route("/", index),
        Route("/facts/{rest:path}", facts),
        Route("/json", echo_json, methods=["POST"]),
        Route("/form", form, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/raw", raw, methods=["POST"]),
        Route("/login/{name}", login),
        Route("/me", me),
        Route("/stream", stream),
        Route("/file", file),
        Mount("/static", StaticFiles(directory=STATIC)),
        Mount("/gzip", GZipMiddleware(StaticFiles(directory=STATIC), minimum_size=1)),
        Route("/cookies", cookies),
        Route("/redirect", redirects),
        Route("/forbidden", forbidden),
        Route("/error", error),
        Route("/count", count, methods=["POST"]),
        Route("/empty", empty),
        Route("/events", events),
        Route("/background", background),
        Route("/done", show_done),
        Route("/tasks", tasks),
        WebSocketRoute("/upper", Upper),
        WebSocketRoute("/denied", denied),
    ],
)
