"""The control sockets of the servers that run, where their default is."""

from __future__ import annotations

import glob
import os

from gunicorn.ctl.client import ControlClient, ControlClientError

NAME = "gunicorn.ctl"
TIMEOUT = 2.0  # seconds for the answer of each


def servers() -> dict[str, int]:
    """Return the path of each socket that is answered, with the pid of its master."""
    found = {path: _pid_at(path) for path in _paths()}
    return {path: pid for path, pid in found.items() if pid is not None}


def directories() -> list[str]:
    """Return where servers of this user have their sockets by default.

    A service has no XDG_RUNTIME_DIR, as the shell of an operator does: both are looked at.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    own = os.path.join(os.path.expanduser("~"), ".gunicorn")
    return [runtime, own] if runtime else [own]


def _paths() -> list[str]:
    """Return NAME, NAME.2, NAME.3 … of each directory."""
    paths: list[str] = []
    for directory in directories():
        paths += sorted(glob.glob(os.path.join(glob.escape(directory), f"{NAME}*")), key=_order)
    return paths


def _order(path: str) -> tuple[int, str]:
    return len(path), path


def _pid_at(path: str) -> int | None:
    try:
        with ControlClient(path, TIMEOUT) as client:
            pid = client.send_command("show stats").get("pid")
    except ControlClientError:
        return None
    return pid if isinstance(pid, int) else None
