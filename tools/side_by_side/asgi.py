"""The ASGI applications. Programs of theirs are clients: what they print is compared."""

from __future__ import annotations

from applications import Application
from visit import Visitor

ASGI = ("asgi",)

#: What the programs of WebSocket clients share: a conversation, and how it ended.
TALK = """
import asyncio, json, os, sys
import websockets

URL = os.environ["URL"].replace("http", "ws", 1)

async def talk(path, *messages, receive=None, close=1000, **more):
    try:
        async with websockets.connect(URL + path, **more) as client:
            got = []
            for message in messages:
                await client.send(message)
                if receive is None:
                    got.append(await asyncio.wait_for(client.recv(), 20))
            for _ in range(receive or 0):
                got.append(await asyncio.wait_for(client.recv(), 20))
            await client.close(close, "bye")
        print(path, client.subprotocol, client.close_code, str(got)[:300], len(str(got)))
    except websockets.InvalidStatus as e:
        print(path, "refused", e.response.status_code, e.response.body)
    except websockets.ConnectionClosed as e:
        print(path, "closed", e.rcvd and (e.rcvd.code, e.rcvd.reason), got)
"""


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


def use_channels(visitor: Visitor) -> None:
    for path in ("/stream", "/error", "/slow", "/sync", "/meta?a=b", "/download", "/login", "/me"):
        visitor.get(path)
    visitor.fill("/form", {"name": "Jörg"}, {"file": ("f.bin", b"\0\1" * 2_000_000)})
    visitor.program("talk.py")
    visitor.get("/done")


CHANNELS = Application(
    name="channels",
    install=("django", "channels", "websockets"),
    target=("serve:application",),
    pages=("/", "/meta"),
    files={
        "serve.py": """
import asyncio, os, sys
import django
from django.conf import settings

settings.configure(
    DEBUG=False, SECRET_KEY="s" * 50, ALLOWED_HOSTS=["*"], ROOT_URLCONF="serve",
    INSTALLED_APPS=["django.contrib.sessions", "channels"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware",
                "django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware",
                "django.middleware.http.ConditionalGetMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()

from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import SessionMiddlewareStack
from django.core.asgi import get_asgi_application
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.urls import path

done = []

async def index(request):
    return HttpResponse("index")

def sync(request):
    return HttpResponse("sync")

async def slow(request):
    await asyncio.sleep(0.2)
    return HttpResponse("slow")

async def stream(request):
    async def parts():
        for n in range(100):
            yield f"{n}\\n" * 100
    return StreamingHttpResponse(parts())

async def error(request):
    raise RuntimeError("raised in a view")

def meta(request):
    names = ("REQUEST_METHOD", "QUERY_STRING", "SCRIPT_NAME", "PATH_INFO", "SERVER_NAME",
             "REMOTE_ADDR", "REMOTE_HOST", "CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_ACCEPT")
    seen = {n: str(request.META.get(n)) for n in names}
    return JsonResponse(seen | {"url": request.get_full_path(), "body": len(request.body)})

def download(request):
    return FileResponse(open("serve.py", "rb"), as_attachment=True)

def form(request):
    if request.method == "POST":
        return JsonResponse({"size": request.FILES["file"].size, "name": request.POST["name"]})
    token = get_token(request)
    return HttpResponse(f'<input type="hidden" name="csrfmiddlewaretoken" value="{token}">')

def login(request):
    request.session["name"] = "ann"
    return HttpResponse("in")

async def me(request):
    return HttpResponse(await request.session.aget("name", "nobody"))

async def was_done(request):
    return JsonResponse(done, safe=False)

urlpatterns = [path("", index), path("sync", sync), path("slow", slow), path("stream", stream),
               path("error", error), path("meta", meta), path("download", download),
               path("form", form), path("login", login), path("me", me), path("done", was_done)]

class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("room", self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        done.append(f"left {code}")
        await self.channel_layer.group_discard("room", self.channel_name)

    async def receive_json(self, content):
        await self.channel_layer.group_send("room", {"type": "said", "content": content})

    async def said(self, event):
        await self.send_json(event["content"])

class Echo(WebsocketConsumer):
    def connect(self):
        self.accept("b" if "b" in self.scope["subprotocols"] else None)

    def receive(self, text_data=None, bytes_data=None):
        if text_data == "close":
            return self.close(4002, "asked")
        if text_data == "raise":
            raise RuntimeError("raised in a consumer")
        self.send(text_data=text_data, bytes_data=bytes_data)

    def disconnect(self, code):
        done.append(f"echo left {code}")

class Refuse(WebsocketConsumer):
    def connect(self):
        self.close()

application = ProtocolTypeRouter({
    "http": get_asgi_application(),
    "websocket": SessionMiddlewareStack(URLRouter([
        path("chat", Chat.as_asgi()), path("echo", Echo.as_asgi()),
        path("refuse", Refuse.as_asgi()),
    ])),
})
""",
        "talk.py": TALK
        + """
async def main():
    await talk("/chat", '{"a": 1}', '{"b": "' + "ä" * 40_000 + '"}')
    await talk("/echo", "one", b"two", subprotocols=["a", "b"], close=4444)
    await talk("/echo", "close", receive=1)
    await talk("/echo", "raise", receive=1)
    await talk("/refuse")
    await talk("/missing")
    async with websockets.connect(URL + "/chat") as a:
        a.transport.abort()
    await asyncio.sleep(0.5)
asyncio.run(main())
""",
    },
    workers=ASGI,
    visit=use_channels,
)


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

