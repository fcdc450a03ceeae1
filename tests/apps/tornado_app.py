"""A WSGI application beside callbacks of its own in the loop, and an application of tornado's."""

import asyncio
import os

import tornado.ioloop
import tornado.web
import tornado.websocket

TICKS = []


def wsgi(environ, start_response):
    if not TICKS:
        TICKS.append(0)
        tornado.ioloop.PeriodicCallback(tick, 50).start()
    body = str(TICKS[0]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def tick():
    TICKS[0] += 1


class Page(tornado.web.RequestHandler):
    async def get(self):
        gate = self.get_argument("gate", None)
        if gate:
            reader, writer = await asyncio.open_unix_connection(gate)
            await reader.read(1)
            writer.close()
        self.write(str(os.getpid()))


class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)


application = tornado.web.Application([("/echo", Echo), ("/.*", Page)])
