"""The end of the master and of its workers."""

import signal
import sys

from gunicorn import sock
from gunicorn.master import dirty, ending, exchanges, notify, startup

REAP_LIMIT = 2.0  # seconds to wait for workers that were sent SIGKILL


def leave(arbiter) -> None:
    """Serve on for `drain_delay`, while the status port says that the server is about to stop."""
    delay = arbiter.cfg.drain_delay
    if delay <= 0 or not is_alone(arbiter) or arbiter._stopping:
        return
    arbiter.log.info("Stopping in %g s (drain_delay)", delay)
    notify.stopping(arbiter)
    if arbiter._core.leave(delay) in (signal.SIGINT, signal.SIGQUIT):
        arbiter.stop(False)


def halt(arbiter, reason: str | None, exit_status: int) -> None:
    """Stop the workers and end the process with `exit_status`."""
    arbiter.stop()
    log = arbiter.log.info if exit_status == 0 else arbiter.log.error
    log("Shutting down: %s", arbiter.master_name)
    if reason is not None:
        log("Reason: %s", reason)
    if arbiter.pidfile is not None:
        arbiter.pidfile.unlink()
    arbiter.cfg.on_exit(arbiter)
    try:
        sys.exit(exit_status)
    finally:
        patience = arbiter.cfg.graceful_timeout
        ending.guard(arbiter.log, f"The master (pid:{arbiter.pid})", patience)


def crash(arbiter) -> None:
    """An exception has ended the loop: log it, and end the process."""
    arbiter.log.error("Unhandled exception in main loop", exc_info=True)
    arbiter.stop(False)
    if arbiter.pidfile is not None:
        arbiter.pidfile.unlink()
    sys.exit(-1)


def stop(arbiter, graceful: bool) -> None:
    """Close the listeners and stop the workers, within `graceful_timeout`, by SIGKILL then."""
    startup.check_process(arbiter)
    if not arbiter._stopping:
        arbiter._stopping = True
        notify.stopping(arbiter)
    shared = shares_sockets(arbiter)
    if arbiter._reloading is not None:
        snapshot, arbiter._reloading = arbiter._reloading, None
        snapshot.discard(arbiter)
    _close_listeners(arbiter, graceful, shared)
    if is_alone(arbiter):
        exchanges.end(arbiter)
    arbiter.kill_workers(signal.SIGTERM if graceful else signal.SIGQUIT)
    if graceful:
        dirty.stop_last(arbiter)
    else:
        dirty.kill_all(arbiter, signal.SIGQUIT)
    arbiter._core.drain(arbiter.cfg.graceful_timeout, not graceful)
    _end_the_rest(arbiter)
    arbiter._dirty.close()
    arbiter._core.end_status()
    arbiter._status.close(unlink=not shared)
    arbiter._control.close(arbiter._core)


def _end_the_rest(arbiter) -> None:
    """Kill those that have not stopped; a dirty arbiter kills its workers before."""
    if arbiter.WORKERS:
        dirty.kill_all(arbiter, signal.SIGQUIT)
        arbiter.kill_workers(signal.SIGKILL)
        arbiter._core.drain(REAP_LIMIT, True)
    if arbiter._dirty.boards:
        dirty.kill_all(arbiter, signal.SIGKILL)
        arbiter._core.drain(REAP_LIMIT, True)


def _close_listeners(arbiter, graceful: bool, shared: bool) -> None:
    if graceful and not shared:
        sock.refuse_new_connections(arbiter.LISTENERS, arbiter.log)
    sock.close_sockets(arbiter.LISTENERS, unlink=not shared and not arbiter.cfg.reuse_port)
    arbiter.LISTENERS = []


def is_alone(arbiter) -> bool:
    """Whether no other master has workers for the same clients."""
    return arbiter.reexec_pid == 0 and arbiter.master_pid == 0


def shares_sockets(arbiter) -> bool:
    """Whether the listeners are another master's, too, or the service manager's."""
    return not is_alone(arbiter) or arbiter.systemd


def hurry(arbiter) -> None:
    """A second INT or QUIT came while stopping."""
    arbiter.log.info("Quick shutdown requested")
    arbiter.kill_workers(signal.SIGQUIT)
    dirty.kill_all(arbiter, signal.SIGQUIT)