SOCKETIO = Application(
    name="socketio",
    install=("python-socketio", "aiohttp"),
    target=("serve:app",),
    pages=("/", "/socket.io/?EIO=3&transport=polling"),
    files={
        "serve.py": """
import socketio

sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*", ping_interval=2)

@sio.event
async def connect(sid, environ, auth):
    if auth == "wrong":
        raise socketio.exceptions.ConnectionRefusedError("no")
    await sio.enter_room(sid, "room")

@sio.event
async def say(sid, data):
    await sio.emit("said", data, room="room")
    return "heard"

@sio.event
async def fail(sid):
    raise RuntimeError("raised in an event")

app = socketio.ASGIApp(sio, static_files={"/": "index.html"})
""",
        "index.html": "<p>index</p>",
        "talk.py": """
import asyncio, os, socketio

async def talk(transports):
    client, said = socketio.AsyncClient(reconnection=False), []
    client.on("said", said.append)
    await client.connect(os.environ["URL"], transports=transports, wait_timeout=20)
    print(client.transport(), await client.call("say", {"text": "hello", "bytes": b"x" * 1000}))
    print(await client.call("say", "y" * 200_000))
    await asyncio.sleep(3)  # over a ping
    print([str(s)[:40] for s in said], client.transport(), client.connected)
    await client.disconnect()

async def main():
    for transports in (["polling"], ["websocket"], ["polling", "websocket"]):
        await talk(transports)
    try:
        await socketio.AsyncClient(reconnection=False).connect(os.environ["URL"], auth="wrong")
    except socketio.exceptions.ConnectionError as e:
        print("refused", e)
asyncio.run(main())
""",
    },
    workers=ASGI,
    visit=lambda v: v.program("talk.py"),
)

STRAWBERRY = Application(
    name="strawberry",
    install=("strawberry-graphql", "starlette", "websockets"),
    target=("serve:app",),
    pages=("/graphql", "/graphql?query={hello}"),
    files={
        "serve.py": """
import asyncio
from collections.abc import AsyncGenerator
import strawberry
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute
from strawberry.asgi import GraphQL

@strawberry.type
class Query:
    @strawberry.field
    def hello(self) -> str:
        return "world"

@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int = 3) -> AsyncGenerator[int, None]:
        for n in range(to):
            yield n
            await asyncio.sleep(0.01)

graphql = GraphQL(strawberry.Schema(Query, subscription=Subscription))
app = Starlette(routes=[Route("/graphql", graphql), WebSocketRoute("/graphql", graphql)])
""",
        "talk.py": TALK
        + """
def subscribe(name, to):
    query = "subscription { count(to: %d) }" % to
    return json.dumps({"id": name, "type": "subscribe", "payload": {"query": query}})

async def main():
    protocols = ["graphql-transport-ws"]
    begin = json.dumps({"type": "connection_init"})
    await talk("/graphql", begin, subscribe("1", 4), receive=6, subprotocols=protocols)
    await talk("/graphql", begin, subscribe("1", 1000), receive=4, subprotocols=protocols)
    await talk("/graphql", subscribe("1", 4), receive=1, subprotocols=protocols)
    await talk("/graphql", "not json", receive=1, subprotocols=protocols)
    await talk("/graphql", begin, receive=1, subprotocols=["unknown"])
    await talk("/graphql", begin, receive=1, subprotocols=["graphql-ws"])
asyncio.run(main())
""",
    },
    workers=ASGI,
    visit=lambda v: (v.json("POST", "/graphql", {"query": "{ hello }"}), v.program("talk.py")),
)

