"""Where an application runs: its virtual environment, the two servers, its files and services."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from applications import Application
from front import WAYS, Front
from visit import Visitor

ORIGINAL = "gunicorn==27.0.1"
UVICORN = ("uvicorn", "httptools", "uvloop", "websockets")
OPTIONS = {
    "sync": ["-k", "sync"],
    "gthread": ["-k", "gthread", "--threads", "4"],
    "gevent": ["-k", "gevent"],
    "asgi": ["-k", "asgi"],
}
START = 180.0  # seconds that an application may take to answer first
STOP = 60.0
ACCESS = '%(m)s %(U)s %(q)s %(H)s %(s)s %(b)s "%(f)s" "%(a)s" %({content-type}o)s'
MINE = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "PIP_CACHE_DIR")


class Place:
    """The directory of one application. `state` is laid anew for each run from `prepared`, so that
    both servers find the same files at the same paths."""

    def __init__(self, build: Path, application: Application) -> None:
        self.application = application
        self.directory = build / application.name
        self.venv = self.directory / "venv"
        self.state = self.directory / "state"
        self.prepared = self.directory / "prepared"
        self.port = free_port()

    def environ(self) -> dict[str, str]:
        mine = {name: os.environ[name] for name in MINE if name in os.environ}
        mine["PATH"] = f"{self.venv / 'bin'}:{mine['PATH']}"
        mine |= {"STATE": str(self.state), "PYTHONHASHSEED": "0", "HOME": str(self.state)}
        site = next(self.venv.glob("lib/python*/site-packages"), self.venv)
        given = self.application.environ.items()
        return mine | {name: self.fill_in(value, site) for name, value in given}

    def fill_in(self, text: str, site: Path = Path()) -> str:
        return text.replace("$STATE", str(self.state)).replace("$SITE", str(site))

    def install(self) -> None:
        greenlets = ("gevent>=24.10.1",) if "gevent" in self.application.workers else ()
        reference = UVICORN if "asgi" in self.application.workers else ()
        wanted = ("packaging", *greenlets, *reference, *self.application.install)
        if done(self.directory / ".installed", wanted):
            return
        if not self.venv.exists():
            run([sys.executable, "-m", "venv", self.venv], Path.cwd(), dict(os.environ))
        pip = [self.venv / "bin/pip", "install", "-q", *wanted]
        run(pip, self.directory, dict(os.environ))
        mark(self.directory / ".installed", wanted)

    def prepare(self) -> None:
        """Write the files, run the commands."""
        application = self.application
        recipe = (application.install, application.files, application.prepare, application.environ)
        if done(self.directory / ".prepared", recipe):
            return
        shutil.rmtree(self.prepared, ignore_errors=True)
        self.lay_anew()
        for name, text in application.files.items():
            path = self.state / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.fill_in(text))
        with services(self):
            for command in application.prepare:
                run(["sh", "-ec", command], self.state, self.environ())
        self.state.rename(self.prepared)
        mark(self.directory / ".prepared", recipe)

    def lay_anew(self) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
        if self.prepared.exists():
            shutil.copytree(self.prepared, self.state, symlinks=True)
        else:
            self.state.mkdir(parents=True)


def done(stamp: Path, recipe: object) -> bool:
    return stamp.exists() and stamp.read_text() == digest(recipe)


def mark(stamp: Path, recipe: object) -> None:
    stamp.write_text(digest(recipe))


def digest(recipe: object) -> str:
    return hashlib.sha256(repr(recipe).encode()).hexdigest()


def run(command: list, directory: Path, environ: dict[str, str]) -> None:
    """Run a command; what it printed is shown if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=directory, env=environ, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)[:200]}\n{(done.stdout + done.stderr)[-3000:]}")


