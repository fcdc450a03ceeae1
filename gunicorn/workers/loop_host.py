"""The base of workers whose event loop is not the engine's: gevent, eventlet, tornado.

The loop watches two descriptors of the engine and calls `turn()` when one is readable; the engine
reads, parses, sends and keeps time there, without waiting, and has each request started that is
ready. While the application blocks the loop, a thread of the engine does the same in its place, up
to the requests.
"""

from __future__ import annotations

import importlib
import sys

from gunicorn import _core
from gunicorn.errors import ConfigError, RequestTimeout
from gunicorn.http import _bridge  # noqa: F401 - loaded before the fork, shared by all workers
from gunicorn.workers import _overrides
from gunicorn.workers.base import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class LoopWorker(Worker):
    """Serves from an event loop in the main thread. A subclass supplies the loop's functions.

    They are called in this order: `watch` for each descriptor, `run_loop` until `end_loop` was
    called in it; and meanwhile `start` and `call_later`, in the loop's own context.
    """

    uses_engine = True
    multithread = True
    name = "loop"  # for messages

    def watch(self, fd: int, callback) -> None:
        """Call `callback()` whenever `fd` is readable, until the process ends."""
        raise NotImplementedError

    # start(function) calls `function()` at once, in a coroutine of its own. None: in the loop.
    start: Any = None

    def call_later(self, seconds: float, function) -> None:
        """Call `function()` once, from the loop."""
        raise NotImplementedError

    def run_loop(self) -> None:
        """Run the loop until `end_loop()`."""
        raise NotImplementedError

    def end_loop(self) -> None:
        """Have `run_loop()` return."""
        raise NotImplementedError

    def abort_requests(self) -> None:
        """End the requests that run, if that is possible. graceful_timeout is nearly over."""

    def rests(self) -> bool:
        """Return whether the application has no task in the loop. Asked where it is watched."""
        return True

    # Which greenlet runs; None when requests run in the loop itself, one at a time.
    current: Any = None

    def interrupt(self, coroutine, serial: int) -> None:
        """Have RequestTimeout raised in a greenlet that waits, by `end_overdue`, from the hub."""
        raise NotImplementedError

    def end_overdue(self, coroutine, serial: int) -> None:
        """Raise RequestTimeout in a greenlet if the request of that number still runs in it."""
        if self._engine.may_raise(serial):
            coroutine.throw(RequestTimeout)

    # wait(fd, write, seconds) -> bool: lets others run until fd is ready, or for the time alone
    # when fd is -1. None: the thread waits.
    wait: Any = None

    def run(self) -> None:
        """Serve until the worker has to stop."""
        _overrides.warn_of_wrapped(self)
        self._winding_up = False
        self._engine = _core.Engine(self, loop=True, wait=self.wait)
        try:
            self.watch(self._engine.fileno(), self._turn)
            self.watch(self._engine.news_fileno(), self._news)
            self.rehearse(self._engine)
            self.run_loop()
        except Exception:
            if not self._engine.lost():  # else it is said
                raise
        finally:
            self._engine.stop()
            self._engine.lost()

    def _turn(self, *_args) -> None:
        if self._engine.turn(self.start):
            self._wind_up()

    def _news(self, *_args) -> None:
        self._engine.heard(self.rests())
        self._turn()

    def _wind_up(self) -> None:
        if self._engine.stopped():
            self.end_loop()
        elif not self._winding_up:
            self._winding_up = True
            self.call_later(self.patience(), self._out_of_patience)

    def runs_request(self) -> bool:
        """Whether a request runs right now, and not the loop."""
        return self.slot is not None and bool(self.slot.method)

    def break_off(self) -> None:
        """End the request that blocks the loop; those that wait are ended from the loop."""
        if self.runs_request():
            self._log_break_off()
            sys.exit(0)

    def _out_of_patience(self) -> None:
        if not self._engine.stopped():
            if not self.broken_off:
                self._log_break_off()
            self.abort_requests()
            self.call_later(self.margin() / 2, self.end_loop)


def require(package: str, minimum: tuple[int, ...]) -> None:
    """Import the package that a worker class is named after.

    Raises ConfigError when it is missing or older than `minimum`.
    """
    kind = f"worker_class: the {package} worker needs"
    try:
        module = importlib.import_module(package)
    except ImportError:
        raise ConfigError(
            f"{kind} the package {package}: pip install monoceros[{package}]"
        ) from None
    version = getattr(module, "__version__", None) or module.version
    if _numbers(version) < minimum:
        raise ConfigError(
            f"{kind} {package} {'.'.join(map(str, minimum))} or newer, and {version} is "
            f"installed: pip install -U monoceros[{package}]"
        )


def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with: (24, 10, 1) for 24.10.1.dev0."""
    numbers = []
    for part in text.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
