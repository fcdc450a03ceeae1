"""The gevent worker: a greenlet for each request, up to `worker_connections` clients."""

import os

from gunicorn.errors import ConfigError
from gunicorn.workers.loop_host import LoopWorker, version_of

MINIMUM = (24, 10, 1)

try:
    import gevent
except ImportError:
    raise ConfigError(
        "worker_class: the gevent worker needs the package gevent: pip install monoceros[gevent]"
    ) from None
if version_of(gevent.__version__) < MINIMUM:
    raise ConfigError(
        "worker_class: the gevent worker needs gevent 24.10.1 or newer, and "
        f"{gevent.__version__} is installed: pip install -U monoceros[gevent]"
    )

import gevent.event  # noqa: E402
import gevent.hub  # noqa: E402
import gevent.monkey  # noqa: E402
from greenlet import GreenletExit, getcurrent  # noqa: E402

from gunicorn.workers._greenlet import RequestGreenlet, running_requests  # noqa: E402


class GeventWorker(LoopWorker):
    """Runs the application in greenlets, over a standard library that gevent has patched.

    What blocks in the application lets others run, if it goes through the standard library's
    sockets, locks, sleep and the like.
    """

    name = "gevent"
    quiet_exceptions = (GreenletExit,)

    @classmethod
    def check_config(cls, cfg, log) -> None:
        """Warn when the application is imported before gevent can patch what it uses."""
        if cfg.preload_app and not gevent.monkey.is_module_patched("socket"):
            log.warning(
                "preload_app: the application is imported before gevent patches the standard "
                "library. What it took from there by name, or opened, will block the whole worker."
            )

    def patch(self) -> None:
        """Have gevent take the place of what blocks in the standard library."""
        gevent.monkey.patch_all()

    def init_process(self) -> None:
        """Patch, in the new process and before the application is imported; then go on."""
        self.patch()
        gevent.hub.reinit()
        super().init_process()

    # ---- the loop ----

    def run(self) -> None:
        """Serve until the worker is told to stop."""
        self._hub = gevent.get_hub()
        self._watchers = []
        self._ended = gevent.event.Event()
        super().run()

    def watch(self, fd, callback) -> None:
        watcher = self._hub.loop.io(fd, 1)
        watcher.start(callback)
        self._watchers.append(watcher)

    def start(self, function) -> None:
        RequestGreenlet(function, self._hub).switch()

    def call_later(self, seconds, function) -> None:
        gevent.spawn_later(seconds, function)

    def run_loop(self) -> None:
        self._ended.wait()

    def end_loop(self) -> None:
        self._ended.set()

    def abort_requests(self) -> None:
        for one in running_requests():
            gevent.kill(one)

    current = staticmethod(getcurrent)

    def interrupt(self, coroutine, serial) -> None:
        self._hub.loop.run_callback(self.end_overdue, coroutine, serial)

    def wait(self, fd, write, seconds) -> bool:
        if fd < 0:
            gevent.sleep(seconds)
            return False
        watcher = self._hub.loop.io(fd, 2 if write else 1)
        try:
            with gevent.Timeout(seconds, False):
                self._hub.wait(watcher)
                return True
            return False
        finally:
            watcher.close()

    # ---- signals: a handler may interrupt the loop itself, where nothing can wait ----

    def handle_quit(self, sig, frame) -> None:
        """Stop now."""
        gevent.spawn(super().handle_quit, sig, frame)

    def handle_usr1(self, sig, frame) -> None:
        """Open the log files anew."""
        gevent.spawn(self._reopen_logs, sig, frame)

    def _reopen_logs(self, sig, frame) -> None:
        super().handle_usr1(sig, frame)
        os.write(self.PIPE[1], b"\0")  # the engine follows


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
        """Serve until the worker is told to stop."""
        if self.uses_engine:
            super().run()
            return
        from gunicorn.workers import _pywsgi

        _pywsgi.serve(self)
