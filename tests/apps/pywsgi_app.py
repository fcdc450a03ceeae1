"""A worker with a handler of gevent's server, as WebSocket packages for gevent define one."""

import gevent.pywsgi
from helpers.gate import pass_gate

from gunicorn.workers.ggevent import GeventPyWSGIWorker, PyWSGIHandler, PyWSGIServer


class Handler(gevent.pywsgi.WSGIHandler):
    """Gives the application what its protocol needs."""

    def get_environ(self):
        return {**super().get_environ(), "handler": "ours"}


class OwnWorker(GeventPyWSGIWorker):
    """Served by gevent."""

    wsgi_handler = Handler


class RawHandler(PyWSGIHandler):
    """The same by gunicorn's own name for the handler."""

    def get_environ(self):
        environ = super().get_environ()
        return {**environ, "handler": environ["RAW_URI"]}


class RawServer(PyWSGIServer):
    """By gunicorn's own name for the server."""


class RawWorker(GeventPyWSGIWorker):
    """Served by gevent."""

    server_class = RawServer
    wsgi_handler = RawHandler


class PlainWorker(GeventPyWSGIWorker):
    """Served by the engine."""


def app(environ, start_response):
    if "HTTP_X_GATE" in environ:
        pass_gate(environ["HTTP_X_GATE"])
    body = f"{environ.get('handler')} {environ['SERVER_SOFTWARE']}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
