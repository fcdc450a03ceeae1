"""The master process: it keeps the workers alive.

`Arbiter` has the methods that a subclass may override. `gunicorn.master` implements them; the
loop, the registry of the workers and the queue of signals are C (`gunicorn._core.ArbiterCore`).
"""

from __future__ import annotations

import os
import signal

from gunicorn import SERVER_SOFTWARE, _core, systemd
from gunicorn.errors import HaltServer
from gunicorn.master import (
    control,
    dirty,
    events,
    exchanges,
    log_level,
    notify,
    reload,
    settings,
    sharing,
    shutdown,
    signals,
    startup,
    status,
    titles,
    upgrade,
    worker_process,
    workers,
)
from gunicorn.workers._overrides import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gunicorn.app.base import BaseApplication
    from gunicorn.config import Config
    from gunicorn.glogging import Logger
    from gunicorn.pidfile import Pidfile
    from gunicorn.sock import BaseSocket
    from gunicorn.workers.base import Worker


class Arbiter:
    """Starts the workers, replaces the dead, follows signals, until it has to stop.

    Attributes that hooks and subclasses use: `cfg`, `log`, `app`, `pid`, `WORKERS` (pid to
    worker), `num_workers`, `LISTENERS`, `address`, `worker_class`, `timeout`, `proc_name`,
    `worker_age`, `master_pid` (of the master that started this one by SIGUSR2, else 0),
    `reexec_pid` (of the master that this one started, else 0).
    """

    # Exit statuses of a worker that the master takes over.
    WORKER_BOOT_ERROR = 3
    APP_LOAD_ERROR = 4

    SIG_QUEUE = signals.SignalQueue()
    START_CTX: dict[Any, Any] = {}
    LISTENERS: list[BaseSocket] = []
    WORKERS: dict[int, Worker] = {}

    SIGNALS: list[signal.Signals] = [
        getattr(signal, f"SIG{name}")
        for name in ("HUP", "QUIT", "INT", "TERM", "TTIN", "TTOU", "USR1", "USR2", "WINCH")
    ]
    SIG_NAMES: dict[signal.Signals, str] = {
        signo: signo.name[3:].lower() for signo in signal.Signals
    }

    app: BaseApplication
    cfg: Config
    log: Logger
    address: list[Any]
    worker_class: type[Worker]
    timeout: int
    proc_name: str
    pidfile: Pidfile | None

    def __init__(self, app: BaseApplication) -> None:
        titles.prepare()
        os.environ["SERVER_SOFTWARE"] = SERVER_SOFTWARE
        self._num_workers: Any = None
        self._core_object = None
        self._last_logged_active_worker_count = None
        self._modules_before_app = None
        self._promoted_pidfile = None  # to be renamed to, once its old owner is gone
        self._watchdog = systemd.watchdog_interval()
        self.log = None  # type: ignore[assignment]  # before setup()
        self.master_pid = 0
        self._log_level = log_level.LogLevel()
        self.setup(app)

        self.pidfile = None
        self.systemd = False
        self.worker_age = 0
        self.reexec_pid = 0
        self.master_name = "Master"
        self.pid = os.getpid()
        self.LISTENERS = []
        self.WORKERS = {}
        self.tls = None  # a _tls.Tls, when the workers speak TLS by our engine
        self._status = status.Status()
        self._control = control.Control()
        self._check = None  # a check.Check, while a child reads a configuration
        self._dirty = dirty.Dirty()
        self._stopping = False
        self._titled = False  # the command line is overwritten: there is no way back
        self._forks = False  # a worker or a second master
        self._unwinds = None  # the thread of run(), which becomes the worker in a forked process
        self._newborn = None  # the object of the worker that this process is about to become
        self._settled = False  # every worker of the first start has been ready
        self._reloading = None  # a snapshot.Snapshot, until the new configuration is proven
        self._shared = exchanges.NOBODYS
        self._sharing = sharing.Sharing()
        self._stats = {
            "start_time": None,
            "workers_spawned": 0,
            "workers_killed": 0,
            "reloads": 0,
        }
        self.START_CTX = upgrade.start_context()

    @property
    def _core(self):
        if self._core_object is None:
            self._core_object = _core.ArbiterCore(self, events)
            settings.pass_to_core(self)
        return self._core_object

    @property
    def num_workers(self) -> int:
        """How many workers there should be. Setting it calls the hook `nworkers_changed`."""
        return self._num_workers

    @num_workers.setter
    def num_workers(self, value: int) -> None:
        settings.set_num_workers(self, value)

    # ---- start ----

    def setup(self, app: BaseApplication) -> None:
        """Take over the configuration of `app`."""
        self.app = app
        settings.apply(self)

    def start(self) -> None:
        """Write the pidfile, and listen. Raises RuntimeError or ConfigError; no pidfile is left."""
        startup.start(self)

    def init_signals(self) -> None:
        """Queue the signals of the master from now on. Raises RuntimeError."""
        startup.init_signals(self)

    def run(self) -> None:
        """Be the master. Ends the process."""
        worker_process.run(self, self._be_master)

    def _be_master(self) -> None:
        self.start()
        startup.settle(self)
        try:
            self.manage_workers()
            if self.num_workers == 0:
                notify.ready(self)
            self._core.run()
        except (StopIteration, KeyboardInterrupt):
            self.halt()
        except HaltServer as halt:
            self.halt(reason=halt.reason, exit_status=halt.exit_status)
        except SystemExit:
            raise
        except Exception:
            shutdown.crash(self)

    # ---- signals ----

    @plain
    def handle_chld(self) -> None:
        """Workers died."""
        self.reap_workers()

    handle_cld = handle_chld

    def handle_hup(self) -> None:
        """Reload the configuration and replace the workers."""
        self.log.info("Hang up: %s", self.master_name)
        self.reload()

    def handle_term(self) -> None:
        """Stop gracefully, after `drain_delay`."""
        shutdown.leave(self)
        raise StopIteration

    def handle_int(self) -> None:
        """Stop at once."""
        self.stop(False)
        raise StopIteration

    def handle_quit(self) -> None:
        """Stop at once."""
        self.stop(False)
        raise StopIteration

    def handle_ttin(self) -> None:
        """One worker more."""
        self.num_workers += 1
        self.manage_workers()

    def handle_ttou(self) -> None:
        """One worker less, down to one."""
        if self.num_workers > 1:
            self.num_workers -= 1
            self.manage_workers()

    def handle_usr1(self) -> None:
        """Open the log files anew, here and in the workers."""
        signals.reopen_logs(self)

    def handle_usr2(self) -> None:
        """Start a second master from the program as it is now on disk."""
        self.reexec()

    def handle_winch(self) -> None:
        """As a daemon: stop the workers and stay."""
        signals.stop_workers(self)

    def wakeup(self) -> None:
        """Let the loop do a round now."""
        os.kill(self.pid, signal.SIGCHLD)

    # ---- end ----

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Stop the workers and end the process with `exit_status`."""
        shutdown.halt(self, reason, exit_status)

    def stop(self, graceful: bool = True) -> None:
        """Close the listeners and stop the workers, within `graceful_timeout`, by SIGKILL then.

        `graceful` workers finish requests that run and that wait to be accepted.
        """
        shutdown.stop(self, graceful)

    # ---- workers ----

    @plain
    def manage_workers(self) -> None:
        """Fork the workers that are missing, stop those that are too many."""
        workers.manage(self)

    def spawn_workers(self) -> None:
        """Fork the workers that are missing."""
        workers.spawn_missing(self)

    @plain
    def spawn_worker(self) -> int:
        """Fork one worker. Returns its pid in the master; does not return in the worker.

        Raises OSError when there can be no further process.
        """
        return workers.spawn(self)

    def kill_workers(self, sig: int) -> None:
        """Send `sig` to every worker."""
        workers.kill_all(self, sig)

    def kill_worker(self, pid: int, sig: int) -> None:
        """Send `sig` to one worker. One that is gone already is forgotten."""
        workers.kill(self, pid, sig)

    @plain
    def murder_workers(self) -> None:
        """Abort the workers that are silent for longer than `timeout`, kill the aborted."""
        self._core.murder()

    @plain
    def reap_workers(self) -> None:
        """Collect the workers that died."""
        self._core.reap()

    # ---- reload and upgrade ----

    def reload(self) -> None:
        """Read the configuration again and replace the workers by ones that go by it.

        The first new worker is waited for. Until it is ready the old ones serve; if it does not
        boot, or the configuration has a mistake, all stays as it was.
        """
        reload.begin(self)

    def reexec(self) -> None:
        """Start a second master from the program on disk. It shares the listeners."""
        upgrade.begin(self)

    def maybe_promote_master(self) -> None:
        """Take the place of the master that started this one, once it is gone."""
        upgrade.promote(self)
