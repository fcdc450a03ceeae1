"""The original gunicorn, and uvicorn, in environments of their own, for tests that compare."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.server import server_has

VERSION = "27.0.1"
UVICORN = ("uvicorn==0.54.0", "httptools", "uvloop", "websockets")
ROOT = Path(__file__).resolve().parent.parent.parent


def original_gunicorn() -> list[str]:
    """The command of the original: $GUNICORN_ORIGINAL, or installed under build/; else skips."""
    return _installed(
        "gunicorn", "reference", os.environ.get("GUNICORN_ORIGINAL"), (f"gunicorn=={VERSION}",)
    )


def original_uvicorn() -> list[str]:
    """The same of uvicorn: $UVICORN_ORIGINAL."""
    return _installed("uvicorn", "uvicorn", os.environ.get("UVICORN_ORIGINAL"), UVICORN)


def _installed(name: str, place: str, given: str | None, packages) -> list[str]:
    if given:
        return [given]
    directory = Path(os.environ.get("GUNICORN_BUILD", ROOT / "build"))
    home = directory / "{}-{}.{}".format(place, *sys.version_info[:2])
    command = home / "bin" / name
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not command.exists():
            install(home, packages)
    return [str(command)]


def install(home: Path, packages) -> None:
    """Create the environment; the test is skipped where the package index is out of reach."""
    try:
        run(sys.executable, "-m", "venv", "--clear", str(home))
        run(str(home / "bin" / "pip"), "install", "--quiet", *packages)
    except (OSError, subprocess.SubprocessError) as e:
        pytest.skip(f"nothing to compare with, {packages}: {e}")


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def skip_without(kind: str) -> None:
    """Skip the test where one of the two cannot run this worker class."""
    if kind != "gevent":
        return
    theirs = tuple(original_gunicorn())  # whose gevent worker wants another package
    for module, command in (("gevent", None), ("gevent", theirs), ("packaging", theirs)):
        if not server_has(module, command):
            pytest.skip(f"{module} is not installed")
