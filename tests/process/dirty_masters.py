"""Masters with dirty workers, for tests: their arguments, their processes, their clients."""

from __future__ import annotations

from pathlib import Path

from helpers.wire import STEP_TIMEOUT
from process.dirty_app import JOBS

from gunicorn.dirty import DirtyClient

PATIENCE = 4 * STEP_TIMEOUT  # seconds; no call takes as long


def options(apps=(JOBS,), workers=1, **others):
    """Arguments of the command line."""
    named = [f"--dirty-app={app}" for app in apps]
    more = [f"--{name.replace('_', '-')}={value}" for name, value in others.items()]
    return [*named, f"--dirty-workers={workers}", *more]


def socket_of(one) -> str:
    line = rf"\[{one.pid}\] \[INFO\] Spawned dirty arbiter \(pid: \d+\) at (\S+)"
    return one.wait_for_log(line)[1]


def arbiters(one) -> list[int]:
    """The dirty arbiters of a master: its children that are named so in the log."""
    children = one.worker_pids()
    return [pid for pid in children if f"Spawned dirty arbiter (pid: {pid})" in one.log]


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def client_of(one, timeout=PATIENCE) -> DirtyClient:
    return DirtyClient(socket_of(one), timeout)
