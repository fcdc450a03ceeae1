"""An application for aiohttp's worker."""

import os

from aiohttp import web


async def page(request):
    return web.Response(text=f"{os.getpid()} {request.scheme}")


app = web.Application()
app.router.add_get("/", page)
