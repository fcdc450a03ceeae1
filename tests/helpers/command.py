"""Running the command in a process of its own, with nothing of the caller's in the way."""

from __future__ import annotations

import os
from pathlib import Path

import gunicorn

COMMAND_TIMEOUT = 60  # seconds

#: Variables of the caller that would change what is tested.
SCRUBBED = (
    "FORWARDED_ALLOW_IPS",
    "GUNICORN_CMD_ARGS",
    "PORT",
    "SENDFILE",
    "WEB_CONCURRENCY",
    "XDG_RUNTIME_DIR",
)


def command_environment(directory: Path, env: dict[str, str] | None = None) -> dict[str, str]:
    """Return the variables for a command that starts in ``directory``."""
    environ = {k: v for k, v in os.environ.items() if k not in SCRUBBED}
    environ["PWD"] = str(directory)
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    environ["PYTHONPATH"] = str(Path(gunicorn.__file__).resolve().parents[1])
    return environ | (env or {})
