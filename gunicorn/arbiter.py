"""The master process: it keeps the workers alive.

The loop, the registry of the workers, the signal queue and the system calls are C
(`gunicorn._core.ArbiterCore`); what is here is what a subclass may override and what has to run
Python: loading, hooks, log lines, and the decisions around a reload.
"""

import errno
import gc
import os
import signal
import sys
import time
import weakref

from gunicorn import (
    SERVER_SOFTWARE,
    __version__,
    _core,
    _ending,
    _exchanges,
    _explain,
    _reload,
    _sharing,
    _upgrade,
    glogging,
    sock,
    systemd,
    util,
)
from gunicorn._status import Status
from gunicorn.errors import AppImportError, AppModuleNotFound, ConfigError, HaltServer
from gunicorn.pidfile import Pidfile
from gunicorn.workers import _forked, _overrides

TICK = 1.0  # seconds between two rounds where something has to be asked again and again
REAP_LIMIT = 2.0  # seconds to wait for workers that were sent SIGKILL


class SignalQueue:
    """`SIG_QUEUE`: a signal that is put here is handled as if it had been sent to this process.

    The queue itself is the C core's, and cannot be read.
    """

    def put(self, signo: int, block: bool = True, timeout: float | None = None) -> None:
        """Queue a signal; it may be lost when as many wait as the system holds for a process."""
        os.kill(os.getpid(), signo)

    put_nowait = append = put  # of queue.SimpleQueue, and of the list that it was once

    def empty(self) -> bool:
        """True: nothing waits here."""
        return True

    def __len__(self) -> int:
        return 0


