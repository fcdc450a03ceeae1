"""Starlette."""

from __future__ import annotations

from applications import Application
from visit import Visitor

from asgi.client import ASGI


def use_starlette(visitor: Visitor) -> None:
    for path in ("/login?name=ann", "/session", "/session", "/logout", "/session", "/gzip",
                 "/events?number=3", "/large", "/static/", "/static/missing", "/static/../serve.py",
                 "/page"):  # fmt: skip
        visitor.get(path)
        visitor.get(path, label="(gzip)", Accept_Encoding="gzip")
    visitor.program("leave.py")
    visitor.get("/ended")


STARLETTE = Application(
    name="starlette",
    install=("starlette", "sse-starlette", "itsdangerous", "httpx"),
    target=("serve:app",),
    pages=("/", "/page"),
    static="/static/file.txt",
    files={
        "static/file.txt": "0123456789\n" * 30_000,
        "serve.py": """
import anyio
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

ended = []

class Named(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["X-Passed"] = "yes"
        return response

async def page(request):
    return HTMLResponse("<p>page</p>" * 200)

async def login(request):
    request.session["name"] = request.query_params["name"]
    return PlainTextResponse("in")

async def session(request):
    return JSONResponse(dict(request.session))

async def logout(request):
    request.session.clear()
    return PlainTextResponse("out")

async def compressed(request):
    async def parts():
        for n in range(20):
            yield f"{n} " * 1000
    return StreamingResponse(parts())

async def events(request):
    async def parts():
        try:
            for n in range(int(request.query_params.get("number", 1_000_000))):
                yield {"event": "tick", "id": str(n), "data": f"{n}"}
                await anyio.sleep(0.01)
        finally:
            ended.append("events")
    return EventSourceResponse(parts(), ping=5)

async def large(request):
    return PlainTextResponse("x" * 3_000_000)

async def have_ended(request):
    return JSONResponse(ended)

routes = [Route("/", page), Route("/page", page), Route("/login", login),
          Route("/session", session), Route("/logout", logout), Route("/gzip", compressed),
          Route("/events", events), Route("/large", large), Route("/ended", have_ended),
          Mount("/static", StaticFiles(directory="static"))]
app = Starlette(routes=routes, middleware=[
    Middleware(GZipMiddleware), Middleware(SessionMiddleware, secret_key="s" * 40),
    Middleware(Named)])
""",
        "leave.py": """
import os, time, httpx
with httpx.stream("GET", os.environ["URL"] + "/events") as answer:
    lines = answer.iter_lines()
    print([next(lines) for _ in range(8)])
time.sleep(1)
""",
    },
    workers=ASGI,
    visit=use_starlette,
)
