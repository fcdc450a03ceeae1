"""Configurations under test: loaded in this process, or by the command in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers.command import COMMAND_TIMEOUT, SCRUBBED, command_environment

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

application = app

def make(greeting, debug=False):
    app.greeting, app.debug = greeting, debug
    return app

def broken():
    raise TypeError("from inside")

nothing = None
number = 3

class OwnWorker:
    pass
"""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """An empty directory with an application, `app.py`; the process is in it."""
    from gunicorn import _settings

    (tmp_path / "app.py").write_text(APP)
    for name in SCRUBBED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setattr(_settings, "START_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


@pytest.fixture
def load(directory, monkeypatch):
    """load(*argv, file=..., env=...): the Config that the command line comes to."""

    def load(*argv, file=None, env=None):
        from gunicorn.app.wsgiapp import WSGIApplication

        if file is not None:
            (directory / "gunicorn.conf.py").write_text(file)
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["gunicorn", *argv, "app:app"])
        sys.modules.pop("__config__", None)
        return WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog="gunicorn").cfg

    return load


@pytest.fixture
def refused(load, capsys):
    """refused(...): what load(...) says when it exits; the exit code is the second result."""

    def refused(*argv, **sources):
        with pytest.raises(SystemExit) as exit:
            load(*argv, **sources)
        return capsys.readouterr().err, exit.value.code

    return refused


@pytest.fixture
def command(directory):
    """command(*argv, env=...): runs `python -m gunicorn` in the directory, to its end."""

    def command(*argv, env=None):
        return subprocess.run(
            [sys.executable, "-m", "gunicorn", *argv],
            cwd=directory,
            env=command_environment(directory, env),
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
        )

    return command
