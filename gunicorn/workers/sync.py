"""The default worker: one request at a time, any number of connections."""

from gunicorn import _core
from gunicorn.http import _bridge  # noqa: F401 - loaded before the fork, shared by all workers
from gunicorn.workers import _overrides
from gunicorn.workers.base import Worker


class StopWaiting(Exception):
    """Ends the wait for a client, in gunicorn: kept for `except`. The engine waits itself."""


class SyncWorker(Worker):
    """Runs the application in the main thread, one request after the other.

    Slow and idle clients do not occupy it: the engine hands on whole requests, and takes whole
    answers.
    """

    uses_engine = True
    multithread = False

    def run(self) -> None:
        """Serve until the worker has to stop."""
        _overrides.warn_of_wrapped(self)
        self._engine = _core.Engine(self)
        try:
            self.rehearse(self._engine)
            self._engine.run()
        finally:
            self._engine = None

    @_overrides.plain
    def handle_request(self, listener, req, client, addr) -> None:
        """Run the application for one request and send its answer.

        For subclasses: one that overrides it does more before and after, or catches the
        application's exceptions. `listener` is the socket that was connected to, `req` the request
        as hooks see it, `client` is `environ["gunicorn.socket"]`, `addr` the client's (host, port).
        """
        req._proceed(req, addr, listener.getsockname(), client)

    def pass_request(self, listener, req, client) -> None:
        """Call `handle_request` for the engine, which does so when it is a subclass's."""
        self.handle_request(listener, req, client, req.peer_addr)
