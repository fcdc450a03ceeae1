"""A worker that reads its clients by gunicorn's parser, in Python, one connection at a time."""

import select

from gunicorn import http, util
from gunicorn.http import wsgi
from gunicorn.workers.base import Worker
from gunicorn.workers.sync import StopWaiting


class ReadingWorker(Worker):
    """Written for gunicorn's interface alone."""

    def run(self):
        for listener in self.sockets:
            listener.setblocking(True)
        while self.alive:
            self.notify()
            try:
                self.wait()
            except StopWaiting:
                return

    def wait(self):
        ready, _, _ = select.select([*self.sockets, self.PIPE[0]], [], [], self.timeout or 1)
        if self.PIPE[0] in ready:
            raise StopWaiting
        for listener in ready:
            client, address = listener.accept()
            self.handle(listener, client, address)

    def handle(self, listener, client, address):
        req = None
        try:
            for req in http.RequestParser(self.cfg, client, address):
                name = listener.getsockname()
                resp, environ = wsgi.create(req, client, address, name, self.cfg)
                for data in self.wsgi(environ, resp.start_response):
                    resp.write(data)
                resp.close()
        except Exception as exc:
            self.handle_error(req, client, address, exc)
        finally:
            util.close(client)


def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Path", environ["PATH_INFO"])])
    return [body, b"!"]
