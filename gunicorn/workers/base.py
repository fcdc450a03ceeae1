"""The base class of every worker."""

from __future__ import annotations

import os
import signal
import sys
import time

from gunicorn import _core, _logfiles, glogging, sock, util
from gunicorn.errors import ConfigError
from gunicorn.workers import _forked, _kinds, _overrides
from gunicorn.workers.workertmp import WorkerTmp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from socket import socket
    from types import FrameType
    from typing import Any

    from gunicorn._core import Slot
    from gunicorn.app.base import BaseApplication
    from gunicorn.config import Config
    from gunicorn.glogging import Logger
    from gunicorn.sock import BaseSocket

#: How much of graceful_timeout is left when requests are ended, for their last log lines and the
#: end of the process: a share, and the most in seconds. The engine has the same (engine/limits.h).
STOP_SHARE = 0.2
STOP_MARGIN = 3.0
FAST_EXIT_PAUSE = 0.1  # seconds for the last log lines of threads that worker_int has started


class Worker:
    """A process that serves.

    The master makes the object, forks, and calls `init_process()` in the new process, which ends
    in `run()`. A subclass overrides `run()`: accept connections from `sockets`, until `alive` is
    false or the master is gone.

    Attributes that hooks and subclasses use: `age` (the worker's number), `pid`, `ppid` (the
    master's pid), `sockets`, `app`, `wsgi` (the application, once loaded), `timeout` (seconds,
    half of the setting's: call `notify()` that often while there is work), `cfg`, `log`, `nr`
    (requests so far) and `max_requests`, `alive`, `booted`, `aborted`, `tmp` (the heartbeat),
    `master_pipe` (a descriptor that becomes readable when the master is gone).
    """

    SIGNALS: list[signal.Signals] = [
        getattr(signal, f"SIG{name}")
        for name in ("ABRT", "HUP", "QUIT", "INT", "TERM", "USR1", "USR2", "WINCH", "CHLD")
    ]

    PIPE: list[int] = []

    wsgi: Callable[..., Iterable[bytes]] | None = None
    master_pipe = -1
    # Whether run() serves by the engine of _core, which then does TLS itself and counts `timeout`
    # from the start of each request. Other workers call notify().
    uses_engine = False
    application_kind = "wsgi"  # how the engine calls the application
    _engine: Any = None  # gunicorn._core.Engine, while it runs
    tls: Any = None  # a gunicorn._tls.Tls, when the engine does TLS
    broken_off = False  # graceful_timeout is over, and requests that run were ended for it
    exchange: Any = None  # a _core.Exchange: requests that wait go to other workers by it
    log_level: Any = None  # a gunicorn.master.log_level.LogLevel

    _stacks_fd = -1
    _stop_asked_at: float | None = None  # time.monotonic() of the first signal to stop
    forked_from: int | None = None  # in a process that the application has forked: the worker's pid

    def __init__(
        self,
        age: int,
        ppid: int,
        sockets: list[BaseSocket],
        app: BaseApplication,
        timeout: float,
        cfg: Config,
        log: Logger,
    ) -> None:
        self.age = age
        self.pid: int | str = "[booting]"
        self.ppid = ppid
        self.sockets = sockets
        self.app = app
        self.timeout = timeout
        self.cfg = cfg
        self.log = log
        self.booted = False
        self.aborted = False
        self.alive = True
        self.reloader: Any = None
        self.nr = 0
        self.max_requests = _max_requests(cfg)
        self.tmp = WorkerTmp(cfg)
        self.wait_fds: list[BaseSocket | int] = []

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"

    @property
    def slot(self) -> Slot | None:
        """The worker's slot of the scoreboard, a `gunicorn._core.Slot`; None without a master."""
        return self.tmp.slot

    def notify(self) -> None:
        """Report that the worker is alive. From the first call on it is due within `timeout`."""
        self.tmp.notify()

    def run(self) -> None:
        """Serve until `alive` is false. A subclass defines it."""
        raise NotImplementedError

    @_overrides.plain
    def handle_error(
        self, req: Any, client: socket, addr: tuple[str, int] | str | None, exc: BaseException
    ) -> None:
        """Log why a request failed, and answer it as far as `client`, its socket, takes that.

        For subclasses that read requests themselves, and for those that override it: the engine
        calls their method when the application has raised `exc` and nothing was sent. `req` is
        the request as far as it was parsed, with its `uri`, or None; `addr` is the client's (host,
        port), or empty. The caller closes the socket.
        """
        from gunicorn.http import errors

        status, reason, text = errors.answer_to(exc)
        if text:
            ip = addr[0] if addr else ""
            self.log.warning("Invalid request from ip=%s: %s", ip, text)
        else:
            what = f"{req.method} {req.uri}" if hasattr(req, "uri") else "(no URI read)"
            self.log.error("Error handling request %s", what, exc_info=exc)
        try:
            util.write_error(client, status, reason, text)
        except OSError as failure:
            self.log.debug("The error page was not sent: %s", failure)

    # ---- start ----

    def init_process(self) -> None:
        """Make this process a worker, load the application and run.

        A subclass that overrides it calls it last: it does not return before the worker ends.
        """
        if self.cfg.env:
            os.environ.update(self.cfg.env)
        self._become_user()
        if "random" in sys.modules:
            util.seed()
        self._init_descriptors()
        _forked.watch(self)
        # Between the master's handlers and our own, a signal would have its default action.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self.SIGNALS)
        try:
            self.init_signals()
            self._init_stack_dump()
            _core.replay_signals()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if self.cfg.reload:
            self._init_reloader()
        disabled = glogging.disabled_loggers()
        self.load_wsgi()
        glogging.warn_of_disabled_loggers(disabled)
        if self.reloader:
            self.reloader.start()
        self.cfg.post_worker_init(self)
        self.begin()
        _forked.end_if_child(self)
        self.booted = True
        if not self._rehearses():
            self.ready()
        self.run()

    def begin(self) -> None:
        """Prepare to serve, with the application loaded: for subclasses."""

    def _become_user(self) -> None:
        """Give up the rights of the master. Raises ConfigError when the system refuses."""
        cfg = self.cfg
        try:
            util.set_owner_process(cfg.uid, cfg.gid, initgroups=cfg.initgroups)
        except OSError as exc:
            asked = {"user": cfg.uid != os.getuid(), "group": cfg.gid != os.getgid()}
            refused = [name for name in asked if asked[name]] or ["initgroups"]
            settings = " and ".join(cfg.settings[name].as_given() for name in refused)
            raise ConfigError(
                f"The server cannot take on {settings}: {exc.strerror}. It runs as user "
                f"{os.getuid()}; to become another takes root, with the capabilities CAP_SETUID "
                "and CAP_SETGID. Start it so, or without the setting."
            ) from exc

    def ready(self) -> None:
        """Report to the master that this worker serves. `run()` is called after it, as a rule."""
        if self.slot is not None:
            self.slot.ready()

    def _rehearses(self) -> bool:
        """Whether `run()` calls `rehearse()`, after which the worker is ready."""
        if not self.cfg.warmup:
            return False
        if self.uses_engine and type(self).run.__module__.startswith("gunicorn."):
            return True
        self.log.warning("warmup: workers of the class %s do not do it", self.cfg.worker_class_str)
        return False

    def rehearse(self, engine) -> None:
        """Have `warmup` requested of `engine`, which is about to run; be ready then."""
        if self.cfg.warmup:
            from gunicorn.workers import _rehearsal

            _rehearsal.begin(self, engine)

    def _init_descriptors(self) -> None:
        self.PIPE = list(os.pipe())  # not inheritable
        for fd in self.PIPE:
            util.set_non_blocking(fd)
        for listener in self.sockets:
            util.close_on_exec(listener)
        self.wait_fds = [*self.sockets, self.PIPE[0]]
        self.log.close_on_exec()

    def _init_stack_dump(self) -> None:
        """On SIGABRT and on crashes, the stacks of all threads go to the error log.

        Written by the C signal handler, so also when the interpreter itself is stuck; a handler
        of SIGABRT that was installed before runs after it.
        """
        import faulthandler

        faulthandler.disable()
        try:
            faulthandler.enable(file=_logfiles.error_descriptor(self.log), all_threads=True)
        except (OSError, ValueError, RuntimeError):
            self.log.debug("No stacks will be written on SIGABRT", exc_info=True)
        self._accept_dumps(faulthandler)

    def _accept_dumps(self, faulthandler) -> None:
        """On the master's demand each thread writes its stack, for `gunicorn --dump`."""
        if self.slot is None or self.slot.dump_file < 0:
            return
        try:
            faulthandler.register(_core.DUMP_SIGNAL, self.slot.dump_file, all_threads=False)
            self.slot.accept_dumps()
        except (OSError, ValueError, RuntimeError):
            self.log.debug("No stacks will be written for gunicorn --dump", exc_info=True)

    def open_stacks(self) -> int:
        """Return a descriptor of the error log that stays the same when the log is reopened."""
        if self._stacks_fd < 0:
            self._stacks_fd = os.dup(_logfiles.error_descriptor(self.log))
        return self._stacks_fd

    def disown(self) -> None:
        """In a process that the application has forked: give up all that is the worker's alone."""
        _forked.disown(self)

    def park_copy(self) -> None:
        """In a forked process: do not return if the running code is a copy of another request."""

    def _init_reloader(self) -> None:
        from gunicorn.reloader import reloader_engines

        def changed(name):
            self.log.info("Worker reloading: %s modified", name)
            self.alive = False
            os.write(self.PIPE[1], b"1")
            self.cfg.worker_int(self)
            time.sleep(FAST_EXIT_PAUSE)
            sys.exit(0)

        self.log.warning("Reloader is on. Use in development only!")
        engine = reloader_engines[self.cfg.reload_engine]
        self.reloader = engine(extra_files=self.cfg.reload_extra_files, callback=changed)

    def load_wsgi(self) -> None:
        """Load the application. With `reload`, one with a syntax error is served as a 500 page."""
        try:
            self.wsgi = self.app.wsgi()
        except SyntaxError as exc:
            if not self.cfg.reload:
                raise
            import traceback

            self.log.exception(exc)
            if self.reloader is not None and exc.filename is not None:
                self.reloader.add_extra_file(exc.filename)
            self.wsgi = self.make_fail_app("".join(traceback.format_exception(exc)))
        _kinds.check(self)

    def make_fail_app(self, text: str) -> Callable[..., Any]:
        """Return an application that answers each request with the traceback `text`."""
        return util.make_fail_app(text)

    # ---- signals ----

    def init_signals(self) -> None:
        """Install the worker's signal handlers, all others at their default."""
        for signo in self.SIGNALS:
            signal.signal(signo, signal.SIG_DFL)
        signal.signal(signal.SIGQUIT, self.handle_quit)
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.signal(signal.SIGINT, self.handle_quit)
        signal.signal(signal.SIGWINCH, self.handle_winch)
        signal.signal(signal.SIGUSR1, self.handle_usr1)
        signal.signal(signal.SIGABRT, self.handle_abort)
        # A request that runs is not to see its system calls interrupted.
        signal.siginterrupt(signal.SIGTERM, False)
        signal.siginterrupt(signal.SIGUSR1, False)
        signal.set_wakeup_fd(self.PIPE[1], warn_on_full_buffer=False)

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        """Open the log files anew, and take over the level of the master's log."""
        import faulthandler

        if self.log_level is not None:
            self.log_level.follow(self.log)
        try:
            self.log.reopen_files()
        except OSError as exc:
            self.log.error("Cannot open the log files anew: %s", exc)
        if self._stacks_fd >= 0:
            os.dup2(_logfiles.error_descriptor(self.log), self._stacks_fd, inheritable=False)
        if faulthandler.is_enabled():
            faulthandler.enable(file=_logfiles.error_descriptor(self.log), all_threads=True)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop when the running requests are done; their answers close the connections."""
        if self._stop_asked_at is None:
            self._stop_asked_at = time.monotonic()
        self.alive = False
        if self.cfg.reuse_port:  # the queue is this worker's own, and lost when it closes
            sock.refuse_new_connections(self.sockets, self.log)
        if self._engine is None:
            return
        if self._engine.out_of_time():  # the engine has sent the signal again
            self.break_off()
        else:
            self._engine.drain()

    def break_off(self) -> None:
        """End the running requests by SystemExit, for the master would end the worker soon."""
        self._log_break_off()
        self._engine.stop()
        sys.exit(0)

    def _log_break_off(self) -> None:
        self.broken_off = True
        self.log.warning(
            "Worker graceful timeout (pid:%s): it ends before graceful_timeout (%s s) is over.%s",
            self.pid,
            self.cfg.graceful_timeout,
            self._cut_off(),
        )

    def _cut_off(self) -> str:
        """Return the requests that this worker leaves unfinished, by its own slot."""
        slot = self.slot
        if slot is None or not slot.method:
            return ""
        more = f" and {slot.in_flight - 1} more" if slot.in_flight > 1 else ""
        return f" It cuts off {slot.method} {slot.path}{more}."

    def patience(self) -> float:
        """Return for how many seconds requests may still run: graceful_timeout is the master's."""
        since = 0.0 if self._stop_asked_at is None else time.monotonic() - self._stop_asked_at
        return max(0.0, self.cfg.graceful_timeout - self.margin() - since)

    def margin(self) -> float:
        """Return the seconds of graceful_timeout that are left to the end of the process."""
        return min(self.cfg.graceful_timeout * STOP_SHARE, STOP_MARGIN)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Stop now."""
        self.alive = False
        self.cfg.worker_int(self)
        time.sleep(FAST_EXIT_PAUSE)
        if self._engine is not None:  # SystemExit may end up in the application, and no farther
            self._engine.stop()
        sys.exit(0)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """The master lost patience. SystemExit is raised in the running code."""
        self.alive = False
        self.cfg.worker_abort(self)
        sys.exit(1)

    def handle_winch(self, sig: int, frame: FrameType | None) -> None:
        """Of no meaning to a worker but to show that it does not hang."""
        if self.slot is not None:
            self.slot.answer()
        self.log.debug("worker: SIGWINCH ignored.")


def _max_requests(cfg) -> int:
    if cfg.max_requests <= 0:
        return sys.maxsize
    jitter = int.from_bytes(os.urandom(4), "little") % (cfg.max_requests_jitter + 1)
    return cfg.max_requests + jitter
