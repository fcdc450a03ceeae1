"""Drivers in C that wait for a database: under greenlets others run meanwhile."""

from pathlib import Path

import pytest
from helpers.postgres import Postgres
from helpers.server import Server, Stopwatch, server_has
from helpers.wire import render

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
    server = start()
    assert server.request("GET", f"/{driver}?0").body == b"slept"
    watch = Stopwatch()
    connections = [server.connect(timeout=30) for _ in range(COUNT)]
    for connection in connections:
        connection.send(render(target=f"/{driver}?0.5"))
    for connection in connections:
        assert connection.read_response().body == b"slept"
        connection.close()
    assert watch.seconds < COUNT * 0.5 / 2
    assert sum("0.5" in query for query in database.queries) == COUNT


def test_a_query_that_takes_too_long(start, driver):
    """request_timeout ends the wait; the worker goes on."""
    server = start("--request-timeout", "0.5", expect_trouble=True)
    assert server.request("GET", f"/{driver}?0").body == b"slept"
    (worker,) = server.worker_pids()
    watch = Stopwatch()
    assert server.request("GET", f"/{driver}?30").status == 504
    assert watch.seconds < 10
    server.wait_for_log(rf"GET /{driver}\?30 has been running .*in ask")
    assert server.request("GET", f"/{driver}?0").body == b"slept"
    assert server.worker_pids() == [worker]
