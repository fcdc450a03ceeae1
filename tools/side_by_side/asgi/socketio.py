"""Socket.IO."""

from __future__ import annotations

from applications import Application

from asgi.client import ASGI

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
