"""The end of a process that something keeps from ending: it is named, and the process ends."""

import contextlib
import os
import sys

# Taken before a worker's package may patch them: greenlets do not run while the process ends.
from _thread import allocate_lock, start_new_thread
from time import sleep

LEAST = 1.0  # seconds
NAMED_MAX = 10  # threads and processes


def guard(log, who: str, seconds: float) -> None:
    """End this process in `seconds` if it has not ended by itself, as it is about to.

    Python waits at its end for threads that are no daemons, and multiprocessing for its processes;
    some never end. The log then names those that it waits for.
    """
    status = _status(sys.exc_info()[1])
    started = allocate_lock()
    started.acquire()
    with contextlib.suppress(RuntimeError):  # no thread can be had: it ends without one
        start_new_thread(_end, (log, who, max(LEAST, seconds), status, started))
        # A thread that begins while the interpreter ends crashes before Python 3.12.
        started.acquire()


def forget_processes() -> None:
    """In a new worker: the processes that the master has started are not its own to wait for."""
    module = sys.modules.get("multiprocessing.process")
    if module is not None:
        getattr(module, "_children", set()).clear()


def _status(exc) -> int:
    code = getattr(exc, "code", None)
    return code & 0xFF if isinstance(code, int) else int(exc is not None and code is not None)


def _end(log, who, seconds, status, started) -> None:
    started.release()
    sleep(seconds)
    try:
        held = [*_threads(), *_processes()]
        more = [f"and {len(held) - NAMED_MAX} more"] if len(held) > NAMED_MAX else []
        log.error(
            "%s does not end by itself within graceful_timeout, and is ended. It waits for: %s",
            who,
            "; ".join([*held[:NAMED_MAX], *more]) or "nothing that is known",
        )
    finally:
        os._exit(status)


def _threads():
    threading = sys.modules.get("threading")
    frames = sys._current_frames()
    for thread in threading.enumerate() if threading else ():
        if thread.daemon or thread is threading.main_thread():
            continue
        yield f"thread {thread.name!r} {_place(frames.get(thread.ident))}".rstrip()


def _place(frame) -> str:
    if frame is None:
        return ""
    return f"at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}()"


def _processes():
    module = sys.modules.get("multiprocessing.process")
    for process in list(getattr(module, "_children", ())):
        yield f"process {process.name!r} (pid:{process.pid})"
