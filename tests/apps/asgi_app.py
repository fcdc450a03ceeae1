"""An application for uvicorn's worker."""

import os


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = f"{os.getpid()} {scope['scheme']}".encode()
    fields = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
