"""The tornado worker: WSGI callables by our engine, tornado's applications by its own server."""

import asyncio
import signal
from pathlib import Path

import pytest
from helpers.server import Server, server_has
from helpers.wire import STEP_TIMEOUT, render, wait_until

HERE = Path(__file__).resolve().parent


@pytest.fixture
def start(tmp_path):
    if not server_has("tornado"):
        pytest.skip("tornado is not installed")
    servers = []

    def start(app, *args, workers=1, **options):
        directory = tmp_path / f"server{len(servers)}"
        directory.mkdir()
        arguments = ["-k", "tornado", "--pythonpath", str(HERE), "-w", str(workers), *args, app]
        servers.append(Server(arguments, directory, **options))
        server = servers[-1].start(workers)
        server.request()  # the application is loaded
        return server

    yield start
    problems = [problem for server in servers for problem in server.close()]
    assert not problems, "\n".join(problems)


def test_the_loop_goes_on_beside_wsgi(start):
    server = start("tornado_app:wsgi")
    server.request()
    wait_until(lambda: int(server.request().body) > 3, "callbacks of the application run")


def test_an_application_of_tornado(start, gate):
    server = start("tornado_app:application")
    response = server.request()
    assert response.status == 200
    assert "(Gunicorn/" in response.header("Server")
    with server.connect() as waiting, server.connect() as other:
        waiting.send(render(target=f"/?gate={gate.path}"))
        gate.wait()
        assert other.request().keeps_alive
        gate.open()
        assert waiting.read_response().status == 200


def test_stopping_waits_for_what_runs(start, gate):
    server = start("tornado_app:application")
    with server.connect() as connection, server.connect() as idle:
        idle.request()
        connection.send(render(target=f"/?gate={gate.path}"))
        gate.wait()
        server.kill(signal.SIGTERM)
        server.wait_for_log("Handling signal: term")
        gate.open()
        assert connection.read_response().status == 200
    assert server.wait() == 0


def test_patience_ends(start, gate):
    patience = int(0.8 * STEP_TIMEOUT)  # a fifth of it is left to the worker to end in
    server = start("tornado_app:application", "--graceful-timeout", str(patience))
    with server.connect() as connection:
        connection.send(render(target=f"/?gate={gate.path}"))
        gate.wait()
        assert server.stop() == 0


def test_recycling(start):
    server = start("tornado_app:application", "--max-requests", "5")
    (first,) = server.worker_pids()
    pids = set()

    def replaced():
        pids.add(int(server.request().body))
        return len(pids) > 1

    wait_until(replaced, "another worker answers", 15)
    assert first in pids
    assert "Autorestarting worker after current request." in server.log


def test_websockets(start):
    server = start("tornado_app:application")
    tornado = pytest.importorskip("tornado.websocket")
    host, port = server.address

    async def talk():
        connection = await tornado.websocket_connect(f"ws://{host}:{port}/echo")
        await connection.write_message("hello")
        answer = await connection.read_message()
        connection.close()
        return answer

    assert asyncio.run(asyncio.wait_for(talk(), 20)) == "hello"
