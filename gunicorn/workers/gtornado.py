"""The tornado worker: WSGI callables and `tornado.web.Application` in tornado's loop."""

import asyncio
import os

from gunicorn import __version__
from gunicorn.workers.loop_host import LoopWorker, require

require("tornado", (6, 5, 0))

import tornado.httpserver  # noqa: E402
import tornado.web  # noqa: E402
import tornado.wsgi  # noqa: E402
from tornado.ioloop import IOLoop, PeriodicCallback  # noqa: E402

BEAT_MS = 1000.0
BEATS_TO_LOOK = 10  # at the certificate's files
PRODUCT = f" (Gunicorn/{__version__})"


class TornadoWorker(LoopWorker):
    """Serves a WSGI callable by our engine, a `tornado.web.Application` by tornado's own server.

    A WSGI callable runs in the loop's thread, one request at a time, between the loop's other
    callbacks. The other workers' rules for connections, time-outs and the access log hold
    for it, and not for tornado's server.
    """

    multithread = False
    name = "tornado"

    @classmethod
    def setup(cls) -> None:
        """Have tornado's `Server` field name gunicorn, too."""
        handler = tornado.web.RequestHandler
        if getattr(handler.clear, "names_gunicorn", False):
            return
        clear = handler.clear

        def clear_and_name(self):
            clear(self)
            self._headers["Server"] += PRODUCT

        clear_and_name.names_gunicorn = True
        handler.clear = clear_and_name

    def init_process(self) -> None:
        """Forget a loop of the master, which cannot be used in two processes; then go on."""
        asyncio.set_event_loop(None)
        super().init_process()

    def run(self) -> None:
        """Serve until the worker has to stop."""
        self.ioloop = IOLoop.current()
        self._over = False
        if isinstance(self.wsgi, tornado.web.Application):
            if self.cfg.warmup:
                self.log.warning("warmup: a tornado.web.Application is not warmed up")
                self.ready()
            _ApplicationServer(self).run()
            return
        if isinstance(self.wsgi, tornado.wsgi.WSGIContainer):
            self.wsgi = self.wsgi.wsgi_application
        super().run()

    # ---- the loop ----

    def watch(self, fd, callback) -> None:
        self.ioloop.asyncio_loop.add_reader(fd, callback)

    def call_later(self, seconds, function) -> None:
        self.ioloop.call_later(seconds, function)

    def run_loop(self) -> None:
        if not self._over:
            self.ioloop.start()

    def end_loop(self) -> None:
        self._over = True
        self.ioloop.stop()

    def abort_requests(self) -> None:
        """No request can run while the loop does."""


class _ApplicationServer(tornado.httpserver.HTTPServer):
    """Tornado's server for one worker: it counts requests, and stops when they are answered."""

    def initialize(self, worker) -> None:
        super().initialize(
            worker.wsgi,
            no_keep_alive=worker.cfg.keepalive <= 0,
            ssl_options=None if worker.tls is None else worker.tls.context,
        )
        self.worker = worker
        self._beats = 0
        self._running = set()  # connections with a request that is not answered yet
        self._stopping = False

    def run(self) -> None:
        worker = self.worker
        worker.watch(worker.PIPE[0], self._signalled)
        if worker.master_pipe >= 0:
            worker.watch(worker.master_pipe, self._orphaned)
        for sock in worker.sockets:
            sock.setblocking(False)
        self.add_sockets(worker.sockets)
        beat = PeriodicCallback(self._beat, BEAT_MS)  # a blocked loop is noticed by the master
        beat.start()
        worker.notify()
        self._signalled()  # a signal came while it started
        worker.run_loop()

    def _beat(self) -> None:
        self.worker.notify()
        self._beats += 1
        if self.worker.tls is not None and self._beats % BEATS_TO_LOOK == 0:
            self.ssl_options = self.worker.tls.renew(self.worker.log) or self.ssl_options

    def start_request(self, server_conn, request_conn):
        worker = self.worker
        worker.nr += 1
        if worker.nr == worker.max_requests:
            self._retire()
        self._running.add(server_conn)
        finish = request_conn.finish

        def finished():
            finish()
            self._answered(server_conn)

        request_conn.finish = finished
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn) -> None:
        super().on_close(server_conn)
        self._answered(server_conn)

    def _answered(self, server_conn) -> None:
        self._running.discard(server_conn)
        if self._stopping and not self._running:
            self.worker.call_later(0, self.worker.end_loop)

    def _retire(self) -> None:
        self.worker.log.info("Autorestarting worker after current request.")
        if self.worker.slot is not None:
            self.worker.slot.retire()  # the master stops it when the successor is ready
        else:
            self.worker.alive = False
            self._stop()

    def _orphaned(self) -> None:
        self.worker.ioloop.asyncio_loop.remove_reader(self.worker.master_pipe)
        self.worker.log.info("Parent changed, shutting down")
        self._stop()

    def _signalled(self) -> None:
        try:
            while os.read(self.worker.PIPE[0], 64):
                pass
        except BlockingIOError:
            pass
        if not self.worker.alive:
            self._stop()

    def _stop(self) -> None:
        """Take no new connections; end when no request runs, at the latest when patience ends."""
        if self._stopping:
            return
        self._stopping = True
        self.stop()
        if not self._running:
            self.worker.end_loop()
        self.worker.call_later(self.worker.patience(), self._give_up)

    def _give_up(self) -> None:
        self.worker.log.warning("Worker graceful timeout (pid:%s)", self.worker.pid)
        self.worker.end_loop()
