"""`log level` of the control socket: the level of the error log, until the next reload.

The workers read the level in a byte that the master shares with them, at SIGUSR1. The master never
reads it: a worker may write anything there.
"""

import logging
import mmap
import signal

from gunicorn.master import settings

LEVELS = ("debug", "info", "warning", "error", "critical")
STEP = 10  # between two levels of Python's logging: the byte is the level divided by it, 0 for none


class LogLevel:
    """The level that the operator has set; `level` is None if the configuration's is in force."""

    def __init__(self) -> None:
        self.level: int | None = None
        self._shared = mmap.mmap(-1, 1)

    def set(self, arbiter, name: str) -> None:
        """Change the level in the master and its workers. Raises ValueError."""
        if name.lower() not in LEVELS:
            raise ValueError(f"a level is one of {', '.join(LEVELS)}, not {name!r}")
        if not hasattr(arbiter.log, "error_log"):
            raise ValueError(f"{type(arbiter.log).__qualname__} is a logger without levels")
        self.apply(arbiter, getattr(logging, name.upper()))
        settings.pass_to_core(arbiter)  # it reports signals only if they are logged
        arbiter.kill_workers(signal.SIGUSR1)

    def apply(self, arbiter, level: int | None) -> None:
        """Have this level in the master and in workers to come; None: that of the configuration."""
        self.level = level
        self._shared[0] = 0 if level is None else level // STEP
        if level is not None:
            _set(arbiter.log, level)

    def follow(self, log) -> None:
        """In a worker: take over the level that the master has set, if any."""
        level = self._shared[0] * STEP
        if logging.DEBUG <= level <= logging.CRITICAL:
            _set(log, level)


def _set(log, level: int) -> None:
    if hasattr(log, "error_log"):
        log.loglevel = level
        log.error_log.setLevel(level)
