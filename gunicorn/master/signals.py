"""The signals that the master gets."""

import os
import signal

from gunicorn.master import dirty


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


def handle(arbiter, signo: int) -> None:
    """Call the method of `arbiter` that is named after a signal."""
    name = arbiter.SIG_NAMES.get(signo)
    if name is None:
        arbiter.log.info("Ignoring unknown signal: %s", signo)
        return
    handler = getattr(arbiter, f"handle_{name}", None)
    if handler is None:
        arbiter.log.error("Unhandled signal: %s", name)
        return
    log = arbiter.log.debug if signo == signal.SIGCHLD else arbiter.log.info
    log("Handling signal: %s", name)
    handler()


def reopen_logs(arbiter) -> None:
    """Open the log files anew, here and in the workers."""
    try:
        arbiter.log.reopen_files()
    except OSError as exc:
        arbiter.log.error("Cannot open the log files anew: %s", exc)
    arbiter.kill_workers(signal.SIGUSR1)
    dirty.kill_all(arbiter, signal.SIGUSR1)


def stop_workers(arbiter) -> None:
    """As a daemon: stop the workers, and stay."""
    if not arbiter.cfg.daemon:
        arbiter.log.debug("SIGWINCH ignored. Not daemonized")
        return
    arbiter.log.info("graceful stop of workers")
    arbiter.num_workers = 0
    arbiter.kill_workers(signal.SIGTERM)
