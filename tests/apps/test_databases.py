"""Drivers in C that wait for a database: under greenlets others run meanwhile."""

import threading
from pathlib import Path

import pytest
from helpers.postgres import Postgres
from helpers.server import Server, Stopwatch, assert_soon, server_has
from helpers.wire import STEP_TIMEOUT, render, wait_until

HERE = Path(__file__).resolve().parent
COUNT = 30


@pytest.fixture
def database():
    with Postgres() as one:
        yield one


@pytest.fixture(params=["gevent", "eventlet"])
def kind(request):
    if not server_has(request.param):
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture(params=["psycopg2", "psycopg"])
def driver(request, kind):
    if not server_has(request.param):
        pytest.skip(f"{request.param} is not installed")
    if request.param == "psycopg" and kind == "eventlet":
        pytest.skip("psycopg 3 knows gevent only")
    return request.param


@pytest.fixture
def start(kind, database, tmp_path):
    servers = []

    def start(*args, **options):
        arguments = ["-k", kind, "--pythonpath", str(HERE), *args, "database_app:app"]
        servers.append(Server(arguments, tmp_path, env={"DATABASE": database.dsn}, **options))
        return servers[-1].start()

    yield start
    problems = [problem for server in servers for problem in server.close()]
    assert not problems, "\n".join(problems)


def test_queries_at_once(start, driver, database):
    """Each is answered when all of them are there."""
    server = start()
    assert server.request("GET", f"/{driver}?0").body == b"slept"
    database.meeting = threading.Barrier(COUNT, timeout=STEP_TIMEOUT)
    connections = [server.connect(timeout=30) for _ in range(COUNT)]
    for connection in connections:
        connection.send(render(target=f"/{driver}?0.5"))
    for connection in connections:
        assert connection.read_response().body == b"slept"
        connection.close()
    assert sum("0.5" in query for query in database.queries) == COUNT


def test_a_query_that_takes_too_long(start, driver):
    """request_timeout ends the wait; the worker goes on."""
    server = start("--request-timeout", "2", expect_trouble=True)
    wait_until(
        lambda: server.request("GET", f"/{driver}?0").body == b"slept", "the driver is loaded"
    )
    (worker,) = server.worker_pids()

    def attempt() -> float:
        watch = Stopwatch()
        assert server.request("GET", f"/{driver}?30").status == 504
        return watch.seconds

    assert_soon(10, attempt)
    server.wait_for_log(rf"GET /{driver}\?30 has been running .*in ask")
    assert server.request("GET", f"/{driver}?0").body == b"slept"
    assert server.worker_pids() == [worker]
