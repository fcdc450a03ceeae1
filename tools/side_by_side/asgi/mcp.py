"""The MCP SDK."""

from __future__ import annotations

from applications import Application

from asgi.client import ASGI

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
