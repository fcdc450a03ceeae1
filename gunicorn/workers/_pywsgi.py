"""gevent's own WSGI server, for worker classes that bring a handler or a server made for it.

WebSocket packages for gevent do: their handler takes the place of `gevent.pywsgi.WSGIHandler`.
The engine's treatment of slow clients, bodies and bounds is missing here.
"""

import os
from datetime import timedelta
from types import SimpleNamespace

import gevent
import gevent.pool
import gevent.pywsgi
import gevent.socket

from gunicorn import _tls
from gunicorn.http import wsgi

TICK = 1.0  # seconds between looks at whether to stop, and signs of life


class PyWSGIHandler(gevent.pywsgi.WSGIHandler):
    """gevent's handler with gunicorn's part of the environ: a base for `wsgi_handler`."""

    def get_environ(self):
        environ = super().get_environ()
        environ["gunicorn.sock"] = self.socket
        environ["RAW_URI"] = self.path
        return environ


class PyWSGIServer(gevent.pywsgi.WSGIServer):
    """gevent's server: a base for `server_class`."""


class _Served:
    """Added to each handler: hooks for the access log and for stopping."""

    service: "_Service"

    def get_environ(self):
        environ = super().get_environ()
        environ.setdefault("gunicorn.sock", self.socket)
        environ.setdefault("RAW_URI", self.path)
        return environ

    def log_request(self):
        self.service.log(self)

    def handle_one_response(self):
        self.service.running += 1
        try:
            return super().handle_one_response()
        finally:
            self.service.running -= 1
            self.service.count()


class _Service:
    """The servers of one worker, one for each of its sockets."""

    def __init__(self, worker) -> None:
        self.worker = worker
        self.running = 0  # requests
        pool = gevent.pool.Pool(worker.cfg.worker_connections)
        server_class = worker.server_class or gevent.pywsgi.WSGIServer
        handler = worker.wsgi_handler or server_class.handler_class
        options = {"ssl_context": _tls.make_context(worker.cfg)} if worker.cfg.is_ssl else {}
        self.servers = [
            server_class(
                gevent.socket.socket(fileno=os.dup(sock.fileno())),
                application=worker.wsgi,
                spawn=pool,
                log=None,
                error_log=worker.log.error_log,
                handler_class=type(handler.__name__, (_Served, handler), {"service": self}),
                environ={
                    "SERVER_SOFTWARE": wsgi.server_software(),
                    "wsgi.multithread": True,
                    "wsgi.multiprocess": worker.cfg.workers > 1,
                },
                **options,
            )
            for sock in worker.sockets
        ]

    def log(self, handler) -> None:
        begun, ended = handler.time_start, handler.time_finish
        status = str(handler._orig_status or handler.status or "000")
        answer = SimpleNamespace(
            status=status,
            status_code=int(status.split()[0]),
            headers=list(getattr(handler, "response_headers", None) or ()),
            sent=handler.response_length,
        )
        request = SimpleNamespace(headers=[])
        taken = timedelta(seconds=ended - begun if ended else 0)
        self.worker.log.access(answer, request, handler.environ, taken)

    def count(self) -> None:
        worker = self.worker
        worker.nr += 1
        if worker.nr >= worker.max_requests and worker.alive:
            worker.log.info("Autorestarting worker after current request.")
            worker.alive = False

    def run(self) -> None:
        for server in self.servers:
            server.start()
        while self.worker.alive and self.worker.ppid == os.getppid():
            self.worker.notify()
            gevent.sleep(TICK)
        for server in self.servers:
            server.close()
        with gevent.Timeout(self.worker.cfg.graceful_timeout, False):
            while self.running:
                self.worker.notify()
                gevent.sleep(TICK / 10)
        for server in self.servers:
            server.stop(timeout=TICK)


def serve(worker) -> None:
    """Serve by gevent's server until `worker.alive` is false or its master has died."""
    _Service(worker).run()
