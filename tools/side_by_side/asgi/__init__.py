"""The ASGI applications. Programs of theirs are clients: what they print is compared."""

from asgi.channels import CHANNELS
from asgi.datasette import DATASETTE
from asgi.fastapi import FASTAPI
from asgi.litestar import LITESTAR
from asgi.mcp import MCP
from asgi.nicegui import NICEGUI
from asgi.quart import QUART
from asgi.socketio import SOCKETIO
from asgi.starlette import STARLETTE
from asgi.strawberry import STRAWBERRY

APPLICATIONS = (
    FASTAPI,
    STARLETTE,
    CHANNELS,
    QUART,
    LITESTAR,
    SOCKETIO,
    STRAWBERRY,
    DATASETTE,
    MCP,
    NICEGUI,
)
