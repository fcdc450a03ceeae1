"""Virtual environments, and what installs into them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Seconds that building, installing or checking types may take on a busy machine.
PATIENCE = 600

#: Variables that would lead an installation, or a Python, elsewhere.
LEADING = ("PYTHONPATH", "VIRTUAL_ENV", "LD_PRELOAD", "PYTHONMALLOC", "GUNICORN_CMD_ARGS")


def clean_environ(**more: str) -> dict[str, str]:
    environ = {k: v for k, v in os.environ.items() if k not in LEADING}
    return environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"} | more


def run(*command, env: dict[str, str] | None = None, status: int = 0, **options):
    """Run a command to its end and return what it wrote, which is shown when it failed."""
    done = subprocess.run(
        [str(word) for word in command],
        env=clean_environ(**(env or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        **options,
    )
    assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}"
    return done.stdout


class Environment:
    """A virtual environment without anything; subclasses know who installs."""

    def __init__(self, path: Path, packages: Path) -> None:
        self.path = path
        self.packages = packages
        run(sys.executable, "-m", "venv", "--without-pip", path)
        self.empty = self.files()

    def files(self) -> set[str]:
        """All files and directories, save for caches."""
        ours = (p for p in self.path.rglob("*") if "__pycache__" not in p.parts)
        return {str(p.relative_to(self.path)) for p in ours} - {".lock"}  # uv's

    def python(self, code: str) -> str:
        return run(self.path / "bin" / "python", "-c", code, cwd=self.path).strip()

    def gunicorn(self, *arguments: str, **options) -> str:
        return run(self.path / "bin" / "gunicorn", *arguments, cwd=self.path, **options)

    def install(self, *packages) -> str:
        source = ("--no-index", "--find-links", self.packages)
        return self.command("install", *source, *packages)

    def command(self, *arguments) -> str:
        raise NotImplementedError


#: Compiling each module takes longer than all the rest.
PIP_OPTIONS = {"uninstall": ("--yes",), "install": ("--no-compile",)}


class PipEnvironment(Environment):
    """pip, of the environment of the tests."""

    def command(self, *arguments) -> str:
        python = self.path / "bin" / "python"
        words = arguments + PIP_OPTIONS.get(arguments[0], ())
        return run(sys.executable, "-m", "pip", "--python", python, *words)


class UvEnvironment(Environment):
    """uv, of the environment of the tests."""

    def command(self, *arguments) -> str:
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv is None:
            pytest.skip("uv is not installed")
        python = self.path / "bin" / "python"
        return run(uv, "--offline", "--no-config", "pip", *arguments, "--python", python)


def version() -> str:
    return metadata.version("monoceros")
