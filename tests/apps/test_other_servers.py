"""Worker classes that bring a server of their own: they serve, reload and upgrade under load."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from helpers.server import Server, gunicorn_command, server_has
from helpers.wire import wait_until
from process.load import Load

HERE = Path(__file__).resolve().parent

KINDS = {
    "gaiohttp": ("aiohttp", ["-k", "gaiohttp", "aiohttp_app:app"]),
    "aiohttp": ("aiohttp", ["-k", "aiohttp.GunicornWebWorker", "aiohttp_app:app"]),
    "uvicorn": ("uvicorn_worker", ["-k", "uvicorn_worker.UvicornWorker", "asgi_app:app"]),
}

CLIENTS = 16

#: How a client of Load tells that its connection ended before the first byte of an answer.
CUT = re.compile("(new|late): (IncompleteReadError: 0 bytes .* undefined|ConnectionResetError)")


@pytest.fixture(params=KINDS)
def start(request, tmp_path):
    module, arguments = KINDS[request.param]
    if not server_has(module):
        pytest.skip(f"{module} is not installed")
    servers = []

    def start(*args, workers=2):
        common = ["--pythonpath", str(HERE), "--graceful-timeout", "5", "-w", str(workers)]
        common += ["--keep-alive", "60"]
        servers.append(Server([*common, *args, *arguments], tmp_path, expect_trouble=True))
        server = servers[-1].start(workers)
        wait_until(lambda: is_up(server), "an answer")
        return server

    yield start
    problems = [problem for server in servers for problem in server.close()]
    assert not problems, "\n".join(problems)


def is_up(server) -> bool:
    return server.request().status == 200


def clients(server) -> Load:
    """A connection for each request: these servers close idle ones when their worker ends."""
    return Load(server.address, kept=0, closing=CLIENTS)


def check(load: Load, stopped: int) -> None:
    """Nobody was refused, and nothing was answered but 200, whole.

    These servers close a connection that is accepted but not read yet when they stop, under any
    master. On a busy machine that may be one of each client, for each of the `stopped` workers:
    what waited in the queue was accepted at the very moment.
    """
    cut = sum(n for what, n in load.losses.items() if CUT.match(what))
    assert cut == load.losses.total(), f"{dict(load.losses)} of {load.answers}"
    assert cut <= CLIENTS * stopped


def test_requests(start):
    server = start()
    with server.connect() as connection:
        for _ in range(20):
            response = connection.request()
            pid, scheme = response.body.decode().split()
            assert response.status == 200
            assert scheme == "http"
            assert int(pid) in server.worker_pids()


def test_reload_under_load(start):
    server, stopped = start(), 0
    with clients(server) as load:
        for _ in range(2):
            old = set(server.worker_pids())
            stopped += len(old)
            load.settle(200)
            server.kill(signal.SIGHUP)
            wait_until(lambda old=old: not old & set(server.worker_pids()), "new workers", 30)
            load.settle(200)
    check(load, stopped)


def test_upgrade_under_load(start, tmp_path):
    pidfile = tmp_path / "pid"
    server = start("--pid", str(pidfile))
    new = 0
    try:
        with clients(server) as load:
            load.settle(200)
            server.kill(signal.SIGUSR2)
            second = Path(f"{pidfile}.2")
            wait_until(second.exists, "the second master", 30)
            new = int(second.read_text())
            load.settle(400)
            server.kill(signal.SIGTERM)
            assert server.wait() == 0
            load.settle(200)
        check(load, stopped=2)
    finally:
        if new:
            os.kill(new, signal.SIGTERM)
            wait_until(lambda: not Path(f"/proc/{new}").exists(), "the second master is gone", 30)


@pytest.mark.parametrize(
    "name, module, package",
    [
        ("gaiohttp", "aiohttp", "aiohttp"),
        ("aiohttp.GunicornWebWorker", "aiohttp", "aiohttp"),
        ("uvicorn_worker.UvicornWorker", "uvicorn_worker", "uvicorn-worker"),
    ],
)
def test_a_missing_package(name, module, package, tmp_path):
    """One line says what to install."""
    text = f"raise ModuleNotFoundError('hidden', name={module!r})\n"
    (tmp_path / f"{module}.py").write_text(text)
    (tmp_path / "hello.py").write_text("def app(environ, start_response): pass\n")
    result = subprocess.run(
        [*gunicorn_command(), "-k", name, "-b", "127.0.0.1:0", "hello:app"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert f"pip install {package}\n" in result.stderr
    assert "Traceback" not in result.stderr
