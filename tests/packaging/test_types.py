"""The code of users against gunicorn passes mypy --strict, and the stubs agree with the modules."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers.server import SANITIZED
from packaging_tools import PATIENCE, clean_environ

pytestmark = pytest.mark.timeout(2 * PATIENCE)
pytest.importorskip("mypy")

CONFIGURATION = """\
import ssl
from collections.abc import Callable
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.http.message import Request
from gunicorn.http.wsgi import Response
from gunicorn.workers.base import Worker

bind = ["127.0.0.1:8000", "unix:/run/shop.sock"]
workers = 4


def on_starting(server: Arbiter) -> None:
    server.log.info("%d workers at %s", server.num_workers, server.address)


def post_fork(server: Arbiter, worker: Worker) -> None:
    server.log.info("worker %s of %d", worker.pid, len(server.WORKERS))


def pre_request(worker: Worker, req: Request) -> None:
    worker.log.debug("%s %s from %s", req.method, req.path, req.remote_addr)
    for name, value in req.headers:
        worker.log.debug("%s: %s", name.title(), value)


def post_request(worker: Worker, req: Request, environ: dict[str, Any], resp: Response) -> None:
    worker.log.debug("%d %s: %d bytes", resp.status_code, resp.status, resp.sent)


def nworkers_changed(server: Arbiter, new_value: int, old_value: int | None) -> None:
    server.log.info("%d instead of %s", new_value, old_value)


def ssl_context(config: Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = default()
    if config.ciphers is not None:
        context.set_ciphers(config.ciphers)
    return context
"""

APPLICATION = """\
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from gunicorn.app.base import Application, BaseApplication
from gunicorn.errors import AppImportError, ConfigError, HaltServer, RequestTimeout


def shop(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    try:
        start_response("200 OK", [])
    except RequestTimeout:
        raise
    return [b"ok"]


class Standalone(BaseApplication):
    def __init__(self, app: WSGIApplication, options: dict[str, Any] | None = None) -> None:
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self) -> None:
        for key, value in self.options.items():
            if key in self.cfg.settings and value is not None:
                self.cfg.set(key.lower(), value)

    def load(self) -> WSGIApplication:
        return self.application


class FromCommandLine(Application):
    def init(self, parser: Any, opts: Any, args: list[str]) -> dict[str, Any] | None:
        if not args:
            raise ConfigError("name a shop")
        return {"bind": args[0]}

    def load(self) -> WSGIApplication:
        return shop


try:
    Standalone(shop, {"workers": 2}).run()
except (HaltServer, AppImportError) as exc:
    print(exc)
"""

EXTENSIONS = """\
import socket
from datetime import timedelta
from types import FrameType
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.http.message import Request
from gunicorn.http.wsgi import Response
from gunicorn.sock import BaseSocket
from gunicorn.workers.base import Worker
from gunicorn.workers.gthread import TConn, ThreadWorker
from gunicorn.workers.sync import SyncWorker


class ShopLogger(Logger):
    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        self.error_log.setLevel(self.LOG_LEVELS[cfg.loglevel])

    def atoms(
        self, resp: Response, req: Request, environ: dict[str, Any], request_time: timedelta
    ) -> dict[str, Any]:
        return super().atoms(resp, req, environ, request_time) | {"shop": req.path}

    def access(
        self, resp: Response, req: Request, environ: dict[str, Any], request_time: timedelta
    ) -> None:
        if not req.path.startswith("/live"):
            super().access(resp, req, environ, request_time)

    def now(self) -> str:
        return super().now().upper()


class ShopWorker(Worker):
    def init_process(self) -> None:
        self.log.info("%d sockets, %d workers", len(self.sockets), self.cfg.workers)
        super().init_process()

    def run(self) -> None:
        while self.alive:
            self.notify()
            client, address = self.sockets[0].accept()
            self.handle_error(None, client, address, errors.InvalidRequestLine("GET"))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.nr += 1


class Quick(SyncWorker):
    def run(self) -> None:
        super().run()

    def handle_request(
        self, listener: BaseSocket, req: Request, client: socket.socket, addr: tuple[str, int] | str
    ) -> None:
        self.log.info("%s of %s", req.uri, addr)
        super().handle_request(listener, req, client, addr)


class Threads(ThreadWorker):
    def handle_request(self, req: Request, conn: TConn) -> bool:
        conn.sock.fileno()
        return super().handle_request(req, conn)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_quit(sig, frame)


def told(exc: errors.ParseException) -> str:
    if isinstance(exc, errors.LimitRequestLine):
        return f"{exc.size} > {exc.max_size}"
    return str(exc)
"""

STUBBED = ("gunicorn.config",)

#: Settings are found by __getattr__; names that begin with an underscore are private.
KNOWN = r"""
gunicorn\.config\.Config\..*
gunicorn\.config\..*
.*\._[a-z].*
"""


def mypy(directory, module: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=directory,
        env=clean_environ(MYPY_CACHE_DIR=str(directory / "cache")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout


def test_what_users_write_is_typed(tmp_path):
    (tmp_path / "gunicorn_conf.py").write_text(CONFIGURATION)
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "extensions.py").write_text(EXTENSIONS)
    files = ("gunicorn_conf.py", "application.py", "extensions.py")
    mypy(tmp_path, "mypy", "--strict", "--python-version", "3.11", *files)


@pytest.mark.skipif(SANITIZED, reason="mypy runs without the sanitizer's library")
def test_stubs_tell_the_truth(tmp_path):
    allowed = tmp_path / "allowed"
    allowed.write_text(KNOWN)
    mypy(
        tmp_path,
        *("mypy.stubtest", "--ignore-missing-stub", "--ignore-unused-allowlist"),
        *("--allowlist", str(allowed), *STUBBED),
    )
