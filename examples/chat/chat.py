"""A chat over WebSocket: ``make run APP=chat``, or ``gunicorn -c gunicorn.conf.py chat:app`` here.

Each client has a queue, from which one task sends; another task receives. A message goes to all
workers through their meeting place, and each worker puts it into the queues of its clients.
"""

import asyncio
import contextlib
import json
import os
from pathlib import Path

from meeting import Meeting
from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

DIRECTORY = Path(os.environ["CHAT_DIRECTORY"])
INDEX = Path(__file__).with_name("index.html")
LONGEST_TEXT = 2000  # characters
LONGEST_NAME = 40
WAITING = 100  # messages that may wait for a slow client

queues: set[asyncio.Queue] = set()


def deliver(message):
    """Put a message into the queue of each client; a client that does not keep up misses it."""
    for queue in queues:
        with contextlib.suppress(asyncio.QueueFull):
            queue.put_nowait(message)


@contextlib.asynccontextmanager
async def lifespan(app):
    with Meeting(DIRECTORY, deliver) as meeting:
        yield {"meeting": meeting}


async def send_all(websocket, queue):
    await websocket.send_json({"worker": os.getpid(), "here": len(queues)})
    while True:
        await websocket.send_text(await queue.get())


async def receive_all(websocket, meeting):
    name = websocket.query_params.get("name", "")[:LONGEST_NAME] or "somebody"
    async for text in websocket.iter_text():
        meeting.publish(
            json.dumps({"name": name, "text": text[:LONGEST_TEXT], "worker": os.getpid()})
        )


async def chat(websocket):
    await websocket.accept()
    queue = asyncio.Queue(WAITING)
    queues.add(queue)
    sending = asyncio.create_task(send_all(websocket, queue))
    try:
        await receive_all(websocket, websocket.state.meeting)
    finally:
        queues.discard(queue)
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect):
            await sending


async def page(request):
    return FileResponse(INDEX)


async def workers(request):
    """The workers, as the master's status port describes them: see gunicorn.conf.py."""
    try:
        reader, writer = await asyncio.open_unix_connection(DIRECTORY / "status")
        writer.write(b"GET /workers HTTP/1.0\r\n\r\n")
        _, _, body = (await asyncio.wait_for(reader.read(), 2)).partition(b"\r\n\r\n")
        writer.close()
        return JSONResponse(json.loads(body))
    except (OSError, ValueError, TimeoutError, asyncio.TimeoutError) as exc:
        return JSONResponse({"error": str(exc)}, 503)


app = Starlette(
    routes=[Route("/", page), Route("/workers", workers), WebSocketRoute("/chat", chat)],
    lifespan=lifespan,
)
