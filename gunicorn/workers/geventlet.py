"""The eventlet worker: a greenlet for each request, up to `worker_connections` clients."""

import os

from gunicorn.errors import ConfigError
from gunicorn.workers.loop_host import LoopWorker, version_of

MINIMUM = (0, 40, 3)

try:
    import eventlet
except ImportError:
    raise ConfigError(
        "worker_class: the eventlet worker needs the package eventlet: "
        "pip install monoceros[eventlet]"
    ) from None
if version_of(eventlet.__version__) < MINIMUM:
    raise ConfigError(
        "worker_class: the eventlet worker needs eventlet 0.40.3 or newer, and "
        f"{eventlet.__version__} is installed: pip install -U monoceros[eventlet]"
    )

import eventlet.hubs  # noqa: E402
import eventlet.patcher  # noqa: E402
from greenlet import GreenletExit, getcurrent  # noqa: E402

from gunicorn.workers._greenlet import RequestGreenlet, running_requests  # noqa: E402


class EventletWorker(LoopWorker):
    """Runs the application in greenlets, over a standard library that eventlet has patched.

    What blocks in the application lets others run, if it goes through the standard library's
    sockets, locks, sleep and the like.
    """

    name = "eventlet"
    quiet_exceptions = (GreenletExit,)

    @classmethod
    def check_config(cls, cfg, log) -> None:
        """Warn when the application is imported before eventlet can patch what it uses."""
        if cfg.preload_app and not eventlet.patcher.is_monkey_patched("socket"):
            log.warning(
                "preload_app: the application is imported before eventlet patches the standard "
                "library. What it took from there by name, or opened, will block the whole worker."
            )

    def patch(self) -> None:
        """Have eventlet take the place of what blocks in the standard library."""
        eventlet.hubs.use_hub()  # one of this process
        eventlet.monkey_patch()

    def init_process(self) -> None:
        """Patch, in the new process and before the application is imported; then go on."""
        self.patch()
        super().init_process()

    # ---- the loop ----

    def run(self) -> None:
        """Serve until the worker is told to stop."""
        self._hub = eventlet.hubs.get_hub()
        self._ended = eventlet.Event()
        super().run()

    def watch(self, fd, callback) -> None:
        self._hub.add(self._hub.READ, fd, callback, _never, _never)

    def start(self, function) -> None:
        RequestGreenlet(function, getcurrent()).switch()

    def call_later(self, seconds, function) -> None:
        eventlet.spawn_after(seconds, function)

    def run_loop(self) -> None:
        self._ended.wait()

    def end_loop(self) -> None:
        if not self._ended.ready():
            self._ended.send()

    def abort_requests(self) -> None:
        for one in running_requests():
            eventlet.kill(one)

    current = staticmethod(getcurrent)

    def interrupt(self, coroutine, serial) -> None:
        self._hub.schedule_call_global(0, self.end_overdue, coroutine, serial)

    def wait(self, fd, write, seconds) -> bool:
        if fd < 0:
            eventlet.sleep(seconds)
            return False
        try:
            eventlet.hubs.trampoline(fd, read=not write, write=write, timeout=seconds,
                                     timeout_exc=TimeoutError)  # fmt: skip
        except TimeoutError:
            return False
        return True

    # ---- signals: a handler may interrupt the loop itself, where nothing can wait ----

    def handle_quit(self, sig, frame) -> None:
        """Stop now."""
        eventlet.spawn(super().handle_quit, sig, frame)

    def handle_usr1(self, sig, frame) -> None:
        """Open the log files anew."""
        eventlet.spawn(self._reopen_logs, sig, frame)

    def _reopen_logs(self, sig, frame) -> None:
        super().handle_usr1(sig, frame)
        os.write(self.PIPE[1], b"\0")  # the engine follows


def _never(*_args) -> None:
    """The engine closes none of its descriptors while the loop watches them."""
