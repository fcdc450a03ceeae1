"""TLS with worker classes that bring a server of their own."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from helpers.server import Server, server_has
from helpers.tls import Authority, serve_tls
from helpers.wire import wait_until

HERE = Path(__file__).resolve().parent

KINDS = {
    "aiohttp": ["-k", "aiohttp.GunicornWebWorker", "aiohttp_app:app"],
    "uvicorn_worker": ["-k", "uvicorn_worker.UvicornWorker", "asgi_app:app"],
    "tornado": ["-k", "tornado", "tornado_app:application"],
    None: ["-k", "wrapping_worker.WrappingWorker", "wrapping_worker:app"],
}


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture(params=KINDS, ids=str)
def server(request, authority, tmp_path):
    if request.param and not server_has(request.param):
        pytest.skip(f"{request.param} is not installed")
    args = [*authority.issue().args, "--pythonpath", str(HERE), *KINDS[request.param]]
    one = Server(args, tmp_path, env={"PYTHONPATH": f"{HERE}:{HERE.parent}"})
    yield serve_tls(one.start(), authority.client())
    problems = one.close()
    assert not problems, "\n".join(problems)


def ask(server) -> bytes:
    """The body of an answer; how these servers end TLS is not ours to test."""
    with server.connect() as connection:
        body = connection.request().body
    assert not body.endswith(b" http")  # the scheme, where the application knows it
    return body


def test_requests(server):
    for _ in range(5):
        assert ask(server)


def test_reload(server, authority):
    ask(server)
    (old,) = server.worker_pids()
    authority.issue()
    server.kill(signal.SIGHUP)
    wait_until(lambda: server.worker_pids() and old not in server.worker_pids(), "replaced", 30)
    assert ask(server)
