"""Django with Channels."""

from __future__ import annotations

from applications import Application
from visit import Visitor

from asgi.client import ASGI, TALK


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
