"""Processes that an application forks in a worker: nothing of the server is theirs.

The C core closes the engine's descriptors in them before fork() returns. The parts in
Python are here: signal handlers, listeners, and the end of a process that comes back into the
server.
"""

import os
import signal
import sys


def watch(worker) -> None:
    """Have `worker.disown()` called in each process that is forked from now on."""
    pid = os.getpid()

    def forked():
        if worker.forked_from is None:
            worker.forked_from = pid
            worker.disown()

    os.register_at_fork(after_in_child=forked)


def disown(worker) -> None:
    """Give up the worker's own resources: its signals, its listeners, its pipe."""
    for signo in signal.valid_signals():
        handler = signal.getsignal(signo)
        owner = getattr(handler, "__self__", None)
        if owner is not None and owner in (worker, worker._engine):  # the latter may be to come
            signal.signal(signo, signal.SIG_DFL)
        elif callable(handler) and signo in worker.SIGNALS:  # the core has reset it
            signal.signal(signo, handler)
    _forget_wakeup(worker.PIPE)
    for fd in worker.PIPE:
        os.close(fd)
    worker.PIPE = []
    for listener in worker.sockets:
        listener.close()


def _forget_wakeup(pipe) -> None:
    before = signal.set_wakeup_fd(-1)
    if before != -1 and before not in pipe:  # an event loop's
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)


def end_if_child(worker, exc=None) -> None:
    """Return in the worker alone."""
    if worker.forked_from is not None:
        end(worker, exc, "")


def end(worker, exc, where) -> None:
    """End this process by its exception: it has no server to come back to.

    Nothing of the worker's end is run, neither hooks nor atexit.
    """
    worker.park_copy()
    try:
        status = _status(worker, exc, where)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BaseException:
        status = 1
    finally:
        os._exit(status)


def _status(worker, exc, where) -> int:
    if isinstance(exc, SystemExit):
        if exc.code is None or isinstance(exc.code, int):
            return (exc.code or 0) & 0xFF
        print(exc.code, file=sys.stderr)
        return 1
    about = (os.getpid(), worker.forked_from, f" {where}" if where else "")
    if exc is not None and not isinstance(exc, getattr(worker, "quiet_exceptions", ())):
        worker.log.error(
            "Process %s, which the application has forked in worker %s%s, is ended by an exception",
            *about,
            exc_info=exc,
        )
        return 1
    worker.log.warning(
        "Process %s, which the application has forked in worker %s%s, came back into the server: "
        "it is ended. End it by os._exit()",
        *about,
    )
    return 0