def install_servers(build: Path, wheel: Path) -> dict[str, Path]:
    """Both servers, each in a directory for PYTHONPATH: the original's and this project's."""
    places = {
        "gunicorn": (ORIGINAL, build / "servers/original"),
        "here": (wheel, build / "servers/here"),
    }
    for what, place in places.values():
        recipe = (str(what), os.stat(wheel).st_mtime if what == wheel else 0)
        if not done(place.with_suffix(".installed"), recipe):
            shutil.rmtree(place, ignore_errors=True)
            pip = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--no-deps",
                "--target",
                place,
                what,
            ]
            run(pip, Path.cwd(), dict(os.environ))
            mark(place.with_suffix(".installed"), recipe)
    installed = {name: place for name, (_, place) in places.items()}
    return installed | {"uvicorn": build / "servers/uvicorn"}  # in the applications' environments


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def paths(server: Path, place: Place) -> str:
    given = place.environ().get("PYTHONPATH")
    return f"{server}:{given}" if given else str(server)


class Served:
    """The application under one of the servers, behind a proxy if `way` names one, while the
    context lasts."""

    def __init__(self, place: Place, server: Path, worker: str, way: str = "") -> None:
        self.place = place
        self.front = Front(place.directory, WAYS[way], place.port, free_port()) if way else None
        current = place.directory / "server"  # the same path for both: tracebacks have it
        current.unlink(missing_ok=True)
        current.symlink_to(server.resolve())
        environ = place.environ() | {
            "PYTHONPATH": paths(current, place),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.access, self.error = place.directory / "access.log", place.directory / "error.log"
        self.access.write_text("")
        command = self.uvicorn() if server.name == "uvicorn" else self.gunicorn(worker)
        with self.error.open("wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                cwd=place.state / place.application.directory,
                env=environ,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def gunicorn(self, worker: str) -> list[object]:
        application = self.place.application
        direct = ["--bind", f"127.0.0.1:{self.place.port}"]
        return [
            *(self.place.venv / "bin/python", "-m", "gunicorn", *OPTIONS[worker]),
            *(self.front.server_options() if self.front else direct),
            *(*application.options, "--access-logfile", self.access),
            *("--access-logformat", ACCESS, "--graceful-timeout", "20", *application.target),
        ]

    def uvicorn(self) -> list[object]:
        return [
            *(self.place.venv / "bin/python", "-m", "uvicorn", "--port", self.place.port),
            *("--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "20"),
            *self.place.application.target,
        ]

    def __enter__(self) -> Served:
        try:
            self.wait_until_served()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        if self.front:
            self.front.stop()

    def wait_until_served(self) -> None:
        deadline = time.monotonic() + START
        while self.ask().startswith("failed"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    "did not start:\n" + self.error.read_text("utf-8", "replace")[-3000:]
                )
            time.sleep(0.3)

    def ask(self) -> str:
        """A request that is not compared; what became of it."""
        visitor = Visitor(self.place.port)
        visitor.send("GET", self.place.application.pages[0], User_Agent="waiting")
        status = visitor.answers[0].status
        return f"failed: {status}" if self.front and " 502 " in status else status

    def workers(self) -> set[str]:
        pid = self.process.pid
        with contextlib.suppress(FileNotFoundError):
            return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return set()

    def reload(self) -> str:
        """HUP under requests, until the workers are new ones; says which failed."""
        before, failed = self.workers(), set()
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            answer = self.ask()
            if answer.startswith("failed"):
                failed.add(answer)
            elif self.workers() and not self.workers() & before:
                return ", ".join(failed) or "no request failed"
            time.sleep(0.05)
        return "the workers stayed"

    def stop(self) -> str:
        """End it; says how that went."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return f"exit status {self.process.wait(STOP)}"
        except subprocess.TimeoutExpired:
            self.process.kill()
            return f"killed: {self.process.wait()}"


@contextlib.contextmanager
def services(place: Place) -> Iterator[None]:
    """What the application needs beside it, each on an address of the loopback."""
    with contextlib.ExitStack() as stack:
        for service in place.application.services:
            process = subprocess.Popen(
                ["sh", "-ec", service.command],
                cwd=place.state,
                env=place.environ(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            wait_for_port(service.port)
        yield


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
