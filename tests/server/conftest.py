"""Servers that speak TLS, and servers of ASGI applications."""

from __future__ import annotations

import contextlib

import pytest
from helpers.server import Server
from helpers.tls import serve_tls


@pytest.fixture
def client(authority):
    return authority.client()


@pytest.fixture
def secure(gunicorn, pair, client):
    """secure(*args): a server of this test's own, whose methods speak TLS."""

    def start(*args, app="secure", use=pair, context=client, **options):
        return serve_tls(gunicorn(app, *use.args, *args, **options), context)

    return start


@contextlib.contextmanager
def asgi_servers(make_directory):
    """start(app, *args): asgi workers, which end at the end, without a problem."""
    started: list[Server] = []

    def start(app, *args, workers=1, directory=None, **options):
        count = ["-w", str(workers)] if workers != 1 else []
        command = ["-k", "asgi", *count, *args, app]
        started.append(Server(command, directory or make_directory(), **options))
        return started[-1].start(workers)

    yield start
    problems = [problem for server in started for problem in server.close()]
    assert not problems, "\n".join(problems)


@pytest.fixture
def serve_asgi(tmp_path):
    """serve_asgi(app, *args): a server of this test's own, in its directory."""
    with asgi_servers(lambda: tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def share_asgi(tmp_path_factory):
    """share_asgi(app, *args): one for the tests of a module, which leave no trace in it."""
    with asgi_servers(lambda: tmp_path_factory.mktemp("asgi")) as start:
        yield start
