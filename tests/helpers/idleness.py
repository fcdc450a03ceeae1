"""What processes ask of the system while nothing happens."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

SECONDS = 4.0
TRIES = 4

#: What a process says that waits when the tracer comes and when it goes.
PENDING = ("restart_syscall", "detached")


def assert_idle(pids: Iterable[int], trace: Path, waits: Iterable[str]) -> None:
    """For some seconds they make no system call, but for going on to wait in one of `waits`.

    trace: a file for strace. On a busy machine what they had to do may still be going on at first.
    """
    for _ in range(TRIES):
        lines = calls(pids, trace)
        expected = (*PENDING, *waits)
        if len(lines) <= 20 and all(any(word in line for word in expected) for line in lines):
            return
    raise AssertionError("\n".join(lines))


def calls(pids: Iterable[int], trace: Path) -> list[str]:
    """The lines of strace about these processes, of some seconds."""
    command = ["strace", "-f", "-o", str(trace)]
    for pid in pids:
        command += ["-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        time.sleep(SECONDS)  # nothing happens
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    return trace.read_text().splitlines()
