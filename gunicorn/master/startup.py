"""The start of the master: its pidfile, its listeners, its signals."""

import errno
import os
import signal
import time
import weakref
from collections.abc import Iterable

from gunicorn import __version__, sock, systemd
from gunicorn.master import dirty, explain, settings, titles
from gunicorn.pidfile import Pidfile
from gunicorn.workers import _overrides


def start(arbiter) -> None:
    """Write the pidfile, and listen. Raises RuntimeError or ConfigError; no pidfile is left."""
    arbiter.log.info("Starting gunicorn %s", __version__)
    arbiter._stats["start_time"] = time.time()
    if "GUNICORN_PID" in os.environ:
        arbiter.master_pid = int(os.environ["GUNICORN_PID"])
        arbiter.proc_name += ".2"
        arbiter.master_name = "Master.2"
    arbiter.pid = os.getpid()
    _write_pidfile(arbiter)
    try:
        _open(arbiter)
    except BaseException:
        if arbiter.pidfile is not None and os.getpid() == arbiter.pid:
            arbiter.pidfile.unlink()
        raise


def _write_pidfile(arbiter) -> None:
    if arbiter.cfg.pidfile is None:
        return
    name = arbiter.cfg.pidfile + (".2" if arbiter.master_pid else "")
    arbiter.pidfile = Pidfile(name)
    try:
        arbiter.pidfile.create(arbiter.pid)
    except OSError as exc:
        raise RuntimeError(f"Cannot write the pidfile {name!r}: {exc.strerror}") from exc


def _open(arbiter) -> None:
    """Open all that serving takes, and log it."""
    cfg, log, worker_class = arbiter.cfg, arbiter.log, arbiter.worker_class
    cfg.on_starting(arbiter)
    arbiter.init_signals()
    _start_tls(arbiter)
    if not arbiter.LISTENERS:
        _listen(arbiter)
    log.debug("Arbiter booted")
    log.info("Listening at: %s (%s)", ",".join(map(str, arbiter.LISTENERS)), arbiter.pid)
    log.info("Using worker: %s", cfg.worker_class_str)
    explain.automatic_workers(cfg, log)
    _open_status(arbiter)
    dirty.prepare(arbiter)
    if hasattr(worker_class, "check_config"):
        worker_class.check_config(cfg, log)
    _overrides.warn(worker_class, log)
    if cfg.workers == 0:
        log.warning("workers is 0: nobody is answered until TTIN asks for one")
    cfg.when_ready(arbiter)


def _start_tls(arbiter) -> None:
    """Read the certificate and its key. Raises ConfigError."""
    if not arbiter.cfg.is_ssl:  # its modules are imported only then
        return
    from gunicorn import _tls

    arbiter.tls = _tls.start(arbiter.cfg, arbiter.log)


def _listen(arbiter) -> None:
    fds: Iterable[int] | None = None
    count = systemd.listen_fds()
    if count:
        arbiter.systemd = True
        first = systemd.SD_LISTEN_FDS_START
        fds = range(first, first + count)
    elif arbiter.master_pid:
        fds = [int(fd) for fd in os.environ.pop("GUNICORN_FD", "").split(",") if fd]
    if not arbiter.cfg.reuse_port:  # else each worker has sockets of its own
        arbiter.LISTENERS = sock.create_sockets(arbiter.cfg, arbiter.log, fds)


def _open_status(arbiter) -> None:
    log, core = arbiter.log, arbiter._core
    arbiter._status.open(arbiter.cfg, log, core)
    try:
        core.open_private()
    except OSError as exc:
        report = log.debug if exc.errno == errno.EOPNOTSUPP else log.warning
        report("gunicorn --dump will not reach this master: %s", exc.strerror)
    arbiter._control.follow(arbiter)


def init_signals(arbiter) -> None:
    """Queue the signals of the master from now on.

    Raises RuntimeError when the system does not give the descriptors and memory for it.
    """
    arbiter.log.close_on_exec()
    try:
        arbiter._core.install_signals([*arbiter.SIGNALS, signal.SIGCHLD])
    except OSError as exc:
        raise RuntimeError(f"The master cannot start: {exc.strerror}") from exc
    reference = weakref.ref(arbiter)

    def forked():
        copy = reference()
        if copy is not None:
            _disown(copy)

    os.register_at_fork(after_in_child=forked)


def _disown(arbiter) -> None:
    """In a process that a hook has forked: the listeners are not its own."""
    if arbiter._forks or _overrides.has_own(arbiter, "spawn_worker"):
        return
    for listener in arbiter.LISTENERS:
        listener.close()
    arbiter._status.close(unlink=False)
    arbiter._control.leave()
    arbiter._dirty.leave()


def settle(arbiter) -> None:
    """After the start, before the loop."""
    check_process(arbiter)
    titles.show(arbiter, "master")
    settings.pass_to_core(arbiter)  # hooks may have replaced methods


def check_process(arbiter) -> None:
    """End a process that a hook has forked."""
    if os.getpid() != arbiter.pid:
        end_stray(arbiter)


def end_stray(arbiter) -> None:
    """This process, which a hook has forked, came back into the server: it ends."""
    arbiter.log.warning(
        "Process %s, which a hook has forked, came back into the server: it is ended. "
        "End it by os._exit()",
        os.getpid(),
    )
    os._exit(0)
