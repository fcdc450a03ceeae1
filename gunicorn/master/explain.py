"""The master's log lines about workers that hang, grow or die, with the reasons."""

import os
import signal

from gunicorn import _core
from gunicorn._processors import Processors


def check_memory_limits(cfg, log) -> None:
    """Warn of limits that do not work, here or together."""
    for name, soft, hard in (
        ("max_rss", cfg.max_rss, cfg.max_rss_hard),
        ("dirty_max_rss", cfg.dirty_max_rss, cfg.dirty_max_rss_hard),
    ):
        if (soft or hard) and _core.memory_of(os.getpid()) < 0:
            log.warning(
                "%s, %s_hard: this system does not report how much memory a process occupies; no"
                " worker is replaced for it",
                name,
                name,
            )
        elif 0 < hard <= soft:
            log.warning(
                "%s_hard (%s) is not above %s (%s): workers that grow are aborted, and none is"
                " replaced before",
                name,
                _size(hard),
                name,
                _size(soft),
            )


def automatic_workers(cfg, log) -> None:
    """Log the number that `workers = "auto"` stands for."""
    if isinstance(cfg.workers, Processors):
        log.info(
            "workers is auto: %s, for this process may use %s", cfg.workers, cfg.workers.reason
        )


def silence(worker, phase: str, silent: float) -> str:
    """Describe the requests of a silent worker, by the entries in its slot."""
    slot = worker.tmp.slot if worker is not None else None
    if phase == "booting":
        return f"has been booting for {silent:.1f} s"
    if slot is None or not slot.method:
        return f"has given no sign of life for {silent:.1f} s"
    return f"has been running {slot.method} {slot.path} for {silent:.1f} s"


def due(cfg, log, pid: int, reason: str, memory: int) -> None:
    """A worker has reached a limit, and is replaced when its turn comes."""
    if reason == "max_rss":
        log.info(
            "Worker (pid:%s) occupies %s, more than max_rss (%s): it is to be replaced",
            pid,
            _size(memory),
            _size(cfg.max_rss),
        )
    else:
        log.info("Worker (pid:%s) has reached %s: it is to be replaced", pid, reason)


def too_big(cfg, log, pid: int, memory: int, worker) -> None:
    """A worker is beyond the hard limit."""
    log.error(
        "Worker (pid:%s) occupies %s, more than max_rss_hard (%s): it is aborted.%s",
        pid,
        _size(memory),
        _size(cfg.max_rss_hard),
        request(worker),
    )


def born_big(log, pid: int, memory: int) -> None:
    """A worker was beyond a limit as soon as it had booted."""
    log.warning(
        "Worker (pid:%s) occupies %s before its first request, more than max_rss or "
        "max_rss_hard allows. Replacing it would not help: it is not held to them.",
        pid,
        _size(memory),
    )


def unasked_exit(log, pid: int, code: int, phase: str, worker) -> None:
    """A worker ended with a status, unasked. A status but 0 has a line of the arbiter, too."""
    text = f"Worker (pid:{pid}) ended by itself with status {code}"
    running = request(worker)
    if running:
        cause = "A call of os._exit() or exit(3) does that: its clients get no answer."
        log.warning("%s.%s %s", text, running, cause)
    elif phase == "booting":
        log.warning("%s while it booted. Nothing may call exit() there.", text)
    elif code == 0:
        log.info("%s.", text)


def death_by_signal(log, pid: int, signo: int, phase: str, worker, oom: tuple | None) -> None:
    """A worker died of a signal.

    oom: when the kernel had no more memory, the most bytes that the worker occupied, and those
    that its control group may have, 0 for any number.
    """
    try:
        name = signal.Signals(signo).name
    except ValueError:
        name = f"signal {signo}"
    text = f"Worker (pid:{pid}) was sent {name}!"
    if signo == signal.SIGTERM:
        log.info(text)
        return
    if oom is not None:
        explanation = _out_of_memory(*oom) + request(worker)
    elif phase == "killed":
        explanation = " It did not end by itself."
    elif phase == "aborted":
        explanation = ""  # why was said before
    else:
        explanation = " Perhaps out of memory?" if signo == signal.SIGKILL else ""
        explanation += request(worker)
    level = log.error if signo == signal.SIGKILL else log.warning
    level("%s%s", text, explanation)


def _out_of_memory(peak: int, limit: int) -> str:
    text = f" Out of memory: the kernel killed it. It occupied up to {_size(peak)}"
    return f"{text}; its control group may have {_size(limit)}." if limit else f"{text}."


def request(worker) -> str:
    """Say which request a worker was running, after a space; nothing if it ran none."""
    slot = worker.tmp.slot if worker is not None else None
    if slot is None or slot.busy_since is None or not slot.method:
        return ""
    return f" It was running {slot.method} {slot.path}."


def _size(count: int) -> str:
    """Return a number of bytes as it is written in the configuration: 512.0M."""
    return f"{count / 2**20:.1f}M" if count >= 2**20 else f"{count / 2**10:.1f}K"
