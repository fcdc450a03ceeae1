"""A dirty worker: the process that has loaded dirty applications and runs their actions."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading

from gunicorn import _logfiles, util
from gunicorn.errors import AppModuleNotFound

from . import protocol
from ._calls import CallThread
from .app import find_class, load_dirty_app
from .errors import DirtyAppError, DirtyAppNotFoundError, DirtyProtocolError
from .tlv import TLVEncoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from gunicorn.config import Config
    from gunicorn.glogging import Logger

# The exit statuses of a worker that cannot load its applications, as web workers have them.
# LOAD_ERROR: a module is there, and not its class.
BOOT_ERROR, LOAD_ERROR = 3, 4

# Messages to the arbiter, by the types of the protocol.
CLASSES = protocol.MSG_TYPE_REQUEST  # the classes are imported: their attributes
READY = protocol.MSG_TYPE_RESPONSE  # the applications are loaded
LEAVING = protocol.MSG_TYPE_END  # the worker wants to stop, and takes no further call
SEAT = protocol.MSG_TYPE_CHUNK  # a thread waits for calls: its socket comes with the message

SIGNALS = [
    getattr(signal, f"SIG{name}")
    for name in ("HUP", "QUIT", "INT", "TERM", "TTIN", "TTOU", "USR1", "USR2", "CHLD", "ABRT")
]


class DirtyWorker:
    """A dirty worker.

    Hooks use `pid`, `age`, `cfg`, `log`, `app_paths` (those it is to load) and, in the worker,
    `apps` (path to object).
    """

    def __init__(
        self,
        age: int,
        ppid: int,
        app_paths: list[str],
        cfg: Config,
        log: Logger,
        control: socket.socket,
    ) -> None:
        self.age = age
        self.pid: int | str = "[booting]"
        self.ppid = ppid
        self.app_paths = app_paths
        self.cfg = cfg
        self.log = log
        self.booted = False
        self.aborted = False
        self.alive = True
        self._leaving = False  # SIGTERM has come
        self.apps: dict[str, Any] = {}
        self._control = control
        self._kept: Any = None
        self._speaking = threading.Lock()

    def __str__(self) -> str:
        return f"<DirtyWorker {self.pid}>"

    def keep(self, kept: Any) -> None:
        """Keep an object of the arbiter's for as long as the process lives."""
        self._kept = kept

    def live(self) -> None:
        """Be the worker, and end the process, without the end of the interpreter."""
        status = 1
        try:
            self.init_process()
            status = 0
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        except BaseException:
            self.log.exception("Exception in dirty worker process")
            status = 1 if self.booted else BOOT_ERROR
        finally:
            _flush()
            os._exit(status & 0xFF)

    def init_process(self) -> None:
        """Be the worker, until the arbiter has it stop or is gone. Raises SystemExit."""
        self.pid = os.getpid()
        os.environ.update(self.cfg.env or {})
        util.set_owner_process(self.cfg.uid, self.cfg.gid, initgroups=self.cfg.initgroups)
        util.seed()
        dump_stacks_on_abort(self.log)
        self.load_apps()
        self.cfg.dirty_worker_init(self)
        self.booted = True
        self.run()

    # ---- applications ----

    def load_apps(self) -> None:
        """Load the applications that the arbiter chooses. Raises what they raise."""
        try:
            classes = {path: _attributes(find_class(path)) for path in self.app_paths}
            self.app_paths = self._ask_which(classes)
            self.apps = {path: load_dirty_app(path) for path in self.app_paths}
            for path, app in self.apps.items():
                app.init()
                self.log.info("Initialized dirty app: %s", path)
        except Exception as exc:
            self._log_bad_apps(exc)
            found = isinstance(exc, DirtyAppError) and not _lacks_module(exc)
            raise SystemExit(LOAD_ERROR if found else BOOT_ERROR) from None

    def _log_bad_apps(self, exc: Exception) -> None:
        line = _mistake_of(exc)
        if line is None:
            self.log.exception("Failed to load dirty apps")
            return
        self.log.error("%s", line)
        if self.cfg.errorlog != "-":
            util.say(line)

    def _ask_which(self, classes: dict[str, Any]) -> Any:
        """Send the classes to the arbiter, and return its answer: the paths to load."""
        try:
            self.say(CLASSES, classes)
            _, _, payload = protocol.receive(self._control)
        except (EOFError, OSError):
            raise SystemExit(0) from None  # it is gone, or does not need this worker
        return TLVEncoder.decode_full(payload)

    def close_apps(self) -> None:
        """Close the applications; what they raise is logged."""
        for path, app in self.apps.items():
            try:
                app.close()
            except Exception:
                self.log.exception("Error closing dirty app %s", path)

    # ---- its end ----

    def end_broken(self, exc: BaseException) -> NoReturn:
        """End the process at once: it cannot take calls any more."""
        try:
            self.log.critical("Dirty worker (pid:%s) ends: it cannot take calls: %s", self.pid, exc)
        finally:
            os._exit(1)

    def end_if_forked(self, exc: BaseException | None = None) -> None:
        """End a process that the application has forked: the answer is the worker's to give."""
        if os.getpid() == self.pid:
            return
        status = exc.code if isinstance(exc, SystemExit) else int(exc is not None)
        try:
            self._log_forked(exc)
            _flush()
        finally:
            os._exit(status & 0xFF if isinstance(status, int) else int(status is not None))

    def _log_forked(self, exc: BaseException | None) -> None:
        if not isinstance(exc, SystemExit):
            self.log.error(
                "Process %s, which the application has forked in dirty worker %s, came back into"
                " the server, and is ended",
                os.getpid(),
                self.pid,
                exc_info=exc,
            )

    # ---- the arbiter ----

    def say(self, kind: int, value: Any = None, fds: tuple[int, ...] = ()) -> None:
        """Send a message to the arbiter, with descriptors. Raises OSError."""
        payload = TLVEncoder.encode(value)
        message = protocol.header_of(kind, 0, len(payload)) + payload
        with self._speaking:
            if fds:
                sent = socket.send_fds(self._control, [message], fds)
                message = message[sent:]
            self._control.sendall(message)

    def offer(self, seat: socket.socket) -> bool:
        """Offer the end of a thread's socket to the arbiter. False: the arbiter is gone."""
        try:
            self.say(SEAT, None, (seat.fileno(),))
        except OSError:
            return False
        return True

    def run(self) -> None:
        """Run calls in threads. The main thread waits for signals, and for the arbiter's end."""
        try:
            self._say_ready()
            for number in range(max(1, self.cfg.dirty_threads)):
                CallThread(self, number).start()
            self._wait()
        except (EOFError, OSError, DirtyProtocolError):
            pass  # the arbiter has closed its end
        finally:
            self.alive = False
            self.close_apps()

    def _say_ready(self) -> None:
        """Take SIGTERM before there is a call to lose. It is blocked while the lock is held."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        signal.signal(signal.SIGTERM, self._leave)
        self.say(READY)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    def _wait(self) -> None:
        while True:
            protocol.receive(self._control)

    # ---- signals ----

    def init_signals(self) -> None:
        """Take the signals: TERM waits for the calls that run, QUIT and INT do not."""
        for signo in SIGNALS:
            signal.signal(signo, signal.SIG_DFL)
        signal.signal(signal.SIGQUIT, self._quit)
        signal.signal(signal.SIGINT, self._quit)
        signal.signal(signal.SIGUSR1, self._reopen)

    def _leave(self, signo: int, frame: Any) -> None:
        """Ask once to stop. If the arbiter is gone, the main thread learns that, and stops."""
        if os.getpid() != self.pid:
            _die_of(signo)
        elif not self._leaving:
            self._leaving = True
            with contextlib.suppress(OSError):
                self.say(LEAVING)

    def _quit(self, signo: int, frame: Any) -> None:
        raise SystemExit(0)

    def _reopen(self, signo: int, frame: Any) -> None:
        self.log.reopen_files()


def _die_of(signo: int) -> None:
    """A signal ends a process that the application has forked, as if it had no handler."""
    signal.signal(signo, signal.SIG_DFL)
    os.kill(os.getpid(), signo)


def dump_stacks_on_abort(log: Logger) -> None:
    """On SIGABRT, which ends a stuck process, the stacks of its threads go to the error log."""
    import faulthandler

    faulthandler.disable()
    try:
        faulthandler.enable(file=_logfiles.error_descriptor(log), all_threads=True)
    except (OSError, ValueError, RuntimeError):
        log.debug("No stacks will be written on SIGABRT", exc_info=True)


def _lacks_module(exc: Exception) -> bool:
    return isinstance(exc.__cause__, AppModuleNotFound)


def _mistake_of(exc: Exception) -> str | None:
    """Return the line that names a mistake in `dirty_apps`; None for a failure of a class."""
    if isinstance(exc, DirtyAppNotFoundError):
        return f"dirty_apps: {exc.app_path}: {exc.__cause__}"
    if isinstance(exc, DirtyAppError) and exc.__cause__ is None:
        return f"dirty_apps: {exc.message}"
    return None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _attributes(kind: type) -> dict[str, Any]:
    workers, stashes = getattr(kind, "workers", None), getattr(kind, "stashes", ())
    return {"workers": workers, "stashes": [str(name) for name in stashes]}
