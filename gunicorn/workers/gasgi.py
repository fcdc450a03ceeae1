"""The asgi worker: ASGI applications in the loop of asyncio or uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading

from gunicorn.errors import ConfigError
from gunicorn.workers._asgi import Half
from gunicorn.workers._lifespan import Lifespan, StartupFailed
from gunicorn.workers.loop_host import LoopWorker

STOPS_MAX = 3  # calls of stop() that an event loop may have pending
SHUTDOWN_MAX = 30.0  # seconds that an application has for its lifespan's end


def _new_loop(name: str) -> asyncio.AbstractEventLoop:
    """Return an event loop by the setting asgi_loop. Raises ConfigError without uvloop."""
    if name == "asyncio":
        return asyncio.new_event_loop()
    try:
        import uvloop
    except ImportError:
        if name == "auto":
            return asyncio.new_event_loop()
        raise ConfigError("asgi_loop: uvloop is not installed: pip install uvloop") from None
    return uvloop.new_event_loop()


class ASGIWorker(LoopWorker):
    """Serves an ASGI application by our engine, a task for each request."""

    application_kind = "asgi"
    multithread = False
    name = "asgi"

    loop: asyncio.AbstractEventLoop
    lifespan: Lifespan | None = None
    _half: Half  # from the engine on
    cancels_all = False  # it ends, and so do all tasks
    _guard: threading.Timer | None = None  # of the end, from the signal on
    _overdue = False  # it has found that patience is over
    _over = False
    _quits = False
    _fails = False  # the application could not be loaded, and is shown as a page

    def init_process(self) -> None:
        """Make the event loop, then go on: the application may want it when it is imported."""
        self._thread = threading.get_ident()
        self.loop = _new_loop(self.cfg.asgi_loop)
        self.loop.set_exception_handler(self._report)
        asyncio.set_event_loop(self.loop)
        super().init_process()

    def _report(self, loop, context) -> None:
        """Report as the event loop does; a task that a signal has ended is none of its errors."""
        if self.alive or not isinstance(context.get("exception"), SystemExit):
            loop.default_exception_handler(context)

    def make_fail_app(self, text):
        """Return an application that answers each request with the traceback `text`."""
        self._fails = True

        async def app(scope, _receive, send):
            if scope["type"] != "http":
                return
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": text.encode()})

        return app

    def begin(self) -> None:
        """Run the application's startup, in the worker that has loaded it."""
        if self.cfg.asgi_lifespan == "off" or self._fails:
            return
        lifespan = Lifespan(self.wsgi, self.log, required=self.cfg.asgi_lifespan == "on")
        try:
            self.loop.run_until_complete(lifespan.startup())
        except StartupFailed as exc:
            from gunicorn.arbiter import Arbiter

            self.log.error("ASGI lifespan: the startup failed: %s", exc)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        self.lifespan = lifespan

    def half(self) -> Half:
        """Return the Python half of the engine, for the C core."""
        state = {} if self.lifespan is None else self.lifespan.state
        self._half = Half(self, self.loop, state)
        return self._half

    def run(self) -> None:
        """Serve until the worker has to stop."""
        self._watched: list[int] = []
        try:
            super().run()
        finally:
            self._over = True
            self._unwatch()
            self._end()

    # ---- the loop ----

    def watch(self, fd, callback) -> None:
        self.loop.add_reader(fd, callback)
        self._watched.append(fd)

    def _unwatch(self) -> None:
        while self._watched:
            self.loop.remove_reader(self._watched.pop())

    def call_later(self, seconds, function) -> None:
        self.loop.call_later(seconds, function)

    def run_loop(self) -> None:
        if not self._over:
            self.loop.run_forever()

    def end_loop(self) -> None:
        if not self._over:
            self._over = True
            self.loop.stop()

    def rests(self) -> bool:
        if self._half.tasks:
            return False
        waiting = self.lifespan and self.lifespan.waiting()
        return asyncio.all_tasks(self.loop) <= {waiting}

    # ---- the end ----

    def handle_quit(self, sig, frame) -> None:
        """Stop now; once, for Ctrl-C comes from the terminal and from the master."""
        if not self._quits:
            self._quits = True
            super().handle_quit(sig, frame)

    def handle_exit(self, sig, frame) -> None:
        """Stop gracefully. The guard ends a task that blocks the loop beyond patience."""
        super().handle_exit(sig, frame)
        if self._overdue and not self._over:
            self.break_off()
        elif self._guard is None:
            self._guard = threading.Timer(self.patience() + self.margin() / 4, self._interrupt)
            self._guard.daemon = True
            with contextlib.suppress(RuntimeError):  # no thread can be had
                self._guard.start()

    def _interrupt(self) -> None:
        self._overdue = True
        signal.pthread_kill(self._thread, signal.SIGTERM)

    def _wind_up(self) -> None:
        """Background work of requests that are answered may go on until patience is over."""
        if self._engine.stopped() and self._half.tasks:
            self._unwatch()  # the engine does nothing more, and its descriptor stays readable
            if not self._winding_up:
                self._winding_up = True
                self.call_later(self.patience(), self._out_of_patience)
            for task in list(self._half.tasks):
                task.add_done_callback(self._task_ended)
        else:
            super()._wind_up()

    def _task_ended(self, _task) -> None:
        if not self._half.tasks:
            self.end_loop()

    def _out_of_patience(self) -> None:
        if self._engine.stopped() and not self._half.tasks:
            return
        if not self.broken_off:
            self._log_break_off()
        self.abort_requests()
        self.call_later(self.margin() / 2, self.end_loop)

    def abort_requests(self) -> None:
        """Cancel the tasks of all requests."""
        for task in list(self._half.tasks):
            self._half.cancel_task(task)

    def break_off(self) -> None:
        """Cancel tasks that wait; end one that blocks the loop by SystemExit."""
        if not self.broken_off:
            self._log_break_off()
        self.abort_requests()
        if asyncio.current_task(self.loop) is not None:
            sys.exit(0)

    def _end(self) -> None:
        """Run the application's shutdown, cancel all tasks, and close the loop."""
        try:
            if self.lifespan is not None:
                seconds = min(SHUTDOWN_MAX, max(self.patience(), self.margin() / 2))
                self._complete(self.lifespan.shutdown(seconds))
            self._complete(self._cancel_all())
            self._complete(self.loop.shutdown_asyncgens())
        except Exception:
            self.log.exception("The event loop could not be ended in order")
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    def _complete(self, coroutine) -> None:
        """Run a coroutine to its end, although the loop may have been told to stop before."""
        task = self.loop.create_task(coroutine)
        for _ in range(STOPS_MAX):
            try:
                self.loop.run_until_complete(task)
            except RuntimeError:
                if task.done():
                    raise
            else:
                return

    async def _cancel_all(self) -> None:
        self.cancels_all = True
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=self.margin() / 4)
