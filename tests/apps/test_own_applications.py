"""Servers started by other means than the command: by PasteDeploy, pserve, and one's own code."""

import signal
import sys
from pathlib import Path

import pytest
from helpers.server import Server
from helpers.wire import wait_until

BIN = Path(sys.executable).parent

PASTED = """
def make(global_conf, greeting):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [f"{greeting} {global_conf.get('colour')}".encode()]

    return app
"""

INI = """
[app:main]
use = call:pasted:make
greeting = hello

[app:other]
use = call:pasted:make
greeting = bonjour

[server:main]
use = egg:gunicorn#main
host = 127.0.0.1
port = 0
workers = 2
proc_name = pasted
"""

STANDALONE = """
import multiprocessing

from gunicorn.app.base import BaseApplication


def handler(environ, start_response):
    body = b"works"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class StandaloneApplication(BaseApplication):
    def __init__(self, app, options=None):
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self):
        config = {
            key: value
            for key, value in self.options.items()
            if key in self.cfg.settings and value is not None
        }
        for key, value in config.items():
            self.cfg.set(key.lower(), value)

    def load(self):
        return self.application


if __name__ == "__main__":
    options = {"bind": "127.0.0.1:0", "workers": min(2, multiprocessing.cpu_count() * 2 + 1)}
    StandaloneApplication(handler, options).run()
"""

CONFIGURED = """
import sys

from gunicorn.app.base import Application


class Shop(Application):
    def init(self, parser, opts, args):
        return {"bind": "127.0.0.1:0", "workers": 1, "threads": 3}

    def load(self):
        threads, name = self.cfg.threads, self.cfg.proc_name

        def app(environ, start_response):
            start_response("200 OK", [])
            return [f"{threads} {name}".encode()]

        return app


Shop("%(prog)s [OPTIONS]").run()
"""


@pytest.fixture
def serve(tmp_path):
    """serve(*arguments, command=..., workers=1): a server, checked when it is stopped."""
    (tmp_path / "pasted.py").write_text(PASTED)
    (tmp_path / "site.ini").write_text(INI)
    servers = []

    def start(*arguments, workers=1, **options):
        servers.append(Server(arguments, tmp_path, **options))
        return servers[-1].start(workers)

    yield start
    problems = [problem for server in servers for problem in server.close()]
    assert not problems, "\n".join(problems)


def test_paste(serve):
    pytest.importorskip("paste.deploy")
    server = serve("--paste", "site.ini#other", "--paste-global", "colour=red")
    assert server.request().body == b"bonjour red"


def test_pserve(serve, tmp_path):
    pytest.importorskip("pyramid")
    server = serve("site.ini", "colour=blue", bind=[], command=[str(BIN / "pserve")], workers=2)
    assert server.request().body == b"hello blue"
    (tmp_path / "site.ini").write_text(INI.replace("workers = 2", "workers = 1"))
    server.kill(signal.SIGHUP)
    server.wait_for_log("Hang up")
    assert server.request().body == b"hello blue"
    assert server.stop() == 0


def test_standalone_application(serve, tmp_path):
    (tmp_path / "standalone.py").write_text(STANDALONE)
    command = [sys.executable, "standalone.py"]
    server = serve(bind=[], command=command, workers=2)
    assert server.request().body == b"works"
    before = set(server.worker_pids())
    server.kill(signal.SIGHUP)
    wait_until(lambda: server.log.count("Booting worker with pid") == 4, "the new workers")
    wait_until(lambda: before.isdisjoint(server.worker_pids()), "the old ones are gone")
    assert server.request().body == b"works"
    assert server.stop(signal.SIGINT) == 0


def test_application_with_a_command_line(serve, tmp_path):
    (tmp_path / "shop.py").write_text(CONFIGURED)
    (tmp_path / "gunicorn.conf.py").write_text("threads = 4\nproc_name = 'file'\n")
    server = serve("--name", "flag", bind=[], command=[sys.executable, "shop.py"])
    assert server.request().body == b"4 flag"
