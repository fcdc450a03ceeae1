"""The files of deploy/, with their absolute paths and users replaced by those of a test."""

from __future__ import annotations

import subprocess
from pathlib import Path

from helpers.server import gunicorn_command
from helpers.wire import Connection, WireError, wait_until

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
STOP_TIMEOUT = 20.0

APP = """\
import os
import time

MASTER = os.getppid()

def app(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"] or 0))
    names = ("wsgi.url_scheme", "HTTP_HOST", "HTTP_X_FORWARDED_FOR")
    words = [str(environ.get(name)) for name in names]
    body = " ".join([str(MASTER), *words]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class Site:
    """A directory that stands for the root of a machine with the application on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "srv"
        self.run = directory / "run"
        self.socket = self.run / "shop.sock"
        self.processes: list[subprocess.Popen] = []
        self.replaced = {
            "/srv/shop": str(self.home),
            "/run/shop": str(self.run),
            "/var/log/supervisor": str(directory),
            "/var/log/shop": str(directory / "log"),
            "/etc/ssl/shop": str(directory),
        }
        (self.home / "venv" / "bin").mkdir(parents=True)
        self.run.mkdir()
        (directory / "log").mkdir()
        (self.home / "shop.py").write_text(APP)
        (self.home / "venv" / "bin" / "gunicorn").symlink_to(gunicorn_command()[0])
        self.install("gunicorn.conf.py", self.home / "gunicorn.conf.py")

    def install(self, name: str, path: Path) -> Path:
        """Write a file of deploy/ as `path`."""
        text = (DEPLOY / name).read_text()
        for old, new in self.replaced.items():
            text = text.replace(old, new)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod((DEPLOY / name).stat().st_mode)
        return path

    def edit(self, path: Path, changes: dict[str, str]) -> None:
        """Replace what a test cannot have as it is: ports, users."""
        text = path.read_text()
        for old, new in changes.items():
            assert old in text, f"{path} has no {old!r}"
            text = text.replace(old, new)
        path.write_text(text)

    def start(self, *command, **options) -> subprocess.Popen:
        with open(self.directory / "output.log", "ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **options,
            )
        self.processes.append(process)
        return process

    def ask(self, query: str = "") -> str:
        """What the application says over its own socket."""
        with Connection(str(self.socket)) as client:
            response = client.request(target=f"/?{query}")
            assert response.status == 200, response
            return response.body.decode()

    def answers(self) -> str:
        """What it says, or nothing while nobody answers."""
        try:
            return self.ask()
        except (OSError, WireError):  # a master that was killed takes connections with it
            return ""

    def master(self, instead_of: int = 0) -> int:
        """The process id of the master that answers, once that is another one.

        A worker that has begun while its master was killed has somebody else for a parent.
        """

        found = []

        def another():
            said = self.answers()
            if said:
                found.append(int(said.split()[0]))
            return found and found[-1] != instead_of and is_gunicorn(found[-1])

        wait_until(another, "the application answers", timeout=60)
        return found[-1]

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def is_gunicorn(pid: int) -> bool:
    try:
        return b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()