DATASETTE = Application(
    name="datasette",
    install=("datasette",),
    target=("serve:app",),
    pages=("/", "/data/things", "/data/things.json", "/-/versions.json"),
    static="/-/static/app.css",
    files={
        "serve.py": """
from datasette.app import Datasette
app = Datasette(["$STATE/data.db"], settings={"num_sql_threads": 1}).app()
""",
        "fill.py": """
import sqlite3
with sqlite3.connect("data.db") as db:
    db.execute("create table things (id integer primary key, name text)")
    db.executemany("insert into things (name) values (?)", [(f"thing {n}",) for n in range(5000)])
""",
    },
    prepare=("python fill.py",),
    workers=ASGI,
    visit=lambda v: [
        v.get(p)
        for p in (
            "/data/things.csv?_stream=on&_size=max",
            "/data/things/7",
            "/data?sql=select+1",
            "/data.db",
            "/data/things.json?_size=1000",
            "/data/missing",
        )
    ],
    accepted=((r"log: │", "its tracebacks have boxes with the scope"),),
)

MCP = Application(
    name="mcp",
    install=("mcp<2",),
    target=("serve:app",),
    pages=("/mcp",),
    files={
        "serve.py": """
import contextlib
from mcp.server.fastmcp import Context, FastMCP
from starlette.applications import Starlette
from starlette.routing import Mount

mcp = FastMCP("side by side")

@mcp.tool()
async def add(a: int, b: int, context: Context) -> int:
    await context.report_progress(1, 2)
    await context.info("adding")
    return a + b

@mcp.tool()
async def fail() -> str:
    raise RuntimeError("raised in a tool")

@mcp.resource("thing://{name}")
def thing(name: str) -> str:
    return name * 3

streamable, events = mcp.streamable_http_app(), mcp.sse_app()

@contextlib.asynccontextmanager
async def lifespan(app):
    async with mcp.session_manager.run():
        yield

app = Starlette(routes=[*events.routes, *streamable.routes], lifespan=lifespan)
""",
        "talk.py": """
import asyncio, os
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamablehttp_client

async def use(streams):
    async with ClientSession(*streams[:2]) as session:
        print((await session.initialize()).serverInfo.name)
        print([tool.name for tool in (await session.list_tools()).tools])
        for n in range(20):
            result = await session.call_tool("add", {"a": n, "b": 2})
        print(result.content, (await session.call_tool("fail", {})).content)
        print((await session.read_resource("thing://abc")).contents[0].text)

async def main():
    async with streamablehttp_client(os.environ["URL"] + "/mcp") as streams:
        await use(streams)
    async with sse_client(os.environ["URL"] + "/sse") as streams:
        await use(streams)
asyncio.run(main())
""",
    },
    workers=ASGI,
    visit=lambda v: v.program("talk.py"),
)

NICEGUI = Application(
    name="nicegui",
    install=("nicegui",),
    target=("serve:app",),
    pages=("/", "/other"),
    static="/_nicegui/VERSION/static/nicegui.css",
    files={
        "serve.py": """
from fastapi import FastAPI
from nicegui import ui

app = FastAPI()

@ui.page("/")
def index():
    ui.label("hello")
    ui.button("press", on_click=lambda: ui.notify("pressed"))

@ui.page("/other")
async def other():
    ui.label("other")

ui.run_with(app)
""",
    },
    workers=ASGI,
)

APPLICATIONS = (FASTAPI, STARLETTE, CHANNELS, QUART, LITESTAR) + (
    SOCKETIO,
    STRAWBERRY,
    DATASETTE,
    MCP,
    NICEGUI,
)
