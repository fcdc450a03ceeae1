"""Workers that hang, grow, or do not stop."""

import signal

from gunicorn.master import explain


def timed_out(arbiter, pid: int, phase: str, silent: float) -> None:
    """A worker is silent for longer than `timeout`, or boots for too long: abort it."""
    worker = arbiter.WORKERS.get(pid)
    arbiter.log.critical("WORKER TIMEOUT (pid:%s)", pid)
    arbiter.log.critical("Worker (pid:%s) %s", pid, explain.silence(worker, phase, silent))
    _abort(arbiter, pid)


def slow_boot(arbiter, pid: int, booting: float) -> None:
    """A worker has been booting for `timeout`, which alone is no reason to end it."""
    arbiter.log.warning("Worker (pid:%s) has been booting for %.1f s", pid, booting)


def overdue(arbiter, pid: int) -> None:
    """A worker does not stop: its stacks go to the log; SIGKILL follows."""
    arbiter.log.error(
        "Worker (pid:%s) was asked to stop and did not within graceful_timeout (%s s)",
        pid,
        arbiter.cfg.graceful_timeout,
    )
    arbiter.kill_worker(pid, signal.SIGABRT)


def due(arbiter, pid: int, reason: str, memory: int) -> None:
    """A worker has reached a limit of the master's. It serves until its successor is ready."""
    explain.due(arbiter.cfg, arbiter.log, pid, reason, memory)


def too_big(arbiter, pid: int, memory: int) -> None:
    """A worker is beyond `max_rss_hard`: abort it."""
    explain.too_big(arbiter.cfg, arbiter.log, pid, memory, arbiter.WORKERS.get(pid))
    _abort(arbiter, pid)


def born_big(arbiter, pid: int, memory: int) -> None:
    """A worker was beyond a limit of memory as soon as it had booted."""
    explain.born_big(arbiter.log, pid, memory)


def _abort(arbiter, pid: int) -> None:
    worker = arbiter.WORKERS.get(pid)
    if worker is not None:
        worker.aborted = True
    arbiter.kill_worker(pid, signal.SIGABRT)
