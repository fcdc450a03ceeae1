"""Workers that bring a handler for gevent's own server."""

import signal
from pathlib import Path

import pytest
from helpers.gate import Gate
from helpers.server import Server, server_has
from helpers.wire import render, wait_until

from gunicorn import SERVER_SOFTWARE

HERE = Path(__file__).resolve().parent


@pytest.fixture
def start(tmp_path):
    if not server_has("gevent"):
        pytest.skip("gevent is not installed")
    servers = []

    def start(worker, *args):
        arguments = ["-k", f"pywsgi_app.{worker}", "--pythonpath", str(HERE), *args]
        servers.append(Server([*arguments, "pywsgi_app:app"], tmp_path))
        return servers[-1].start()

    yield start
    problems = [problem for server in servers for problem in server.close()]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("worker", "handler"),
    [("OwnWorker", "ours"), ("RawWorker", "/here?x"), ("PlainWorker", "None")],
)
def test_handler(start, worker, handler):
    server = start(worker, "--access-logfile", "-")
    with server.connect() as connection:
        for _ in range(2):
            answer = connection.request(target="/here?x")
            assert answer.body == f"{handler} {SERVER_SOFTWARE}".encode()
    wait_until(lambda: server.stdout.count('"GET /here?x HTTP/1.1" 200') == 2, "both are logged")


def test_term_finishes_a_request(start):
    server = start("OwnWorker")
    with Gate() as gate, server.connect() as idle, server.connect() as busy:
        assert idle.request().status == 200
        busy.send(render(headers=[("X-Gate", gate.path)]))
        gate.wait()
        server.kill(signal.SIGTERM)
        server.wait_for_log("Handling signal: term")
        gate.open()
        assert busy.read_response().status == 200
    assert server.wait() == 0


def test_max_requests(start):
    server = start("OwnWorker", "--max-requests", "2")
    (first,) = server.worker_pids()
    for _ in range(2):
        assert server.request().status == 200
    server.wait_for_log("Autorestarting worker after current request")
    wait_until(lambda: server.worker_pids() and first not in server.worker_pids(), "replaced")
    wait_until(lambda: server.log.count("Booting worker") == 2, "a new one boots")
    assert server.request().status == 200