class Arbiter:
    """Starts the workers, replaces the dead, follows signals, until it is told to stop.

    Attributes that hooks and subclasses use: `cfg`, `log`, `app`, `pid`, `WORKERS` (pid to
    worker), `num_workers`, `LISTENERS`, `address`, `worker_class`, `timeout`, `proc_name`,
    `worker_age`, `master_pid` (of the master that started this one by SIGUSR2, else 0),
    `reexec_pid` (of the master that this one started, else 0).
    """

    # Exit statuses of a worker that the master takes over.
    WORKER_BOOT_ERROR = 3
    APP_LOAD_ERROR = 4

    SIG_QUEUE = SignalQueue()
    START_CTX: dict = {}
    LISTENERS: list = []
    WORKERS: dict = {}

    SIGNALS = [
        getattr(signal, f"SIG{name}")
        for name in ("HUP", "QUIT", "INT", "TERM", "TTIN", "TTOU", "USR1", "USR2", "WINCH")
    ]
    SIG_NAMES = {signo: signo.name[3:].lower() for signo in signal.Signals}

    def __init__(self, app) -> None:
        _prepare_titles()
        os.environ["SERVER_SOFTWARE"] = SERVER_SOFTWARE
        self._num_workers = None
        self._core_object = None
        self._last_logged_active_worker_count = None
        self._modules_before_app = None
        self.log = None
        self.setup(app)

        self.pidfile = None
        self.systemd = False
        self.worker_age = 0
        self.reexec_pid = 0
        self.master_pid = 0
        self.master_name = "Master"
        self.pid = os.getpid()
        self.LISTENERS = []
        self.WORKERS = {}
        self._status = Status()
        self._stopping = False
        self._titled = False  # the command line is overwritten: there is no way back
        self._forks = False  # a worker or a second master
        self._settled = False  # every worker of the first start has been ready
        self._reloading = None  # a _reload.Snapshot, until the new configuration is proven
        self._shared = _exchanges.NOBODYS
        self._sharing = _sharing.Sharing()
        self._promoted_pidfile = None  # to be renamed to, once its old owner is gone
        self._watchdog = systemd.watchdog_interval()
        self.tls = None  # a _tls.Tls, when the workers speak TLS by our engine
        self._stats = {
            "start_time": None,
            "workers_spawned": 0,
            "workers_killed": 0,
            "reloads": 0,
        }
        self.START_CTX = _upgrade.start_context()

    @property
    def _core(self):
        if self._core_object is None:
            self._core_object = _core.ArbiterCore(self)
            self._tell_core()
        return self._core_object

    def _tell_core(self) -> None:
        """Hand the settings that the C core goes by to it."""
        core = self._core_object
        if core is None:
            return
        core.target = self._num_workers or 0
        core.timeout = self.timeout
        core.graceful_timeout = self.cfg.graceful_timeout
        core.boot_timeout = self.cfg.boot_timeout
        core.max_rss = self.cfg.max_rss
        core.max_rss_hard = self.cfg.max_rss_hard
        core.max_unavailable = self.cfg.max_unavailable
        core.max_queue = self.cfg.max_queue
        core.tick = TICK if self._needs_ticks() else 0
        core.watchdog = self._watchdog / 2

    def _needs_ticks(self) -> bool:
        """Whether the rounds have to go on while nothing happens."""
        kind = type(self)
        return (
            self.cfg.enable_backlog_metric
            or self.master_pid != 0
            or self._promoted_pidfile is not None
            or kind.manage_workers is not Arbiter.manage_workers
            or kind.murder_workers is not Arbiter.murder_workers
        )

    @property
    def num_workers(self) -> int:
        """How many workers there should be. Setting it calls the hook `nworkers_changed`."""
        return self._num_workers

    @num_workers.setter
    def num_workers(self, value: int) -> None:
        before = self._num_workers
        self._num_workers = value
        if self._core_object is not None:
            self._core_object.target = value
        self.cfg.nworkers_changed(self, value, before)

    # ---- start ----

    def setup(self, app) -> None:
        """Take over the configuration of `app`."""
        self.app = app
        self.cfg = app.cfg
        self._setup_log()
        if "GUNICORN_PID" in os.environ:
            self.log.reopen_files()

        self.worker_class = self.cfg.worker_class
        self.address = self.cfg.address
        self.num_workers = self.cfg.workers
        self.timeout = self.cfg.timeout
        self.proc_name = self.cfg.proc_name
        self._log_configuration()
        _explain.check_memory_limits(self.cfg, self.log)
        if self.cfg.env:
            os.environ.update(self.cfg.env)
        if self.cfg.preload_app:
            self._preload()
        elif self.cfg.preload_freeze:
            self.log.warning("preload_freeze: without preload_app the workers share nothing")
        self._tell_core()

    def _preload(self) -> None:
        if self._modules_before_app is None:
            self._modules_before_app = set(sys.modules)
        disabled = glogging.disabled_loggers()
        self.app.wsgi()
        glogging.warn_of_disabled_loggers(disabled)
        if self.cfg.preload_freeze:
            self._collect()
        threading = sys.modules.get("threading")
        others = [thread.name for thread in threading.enumerate()[1:]] if threading else []
        if others:
            self.log.warning(
                "The application started threads while it was preloaded. They do not run in the "
                "workers: %s",
                ", ".join(others),
            )

    def _collect(self) -> None:
        """Free what is garbage, and let no collection touch the rest, which workers share."""
        if self.cfg.preload_freeze:
            gc.unfreeze()
        gc.collect()
        if self.cfg.preload_freeze:
            gc.freeze()

    def _setup_log(self) -> None:
        if self.log is None:
            self.log = self.cfg.logger_class(self.cfg)
        else:
            self.log.setup(self.cfg)

    def _log_configuration(self) -> None:
        if getattr(self.log, "loglevel", 0) > 10:  # logging.DEBUG; the text is long
            return
        lines = (f"  {key}: {setting.value}" for key, setting in sorted(self.cfg.settings.items()))
        self.log.debug("Current configuration:\n%s", "\n".join(lines))

    def start(self) -> None:
        """Write the pidfile, and listen. Raises RuntimeError or ConfigError; no pidfile is left."""
        self.log.info("Starting gunicorn %s", __version__)
        self._stats["start_time"] = time.time()
        if "GUNICORN_PID" in os.environ:
            self.master_pid = int(os.environ["GUNICORN_PID"])
            self.proc_name += ".2"
            self.master_name = "Master.2"
        self.pid = os.getpid()
        self._write_pidfile()
        try:
            self._open()
        except BaseException:
            if self.pidfile is not None and os.getpid() == self.pid:
                self.pidfile.unlink()
            raise

    def _write_pidfile(self) -> None:
        if self.cfg.pidfile is None:
            return
        name = self.cfg.pidfile + (".2" if self.master_pid else "")
        self.pidfile = Pidfile(name)
        try:
            self.pidfile.create(self.pid)
        except OSError as exc:
            raise RuntimeError(f"Cannot write the pidfile {name!r}: {exc.strerror}") from exc

    def _open(self) -> None:
        """Open all that serving takes, and say so."""
        self.cfg.on_starting(self)
        self.init_signals()
        self._start_tls()
        if not self.LISTENERS:
            self._listen()
        self.log.debug("Arbiter booted")
        listeners = ",".join(map(str, self.LISTENERS))
        self.log.info("Listening at: %s (%s)", listeners, self.pid)
        self.log.info("Using worker: %s", self.cfg.worker_class_str)
        self._open_status()
        if hasattr(self.worker_class, "check_config"):
            self.worker_class.check_config(self.cfg, self.log)
        _overrides.warn(self.worker_class, self.log)
        if self.cfg.workers == 0:
            self.log.warning("workers is 0: nobody is answered until TTIN asks for one")
        self.cfg.when_ready(self)

    def _start_tls(self) -> None:
        """Read the certificate and its key. Raises ConfigError."""
        if not self.cfg.is_ssl:  # what it takes is imported only then
            return
        from gunicorn import _tls

        self.tls = _tls.start(self.cfg, self.log)

    def _open_status(self) -> None:
        self._status.open(self.cfg, self.log, self._core)
        try:
            self._core.open_private()
        except OSError as exc:
            log = self.log.debug if exc.errno == errno.EOPNOTSUPP else self.log.warning
            log("gunicorn --dump will not reach this master: %s", exc.strerror)

    def _listen(self) -> None:
        fds = None
        count = systemd.listen_fds()
        if count:
            self.systemd = True
            first = systemd.SD_LISTEN_FDS_START
            fds = range(first, first + count)
        elif self.master_pid:
            fds = [int(fd) for fd in os.environ.pop("GUNICORN_FD", "").split(",") if fd]
        if not self.cfg.reuse_port:  # else each worker has sockets of its own
            self.LISTENERS = sock.create_sockets(self.cfg, self.log, fds)

    def init_signals(self) -> None:
        """Queue the signals of the master from now on.

        Raises RuntimeError when the system does not give what the master needs.
        """
        self.log.close_on_exec()
        try:
            self._core.install_signals([*self.SIGNALS, signal.SIGCHLD])
        except OSError as exc:
            raise RuntimeError(f"The master cannot start: {exc.strerror}") from exc
        disown = weakref.WeakMethod(self._disown)
        os.register_at_fork(after_in_child=lambda: (disown() or (lambda: None))())

    def _disown(self) -> None:
        """In a process that a hook has forked: the listeners are not its own."""
        if self._forks or type(self).spawn_worker is not Arbiter.spawn_worker:
            return
        for listener in self.LISTENERS:
            listener.close()
        self._status.close(unlink=False)

    def run(self) -> None:
        """Be the master. Ends the process."""
        self.start()
        self._end_copy()
        self._set_title("master")
        try:
            self.manage_workers()
            if self.num_workers == 0:
                self._notify_ready()
            self._core.run()
        except (StopIteration, KeyboardInterrupt):
            self.halt()
        except HaltServer as halt:
            self.halt(reason=halt.reason, exit_status=halt.exit_status)
        except SystemExit:
            raise
        except Exception:
            self.log.error("Unhandled exception in main loop", exc_info=True)
            self.stop(False)
            if self.pidfile is not None:
                self.pidfile.unlink()
            sys.exit(-1)

    def _end_copy(self) -> None:
        """Return in the master alone: a hook may have forked a process that came back."""
        if os.getpid() != self.pid:
            self.log.warning(
                "Process %s, which a hook has forked, came back into the server: it is ended. "
                "End it by os._exit()",
                os.getpid(),
            )
            os._exit(0)

    def _set_title(self, role: str) -> None:
        """Show the process by a title, as gunicorn does where setproctitle is installed.

        Else the command line stays, which pgrep -f and supervisors look for, unless `proc_name`
        asks for a title.
        """
        named = self.cfg.settings["proc_name"].get() is not None
        self._titled |= named or util.has_setproctitle()
        if self._titled:
            _core.set_proc_title(f"gunicorn: {role} [{self.proc_name}]")

    # ---- what the core calls ----

    def _woken(self) -> None:
        """After each sleep of the loop."""
        if self.master_pid or self._promoted_pidfile:
            self.maybe_promote_master()
        if self._watchdog:
            systemd.sd_notify("WATCHDOG=1", self.log)

    def _waiting_in_exchanges(self) -> int:
        """For the status port."""
        return _exchanges.waiting(self)

    def _on_signal(self, signo: int) -> None:
        name = self.SIG_NAMES.get(signo)
        if name is None:
            self.log.info("Ignoring unknown signal: %s", signo)
            return
        handler = getattr(self, f"handle_{name}", None)
        if handler is None:
            self.log.error("Unhandled signal: %s", name)
            return
        log = self.log.debug if signo == signal.SIGCHLD else self.log.info
        log("Handling signal: %s", name)
        handler()

    def _worker_ready(self, pid: int, generation: int) -> None:
        core = self._core
        if core.status_paused and self.master_pid:
            self._status.take_over(core)
        if self._reloading is not None and generation == core.generation:
            self._finish_reload()
        if not self._settled and core.missing() == 0:
            self._settled = all(phase != "booting" for *_, phase in core.children())
            if self._settled:
                self._notify_ready()

    def _notify_ready(self) -> None:
        systemd.sd_notify("READY=1\nSTATUS=Gunicorn arbiter booted", self.log)

    # ---- signals ----

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
        alone = self.reexec_pid == 0 and self.master_pid == 0
        if self.cfg.drain_delay > 0 and alone and not self._stopping:
            self._leave()
        raise StopIteration

    def _leave(self) -> None:
        """Serve on for `drain_delay`, while the status port says that we are going."""
        self.log.info("Stopping in %g s (drain_delay)", self.cfg.drain_delay)
        self._notify_stopping()
        signo = self._core.leave(self.cfg.drain_delay)
        if signo in (signal.SIGINT, signal.SIGQUIT):
            self.stop(False)

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
        if self.num_workers <= 1:
            return
        self.num_workers -= 1
        self.manage_workers()

    def handle_usr1(self) -> None:
        """Open the log files anew, here and in the workers."""
        try:
            self.log.reopen_files()
        except OSError as exc:
            self.log.error("Cannot open the log files anew: %s", exc)
        self.kill_workers(signal.SIGUSR1)

    def handle_usr2(self) -> None:
        """Start a second master from the program as it is now on disk."""
        self.reexec()

    def handle_winch(self) -> None:
        """As a daemon: stop the workers and stay."""
        if not self.cfg.daemon:
            self.log.debug("SIGWINCH ignored. Not daemonized")
            return
        self.log.info("graceful stop of workers")
        self.num_workers = 0
        self.kill_workers(signal.SIGTERM)

    def wakeup(self) -> None:
        """Let the loop do a round now."""
        os.kill(self.pid, signal.SIGCHLD)

    # ---- end ----

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Stop the workers and end the process with `exit_status`."""
        self.stop()
        log = self.log.info if exit_status == 0 else self.log.error
        log("Shutting down: %s", self.master_name)
        if reason is not None:
            log("Reason: %s", reason)
        if self.pidfile is not None:
            self.pidfile.unlink()
        self.cfg.on_exit(self)
        try:
            sys.exit(exit_status)
        finally:
            _ending.guard(self.log, f"The master (pid:{self.pid})", self.cfg.graceful_timeout)

    def stop(self, graceful: bool = True) -> None:
        """Close the listeners and stop the workers, within `graceful_timeout`, by SIGKILL then.

        `graceful` workers finish what runs and what waits to be accepted.
        """
        if not self._stopping:
            self._stopping = True
            self._notify_stopping()
        shared = self._shares_sockets()
        if self._reloading is not None:
            snapshot, self._reloading = self._reloading, None
            snapshot.discard(self)
        if graceful and not shared:
            sock.refuse_new_connections(self.LISTENERS, self.log)
        sock.close_sockets(self.LISTENERS, unlink=not shared and not self.cfg.reuse_port)
        self.LISTENERS = []
        self.kill_workers(signal.SIGTERM if graceful else signal.SIGQUIT)
        self._core.drain(self.cfg.graceful_timeout, not graceful)
        if self.WORKERS:
            self.kill_workers(signal.SIGKILL)
            self._core.drain(REAP_LIMIT, True)
        self._core.end_status()
        self._status.close(unlink=not shared)

    def _shares_sockets(self) -> bool:
        """Whether the listeners are another master's, too, or the service manager's."""
        return self.reexec_pid != 0 or self.master_pid != 0 or self.systemd

    def _notify_stopping(self) -> None:
        if self.reexec_pid:
            systemd.sd_notify(f"MAINPID={self.reexec_pid}", self.log)
        else:
            systemd.sd_notify("STOPPING=1\nSTATUS=Stopping", self.log)

    def _hurry(self) -> None:
        """A second INT or QUIT came while stopping."""
        self.log.info("Quick shutdown requested")
        self.kill_workers(signal.SIGQUIT)

    # ---- workers ----

    def manage_workers(self) -> None:
        """Fork the workers that are missing, stop those that are too many."""
        self._adopt()
        self._core.manage()
        count = len(self.WORKERS)
        if self._last_logged_active_worker_count != count:
            self._last_logged_active_worker_count = count
            extra = {"metric": "gunicorn.workers", "value": count, "mtype": "gauge"}
            self.log.debug("%s workers", count, extra=extra)
        if self.cfg.enable_backlog_metric:
            self._log_backlog()

    def _log_backlog(self) -> None:
        backlog = sum(listener.get_backlog() or 0 for listener in self.LISTENERS)
        if backlog >= 0:
            extra = {"metric": "gunicorn.backlog", "value": backlog, "mtype": "histogram"}
            self.log.debug("socket backlog: %s", backlog, extra=extra)

    def spawn_workers(self) -> None:
        """Fork the workers that are missing."""
        missing = self._core.missing()
        if missing:
            self._sharing.prepare(self, self._core.generation)
        for _ in range(missing):
            try:
                self.spawn_worker()
            except OSError as exc:
                pause = self._core.fork_failed()
                self.log.error("Cannot fork a worker: %s. The next try is in %.1f s.", exc, pause)
                return
            self._adopt()

    def _adopt(self) -> None:
        """Have the workers counted that a subclass has forked by itself; they are ready at once."""
        if type(self).spawn_worker is Arbiter.spawn_worker:
            return
        known = {pid for pid, *_ in self._core.children()}
        for pid in self.WORKERS.keys() - known:
            self._core.adopt(pid, self.WORKERS[pid].age)
            self._worker_ready(pid, self._core.generation)

    def spawn_worker(self) -> int:
        """Fork one worker. Returns its pid in the master; does not return in the worker.

        Raises OSError when there can be no further process.
        """
        self.worker_age += 1
        worker = self.worker_class(
            self.worker_age,
            self.pid,
            self.LISTENERS,
            self.app,
            self.timeout / 2.0,
            self.cfg,
            self.log,
        )
        worker.tls = self.tls
        _exchanges.join(self, worker)
        self.cfg.pre_fork(self, worker)
        self._forks = True
        try:
            pid, slot = self._core.fork(self.worker_age)
        finally:
            self._forks = False
        if pid == 0:
            try:
                _exchanges.keep_own(self)
                self._be_worker(worker, slot)
            except SystemExit:
                raise
            except BaseException:  # of the logger: what the master does must not go on in here
                os._exit(255 if worker.booted else self.WORKER_BOOT_ERROR)
        worker.pid = pid
        worker.tmp.slot = slot
        self.WORKERS[pid] = worker
        if self.cfg.max_lifetime > 0:
            self._core.expire(pid, self.cfg.max_lifetime + self.cfg.max_lifetime_jitter * _chance())
        self._stats["workers_spawned"] += 1
        return pid

    def _be_worker(self, worker, slot) -> None:
        """The worker's whole life. Raises SystemExit alone, for the caller is the master."""
        worker.pid = os.getpid()
        try:
            _ending.forget_processes()
            worker.tmp.slot = slot
            worker.master_pipe = self._core.master_pipe
            self._status.close(unlink=False)
            self._set_title("worker")
            if self._reloading is not None:
                self._reloading.close_in_worker(self)
            self.log.info("Booting worker with pid: %s", worker.pid)
            if self.cfg.reuse_port:
                worker.sockets = sock.create_sockets(self.cfg, self.log)
            self.cfg.post_fork(self, worker)
            self._serve(worker)
            sys.exit(0)
        except SystemExit:
            raise
        except (AppImportError, ConfigError) as exc:
            self.log.debug("The worker cannot start", exc_info=True)
            if self.cfg.errorlog != "-":
                self.log.error("%s", exc)
            util.say(exc)
            found = not isinstance(exc, (AppModuleNotFound, ConfigError))
            sys.exit(self.APP_LOAD_ERROR if found else self.WORKER_BOOT_ERROR)
        except BaseException as exc:
            self.log.exception("Exception in worker process")
            util.say(exc)
            sys.exit(-1 if worker.booted else self.WORKER_BOOT_ERROR)
        finally:
            self.log.info("Worker exiting (pid: %s)", worker.pid)
            _ending.guard(self.log, f"Worker (pid:{worker.pid})", worker.patience())
            try:
                worker.tmp.close()
                self.cfg.worker_exit(self, worker)
            except Exception:
                self.log.warning("Exception during worker exit:", exc_info=True)
            sock.leave_open([*self.LISTENERS, *worker.sockets])

    @staticmethod
    def _serve(worker) -> None:
        """Run the worker. A process that its application has forked does not come back."""
        try:
            worker.init_process()
        except BaseException as exc:
            _forked.end_if_child(worker, exc)
            raise
        _forked.end_if_child(worker)

    def kill_workers(self, sig: int) -> None:
        """Send `sig` to every worker."""
        for pid in list(self.WORKERS):
            self.kill_worker(pid, sig)

    def kill_worker(self, pid: int, sig: int) -> None:
        """Send `sig` to one worker. One that is gone already is forgotten."""
        try:
            self._core.kill(pid, sig)
        except PermissionError as exc:
            self._may_not_kill(pid, sig, exc)
            return
        except OSError as exc:
            if exc.errno != errno.ESRCH:
                raise
            self._core.forget(pid)
            worker = self.WORKERS.pop(pid, None)
            if worker is not None:
                self.cfg.worker_exit(self, worker)
            return
        if sig in (signal.SIGTERM, signal.SIGKILL):
            self._stats["workers_killed"] += 1

    def _may_not_kill(self, pid: int, sig: int, exc: OSError) -> None:
        """The worker has another user, and this process may not signal those of others."""
        self.log.error(
            "Cannot send %s to worker (pid:%s): %s. The master needs to be root with the "
            "capability CAP_KILL, or the workers' user.",
            signal.Signals(sig).name,
            pid,
            exc.strerror,
        )
        if self._stopping:
            self._core.let_go()

    def murder_workers(self) -> None:
        """Abort the workers that are silent for longer than `timeout`, kill the aborted."""
        self._core.murder()

    def _worker_timed_out(self, pid: int, phase: str, silent: float) -> None:
        worker = self.WORKERS.get(pid)
        self.log.critical("WORKER TIMEOUT (pid:%s)", pid)
        self.log.critical("Worker (pid:%s) %s", pid, _explain.silence(worker, phase, silent))
        if worker is not None:
            worker.aborted = True
        self.kill_worker(pid, signal.SIGABRT)

    def _worker_boots_slowly(self, pid: int, booting: float) -> None:
        self.log.warning("Worker (pid:%s) has been booting for %.1f s", pid, booting)

    def _worker_overdue(self, pid: int) -> None:
        self.log.error(
            "Worker (pid:%s) was told to stop and did not within graceful_timeout (%s s)",
            pid,
            self.cfg.graceful_timeout,
        )
        self.kill_worker(pid, signal.SIGABRT)  # its stacks go to the log; SIGKILL follows

    def _worker_due(self, pid: int, reason: str, memory: int) -> None:
        """It serves on until its turn comes. Of max_requests the worker tells itself."""
        _explain.due(self.cfg, self.log, pid, reason, memory)

    def _worker_too_big(self, pid: int, memory: int) -> None:
        worker = self.WORKERS.get(pid)
        _explain.too_big(self.cfg, self.log, pid, memory, worker)
        if worker is not None:
            worker.aborted = True
        self.kill_worker(pid, signal.SIGABRT)

    def _worker_born_big(self, pid: int, memory: int) -> None:
        _explain.born_big(self.log, pid, memory)

    # ---- deaths ----

    def reap_workers(self) -> None:
        """Collect the workers that died."""
        self._core.reap()

    def _stranger_died(self, pid: int, status: int) -> None:
        if pid == self.reexec_pid:
            self.reexec_pid = 0
            self._core.successor_gone()
            _exchanges.look_for_another_master(self)
            return
        self.log.debug("Reaped unknown child process (pid:%s, status:%s)", pid, status)

    def _worker_died(
        self,
        pid: int,
        status: int,
        phase: str,
        generation: int,
        requests: int,
        pause: float,
        reason: str,
        peak: int,
        serving: int,
        first_boot: bool,
    ) -> None:
        worker = self.WORKERS.pop(pid, None)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            oom = (peak, self._core.memory_limit) if reason == "out_of_memory" else None
            _explain.death_by_signal(self.log, pid, -code, phase, worker, oom)
        elif code:
            self.log.error("Worker (pid:%s) exited with code %s.", pid, code)
        if reason in ("exited", "failed"):
            _explain.unasked_exit(self.log, pid, code, phase, worker)
        if pause:
            self.log.error("Workers die as soon as they start. The next try is in %.2f s.", pause)
        if worker is not None:
            worker.tmp.close()
            _exchanges.leave(worker)
            self.cfg.child_exit(self, worker)
        if self._stopping:
            return
        if self._is_failed_probe(phase, generation):
            self._cancel_reload(f"its first worker (pid:{pid}) did not boot")
        elif phase == "booting" and code in (self.WORKER_BOOT_ERROR, self.APP_LOAD_ERROR):
            if first_boot:
                failed = code == self.WORKER_BOOT_ERROR
                raise HaltServer(
                    "Worker failed to boot." if failed else "App failed to load.", code
                )
            if generation == self._core.generation:
                self._boot_failed(pid, serving)

    def _boot_failed(self, pid: int, serving: int) -> None:
        """A worker could not boot, after others could: it is forked again."""
        self.log.error(
            "Worker (pid:%s) failed to boot; %s meanwhile. Its own lines above say why. Another is "
            "tried until one boots; a mended configuration is read at HUP.",
            pid,
            f"{serving} serve" if serving else "NONE serves",
        )
        if serving and not self._settled:
            self._settled = True
            self._notify_ready()

    # ---- reload ----

    def reload(self) -> None:
        """Read the configuration again and replace the workers by ones that go by it.

        The first new worker is waited for. Until it is ready the old ones serve; if it does not
        boot, or the configuration has a mistake, all stays as it was.
        """
        self._stats["reloads"] += 1
        if self._reloading is None:
            self._reloading = _reload.Snapshot(self, self._core.generation)
        snapshot = self._reloading
        self._notify_reloading()
        try:
            self._load_again(snapshot)
        except (Exception, SystemExit) as exc:
            self._cancel_reload(_reload.reason_of(exc))
            return
        snapshot.last_replaced = self.worker_age
        self._set_title("master")
        self._core.new_generation()
        self._tell_core()
        self.manage_workers()
        if self.num_workers == 0 and self._reloading is not None:
            self._finish_reload()  # there is nobody to prove it

    def _notify_reloading(self) -> None:
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        systemd.sd_notify(f"RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=Reloading", self.log)

    def _load_again(self, snapshot) -> None:
        old = self.cfg
        _reload.reset_environ(old)
        if self._modules_before_app is not None and hasattr(self.app, "callable"):
            self.app.callable = None
            _reload.forget_application(self._modules_before_app)
        self.app.reload()
        self.setup(self.app)
        if self.master_pid:
            self.proc_name += ".2"
        self.log.reopen_files()
        self._reload_tls()
        if old.address != self.cfg.address:
            _reload.rebind(self, snapshot)
            self.log.info("Listening at: %s", ",".join(map(str, self.LISTENERS)))
        _reload.move_status(self, snapshot)
        _reload.move_pidfile(self, snapshot, old)
        self.cfg.on_reload(self)

    def _reload_tls(self) -> None:
        if not self.cfg.is_ssl:
            self.tls = None
            return
        from gunicorn import _tls

        self.tls = _tls.reload(self.tls, self.cfg, self.log)
        if self.tls is None:
            sock.check_certificates(self.cfg)

    def _is_failed_probe(self, phase: str, generation: int) -> bool:
        core = self._core
        return (
            self._reloading is not None
            and generation == core.generation
            and not core.proven
            and phase != "stopping"
        )

    def _cancel_reload(self, reason) -> None:
        snapshot, self._reloading = self._reloading, None
        try:
            snapshot.restore(self)
        except Exception:
            self.log.exception("What was before the reload could not be restored completely")
        if snapshot.modules is not None:
            self._collect()
        trace = reason if isinstance(reason, BaseException) else None
        self.log.error("The reload failed, everything stays as it was: %s", reason, exc_info=trace)
        self._core.restore_generation(snapshot.generation)
        self._status.watch(self._core)
        self._tell_core()
        self._set_title("master")
        self._notify_ready()

    def _finish_reload(self) -> None:
        snapshot, self._reloading = self._reloading, None
        _exchanges.replace(self, snapshot.last_replaced)
        snapshot.discard(self)
        if snapshot.modules is not None:
            del snapshot
            self._collect()  # the old application, which is full of cycles
        self.log.debug("The new configuration works: the workers of the old one are replaced")
        self._notify_ready()

    # ---- upgrade ----

    def reexec(self) -> None:
        """Start a second master from the program on disk. It shares the listeners."""
        if self.reexec_pid:
            self.log.warning("USR2 signal ignored. Child exists.")
            return
        if self.master_pid:
            self.log.warning("USR2 signal ignored. Parent exists.")
            return
        master_pid = os.getpid()
        status_pipe = self._core.await_successor()
        self._forks = True
        try:
            self.reexec_pid = os.fork()
        except OSError as exc:
            self.log.error("Cannot fork a new master: %s", exc)
        finally:
            self._forks = False
        if os.getpid() == master_pid:
            if status_pipe >= 0:
                os.close(status_pipe)
            _exchanges.look_for_another_master(self)
            return
        try:
            _core.drop_signals()
            self.cfg.pre_exec(self)
            _upgrade.execute(self, master_pid, status_pipe)
        except BaseException:
            self.log.exception("The new master could not be started")
        finally:
            os._exit(1)

    def maybe_promote_master(self) -> None:
        """Take the place of the master that started this one, once it is gone."""
        if self.master_pid and self.master_pid != os.getppid():
            self.log.info("Master has been promoted.")
            self.master_name = "Master"
            self.master_pid = 0
            _exchanges.look_for_another_master(self)
            self._status.take_over(self._core)
            self.proc_name = self.cfg.proc_name
            os.environ.pop("GUNICORN_PID", None)
            self._promoted_pidfile = self.cfg.pidfile
            self._set_title("master")
            systemd.sd_notify(f"MAINPID={self.pid}", self.log)
            self._tell_core()
        if self._promoted_pidfile and self.pidfile is not None:
            self._rename_pidfile()

    def _rename_pidfile(self) -> None:
        try:
            self.pidfile.rename(self._promoted_pidfile)
        except RuntimeError:
            return  # its owner is dead, but not yet collected by its parent: next time
        except OSError as exc:
            self.log.error("Cannot rename the pidfile: %s", exc)
        self._promoted_pidfile = None
        self._tell_core()


def _prepare_titles() -> None:
    """Let the package setproctitle, which hooks and applications use, find the title's memory.

    It looks for the command line in front of the environment: before either is changed.
    """
    try:
        import setproctitle
    except ImportError:
        return
    setproctitle.getproctitle()


def _chance() -> float:
    """Return a number from 0 to 1, without the generator that an application may have seeded."""
    return int.from_bytes(os.urandom(4), "little") / 0xFFFFFFFF
