"""The threaded worker: `threads` requests at a time, any number of connections."""

import contextlib
import os
import threading
import time

from gunicorn import _core
from gunicorn.http import _bridge  # noqa: F401 - loaded before the fork, shared by all workers
from gunicorn.workers import _overrides
from gunicorn.workers.base import Worker

LOOK = 0.02  # seconds between two looks whether requests still run
THREADS_END = 1.0  # seconds in which threads without a request see that the engine has stopped


class TConn:
    """A client's connection during one request, for subclasses of ThreadWorker.

    `sock` is `environ["gunicorn.socket"]`, `client` the peer's address, `server` the listener's:
    a change of a subclass is in the application's environ. The rest is as gunicorn has it
    while a request runs.
    """

    timeout = None
    parser = None
    initialized = True
    is_http2 = False
    data_ready = True

    def __init__(self, cfg, sock, client, server) -> None:
        self.cfg = cfg
        self.sock = sock
        self.client = client
        self.server = server

    def init(self) -> None:
        """Nothing: the engine has done it."""

    def set_timeout(self) -> None:
        """Set `timeout` to when an idle client would be left, which the engine does by itself."""
        self.timeout = time.monotonic() + self.cfg.keepalive

    def wait_for_data(self, timeout) -> bool:
        """Return at once: the request is here."""
        return True

    def close(self, graceful=False) -> None:
        """Close the client's socket."""
        self.sock.close()


class ThreadWorker(Worker):
    """Runs the application in `threads` threads; the main thread looks after signals."""

    uses_engine = True
    multithread = True

    @classmethod
    def check_config(cls, cfg, log) -> None:
        """Warn about settings that do not fit together."""
        if cfg.threads >= cfg.worker_connections and cfg.keepalive:
            log.warning("No keepalived connections can be handled. Check the number of "
                        "worker connections and threads.")  # fmt: skip

    def run(self) -> None:
        """Serve until the worker has to stop."""
        _overrides.warn_of_wrapped(self)
        self._engine = engine = _core.Engine(self, self.cfg.threads)
        threads = [threading.Thread(target=self._serve, args=(engine,), name=f"request-{n}",
                                    daemon=True)
                   for n in range(1, self.cfg.threads + 1)]  # fmt: skip
        self.rehearse(engine)
        for thread in threads:  # with no signal blocked: their child processes would inherit that
            thread.start()
        try:
            while engine.wait():
                if not self.alive:
                    engine.drain()
        finally:
            engine.stop()
            self._engine = None
        self._await_threads(engine, threads)

    def _await_threads(self, engine, threads) -> None:
        """Let the requests that run end, within `graceful_timeout`, and their threads."""
        idle_since = time.monotonic()
        until = idle_since + self.cfg.graceful_timeout
        while any(thread.is_alive() for thread in threads) and (now := time.monotonic()) < until:
            if engine.running():
                idle_since = now
            elif now > idle_since + THREADS_END:
                # One may wait in a loop whose descriptor the application has closed: it never ends.
                break
            time.sleep(LOOK)

    def _serve(self, engine) -> None:
        try:
            engine.run()
        finally:
            with contextlib.suppress(OSError):  # the application may have closed it
                os.write(self.PIPE[1], b"\0")  # the main thread looks whether that was the end

    @_overrides.plain
    def handle_request(self, req, conn) -> bool:
        """Run the application for one request and send its answer.

        For subclasses: one that overrides it does more before and after, or catches the
        application's exceptions. `req` is the request as hooks see it, `conn` a TConn.

        Returns whether the client asked for the connection to be kept; the result of an override
        has no effect.
        """
        req._proceed(req, conn.client, conn.server, conn.sock)
        return not req.should_close()

    def pass_request(self, listener, req, client) -> None:
        """Call `handle_request` for the engine, which does so when it is a subclass's."""
        conn = TConn(self.cfg, client, req.peer_addr, listener.getsockname())
        self.handle_request(req, conn)
