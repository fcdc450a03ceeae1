"""How many workers there are: forked, adopted, signalled."""

import errno
import functools
import os
import signal

from gunicorn.master import exchanges, notify, reload, worker_process
from gunicorn.workers import _overrides


def manage(arbiter) -> None:
    """Fork the workers that are missing, stop those that are too many."""
    _adopt(arbiter)
    arbiter._core.manage()
    counted(arbiter)
    if arbiter.cfg.enable_backlog_metric:
        _log_backlog(arbiter)


def counted(arbiter) -> None:
    """Log how many workers there are, if that has changed."""
    count = len(arbiter.WORKERS)
    if arbiter._last_logged_active_worker_count != count:
        arbiter._last_logged_active_worker_count = count
        extra = {"metric": "gunicorn.workers", "value": count, "mtype": "gauge"}
        arbiter.log.debug("%s workers", count, extra=extra)


def _log_backlog(arbiter) -> None:
    backlog = sum(listener.get_backlog() or 0 for listener in arbiter.LISTENERS)
    if backlog >= 0:
        extra = {"metric": "gunicorn.backlog", "value": backlog, "mtype": "histogram"}
        arbiter.log.debug("socket backlog: %s", backlog, extra=extra)


def _adopt(arbiter) -> None:
    """Have the workers counted that a subclass has forked by itself; they are ready at once."""
    if not _overrides.has_own(arbiter, "spawn_worker"):
        return
    known = {pid for pid, *_ in arbiter._core.children()}
    for pid in arbiter.WORKERS.keys() - known:
        arbiter._core.adopt(pid, arbiter.WORKERS[pid].age)
        ready(arbiter, pid, arbiter._core.generation)


def ready(arbiter, pid: int, generation: int) -> None:
    """A worker serves: the first of a new configuration proves that, the last ends the start."""
    core = arbiter._core
    if core.status_paused and arbiter.master_pid:
        arbiter._status.take_over(core)
    if arbiter._reloading is not None and generation == core.generation:
        reload.finish(arbiter)
    if not arbiter._settled and core.missing() == 0:
        arbiter._settled = all(phase != "booting" for *_, phase in core.children())
        if arbiter._settled:
            notify.ready(arbiter)


# ---- forking ----


def spawn_missing(arbiter) -> None:
    """Fork the workers that are missing."""
    missing = arbiter._core.missing()
    if missing:
        arbiter._sharing.prepare(arbiter, arbiter._core.generation)
    for _ in range(missing):
        try:
            arbiter.spawn_worker()
        except OSError as exc:
            pause = arbiter._core.fork_failed()
            arbiter.log.error("Cannot fork a worker: %s. The next try is in %.1f s.", exc, pause)
            return
        _adopt(arbiter)


def spawn(arbiter) -> int:
    """Fork one worker, and return its pid. Raises OSError when there can be no further process."""
    worker = _make(arbiter)
    arbiter.cfg.pre_fork(arbiter, worker)
    arbiter._forks = True
    try:
        pid, slot = arbiter._core.fork(arbiter.worker_age)
    finally:
        arbiter._forks = False
    worker.tmp.slot = slot
    if pid == 0:
        worker_process.forked(arbiter, functools.partial(worker_process.be_worker, arbiter, worker))
    worker.pid = pid
    arbiter.WORKERS[pid] = worker
    if arbiter.cfg.max_lifetime > 0:
        lifetime = arbiter.cfg.max_lifetime + arbiter.cfg.max_lifetime_jitter * _chance()
        arbiter._core.expire(pid, lifetime)
    arbiter._stats["workers_spawned"] += 1
    return pid


def _make(arbiter):
    """Return the object of a worker that is about to be forked."""
    arbiter.worker_age += 1
    worker = arbiter.worker_class(
        arbiter.worker_age,
        arbiter.pid,
        arbiter.LISTENERS,
        arbiter.app,
        arbiter.timeout / 2.0,
        arbiter.cfg,
        arbiter.log,
    )
    worker.tls = arbiter.tls
    worker.log_level = arbiter._log_level
    exchanges.join(arbiter, worker)
    return worker


def _chance() -> float:
    """Return a number from 0 to 1, without the generator that an application may have seeded."""
    return int.from_bytes(os.urandom(4), "little") / 0xFFFFFFFF


# ---- signalling ----


def kill_all(arbiter, sig: int) -> None:
    """Send `sig` to every worker."""
    for pid in list(arbiter.WORKERS):
        arbiter.kill_worker(pid, sig)


def kill(arbiter, pid: int, sig: int) -> None:
    """Send `sig` to one worker. One that is gone already is forgotten."""
    try:
        arbiter._core.kill(pid, sig)
    except PermissionError as exc:
        _may_not_kill(arbiter, pid, sig, exc)
        return
    except OSError as exc:
        if exc.errno != errno.ESRCH:
            raise
        _forget(arbiter, pid)
        return
    if sig in (signal.SIGTERM, signal.SIGKILL):
        arbiter._stats["workers_killed"] += 1


def _forget(arbiter, pid: int) -> None:
    arbiter._core.forget(pid)
    worker = arbiter.WORKERS.pop(pid, None)
    if worker is not None:
        arbiter.cfg.worker_exit(arbiter, worker)


def _may_not_kill(arbiter, pid: int, sig: int, exc: OSError) -> None:
    """The worker has another user, and this process may not signal those of others."""
    arbiter.log.error(
        "Cannot send %s to worker (pid:%s): %s. The master needs to be root with the "
        "capability CAP_KILL, or the workers' user.",
        signal.Signals(sig).name,
        pid,
        exc.strerror,
    )
    if arbiter._stopping:
        arbiter._core.let_go()
