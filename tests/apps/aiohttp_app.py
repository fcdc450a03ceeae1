"""An application for aiohttp's worker."""

import os

from aiohttp import web


async def page(request):
    return web.Response(text=f"{os.getpid()} {request.scheme}")


async def app():
    """A runner of its own, as aiohttp allows: a stop waits a second for clients.

    By default it waits 95 % of graceful_timeout, after up to a second in which the worker notices
    that it is to end; a client that is accepted at that moment can take all of it.
    """
    application = web.Application()
    application.router.add_get("/", page)
    return web.AppRunner(application, shutdown_timeout=1)
