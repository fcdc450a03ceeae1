"""An application for aiohttp's worker."""

import os

from aiohttp import web


async def page(request):
    assert request.secure
    return web.Response(text=str(os.getpid()))


app = web.Application()
app.router.add_get("/", page)
