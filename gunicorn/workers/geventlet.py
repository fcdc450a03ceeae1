"""The eventlet worker: a greenlet for each request, up to `worker_connections` clients."""

from gunicorn.workers.loop_host import require

require("eventlet", (0, 40, 3))

import eventlet.hubs  # noqa: E402
import eventlet.patcher  # noqa: E402
from greenlet import getcurrent  # noqa: E402

from gunicorn.workers._greenlet import GreenletWorker, RequestGreenlet  # noqa: E402


class EventletWorker(GreenletWorker):
    """Runs the application in greenlets, over a standard library that eventlet has patched."""

    name = "eventlet"
    spawn_greenlet = staticmethod(eventlet.spawn)
    kill_greenlet = staticmethod(eventlet.kill)

    @staticmethod
    def is_patched() -> bool:
        """Return whether the standard library is patched already."""
        return eventlet.patcher.is_monkey_patched("socket")

    def patch(self) -> None:
        """Replace blocking functions of the standard library by eventlet's."""
        eventlet.hubs.use_hub()  # one of this process
        eventlet.monkey_patch()

    def init_process(self) -> None:
        """Patch, in the new process and before the application is imported; then go on."""
        self.patch()
        super().init_process()

    @staticmethod
    def leave_to_others() -> None:
        """Switch to the hub, not to be resumed."""
        eventlet.hubs.get_hub().switch()

    def disown(self) -> None:
        """In a process that the application has forked: give up the worker's own resources."""
        super().disown()
        eventlet.hubs.use_hub()  # one of its own: the other watches the parent's descriptors

    # ---- the loop ----

    def run(self) -> None:
        """Serve until the worker has to stop."""
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


def _never(*_args) -> None:
    """The engine closes none of its descriptors while the loop watches them."""
