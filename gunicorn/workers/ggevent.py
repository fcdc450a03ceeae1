"""The gevent worker: a greenlet for each request, up to `worker_connections` clients."""

from __future__ import annotations

import importlib

from gunicorn import __version__
from gunicorn.workers.loop_host import require

require("gevent", (24, 10, 1))

import gevent.event  # noqa: E402
import gevent.hub  # noqa: E402
import gevent.monkey  # noqa: E402

from gunicorn.workers._greenlet import GreenletWorker, RequestGreenlet  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class GeventWorker(GreenletWorker):
    """Runs the application in greenlets, over a standard library that gevent has patched."""

    name = "gevent"
    shared_modules = (
        "gevent.local", "gevent.lock", "gevent.queue", "gevent.select",
        "gevent.selectors", "gevent.signal", "gevent.socket", "gevent.ssl", "gevent.time",
    )  # fmt: skip
    _hub: Any = None
    spawn_greenlet = staticmethod(gevent.spawn)
    kill_greenlet = staticmethod(gevent.kill)

    @staticmethod
    def is_patched() -> bool:
        """Return whether the standard library is patched already."""
        return gevent.monkey.is_module_patched("socket")

    def patch(self) -> None:
        """Replace blocking functions of the standard library by gevent's."""
        gevent.monkey.patch_all()

    def init_process(self) -> None:
        """Patch, in the new process and before the application is imported; then go on."""
        self.patch()
        gevent.hub.reinit()
        super().init_process()

    @staticmethod
    def leave_to_others() -> None:
        """Switch to the hub, not to be resumed."""
        gevent.get_hub().switch()

    def disown(self) -> None:
        """In a process that the application has forked: give up the worker's own resources."""
        super().disown()
        if self._hub is None or gevent.get_hub() is not self._hub:
            return
        gevent.hub.reinit()  # first: before, the loop watches the parent's descriptors
        for watcher in self._watchers:
            watcher.stop()
        self._watchers.clear()

    # ---- the loop ----

    def run(self) -> None:
        """Serve until the worker has to stop."""
        self._hub = gevent.get_hub()
        self._watchers: set[Any] = set()  # of descriptors that a child does not have
        self._ended = gevent.event.Event()
        super().run()

    def watch(self, fd, callback) -> None:
        watcher = self._hub.loop.io(fd, 1)
        watcher.start(callback)
        self._watchers.add(watcher)

    def start(self, function) -> None:
        RequestGreenlet(function, self._hub).switch()

    def call_later(self, seconds, function) -> None:
        gevent.spawn_later(seconds, function)

    def run_loop(self) -> None:
        self._ended.wait()

    def end_loop(self) -> None:
        self._ended.set()

    def interrupt(self, coroutine, serial) -> None:
        self._hub.loop.run_callback(self.end_overdue, coroutine, serial)

    def wait(self, fd, write, seconds) -> bool:
        if fd < 0:
            gevent.sleep(seconds)
            return False
        watcher = self._hub.loop.io(fd, 2 if write else 1)
        self._watchers.add(watcher)
        try:
            with gevent.Timeout(seconds, False):
                self._hub.wait(watcher)
                return True
            return False
        finally:
            self._watchers.discard(watcher)
            watcher.close()


class GeventPyWSGIWorker(GeventWorker):
    """The same under gunicorn's second name for it.

    A subclass that sets `wsgi_handler`, a `gevent.pywsgi.WSGIHandler`, or `server_class`, a
    `gevent.pywsgi.WSGIServer`, is served by gevent's own server with them: WebSocket packages for
    gevent define such workers.
    """

    server_class: type | None = None
    wsgi_handler: type | None = None

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        cls.uses_engine = cls.server_class is None and cls.wsgi_handler is None

    def run(self) -> None:
        """Serve until the worker has to stop."""
        if self.uses_engine:
            super().run()
            return
        from gunicorn.workers import _pywsgi

        _pywsgi.serve(self)


# gunicorn's names for the classes that others extend and replace, imported when asked for.
_ELSEWHERE = {
    "PyWSGIHandler": "gunicorn.workers._pywsgi:PyWSGIHandler",
    "PyWSGIServer": "gunicorn.workers._pywsgi:PyWSGIServer",
    "Pool": "gevent.pool:Pool",
    "StreamServer": "gevent.server:StreamServer",
    "base_environ": "gunicorn.http.wsgi:base_environ",
    "hub": "gevent.hub",
    "monkey": "gevent.monkey",
    "pywsgi": "gevent.pywsgi",
    "socket": "gevent.socket",
    "ssl_context": "gunicorn.sock:ssl_context",
}


def __getattr__(name):
    if name == "VERSION":
        return f"gevent/{gevent.__version__} gunicorn/{__version__}"
    module, _, attribute = _ELSEWHERE.get(name, "").partition(":")
    if not module:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found
