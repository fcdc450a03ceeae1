"""Fixtures of the behaviour tests.

``GUNICORN_COMMAND`` names the command under test; the default is the ``gunicorn`` of the
environment that runs pytest. Given the original gunicorn, the tests that it fails on purpose
(``helpers/reference.py``) are expected to fail.

With ``--tls`` the behaviour tests go over TLS, but for those that look at plain bytes
(``helpers/plainly.py``).
"""

from __future__ import annotations

import fnmatch
from collections import OrderedDict

import pytest
from helpers.for_asgi import fits
from helpers.gate import Gate
from helpers.plainly import PLAIN_ONLY
from helpers.reference import REFERENCE_FAILS
from helpers.sample import part_of
from helpers.server import PACKAGED, WORKER_ARGS, Server, is_reference, server_has
from helpers.tls import Authority, serve_tls
from helpers.wrapped import name_wrapped

#: Idle servers kept for other tests of a session.
SHARED_MAX = 10


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds")


def pytest_addoption(parser):
    parser.addoption("--tls", action="store_true", help="run the behaviour tests over TLS")
    parser.addoption(
        "--workers", type=int, metavar="N",
        help="run each test with N of the worker classes that it is for, gthread among them",
    )  # fmt: skip


def name_of(item) -> str:
    path, bracket, parameters = item.nodeid.partition("[")
    return path.rpartition("/")[2] + bracket + parameters


def matching(item, table: dict[str, str]) -> list[str]:
    """The values of a table whose patterns match the name of a test."""
    name = name_of(item)
    return [value for pattern, value in table.items() if fnmatch.fnmatchcase(name, pattern)]


def select_over_tls(config, items) -> None:
    """Leave the tests whose server speaks TLS by the option alone."""
    chosen, others = [], []
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        ours = "servers" in fixtures and "authority" not in fixtures
        (chosen if ours and not matching(item, PLAIN_ONLY) else others).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


def select_for_workers(config, items) -> None:
    """Leave the tests that have something to say of their worker class."""
    chosen, others = [], []
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        fit = fits("asgi" in parameters.values(), name_of(item))
        (chosen if fit else others).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


def select_part(config, items, most: int) -> None:
    """Leave the tests with some of their worker classes."""
    chosen, others = part_of(items, most)
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


def pytest_collection_modifyitems(config, items):
    select_for_workers(config, items)
    if config.getoption("workers"):
        select_part(config, items, config.getoption("workers"))
    if config.getoption("tls"):
        select_over_tls(config, items)
    if not any("worker" in getattr(item, "fixturenames", ()) for item in items):
        return
    if not is_reference():
        return
    for item in items:
        for reason in matching(item, REFERENCE_FAILS):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=False))


@pytest.fixture(scope="session", params=list(WORKER_ARGS))
def worker(request) -> str:
    """The worker class under test."""
    if request.param in PACKAGED and not server_has(request.param):
        pytest.skip(f"{request.param} is not installed")
    return request.param


class Servers:
    """Starts servers of one worker class; the shared ones are kept for the next test.

    authority: who signs the certificate of those that speak TLS; None if none does.
    """

    def __init__(self, worker: str, directories, authority: Authority | None = None):
        self.worker = worker
        self.directories = directories
        self.authority = authority
        self.pair = authority.issue() if authority else None
        self.kept: OrderedDict[tuple, Server] = OrderedDict()
        self.problems: list[str] = []

    def start(self, app: str, *args: str, workers: int = 1, **options) -> Server:
        """A server of its own: the caller closes it."""
        arguments = [*WORKER_ARGS[self.worker], *args]
        is_asgi = options.pop("is_asgi", False)
        if self.worker == "asgi" and "-k" not in args and not is_asgi:
            app = name_wrapped(app)
        if self.pair:
            arguments[:0] = self.pair.args
        if workers != 1:
            arguments += ["-w", str(workers)]
        directory = options.pop("cwd", None) or self.directories.mktemp("server")
        server = Server([*arguments, app], directory, **options)
        if self.authority:
            serve_tls(server, self.authority.client(), ends_ragged=True)
        try:
            return server.start(workers)
        except BaseException:
            server._kill()
            raise

    def shared(self, app: str, *args: str, **options) -> Server:
        """A server that tests share because they leave no trace in it."""
        key = (app, args, repr(sorted(options.items())))
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key]
        while len(self.kept) >= SHARED_MAX:
            _, oldest = self.kept.popitem(last=False)
            self.problems += oldest.close()
        self.kept[key] = self.start(app, *args, **options)
        return self.kept[key]

    def drop_dead(self) -> list[str]:
        """Forget shared servers that have ended; what there is to say of them."""
        problems = []
        for key, server in list(self.kept.items()):
            if server.process.poll() is not None:
                server.exit_code = server.process.returncode
                problems += server.close()
                del self.kept[key]
        return problems

    def close(self) -> None:
        for server in self.kept.values():
            self.problems += server.close()
        assert not self.problems, "\n".join(self.problems)


@pytest.fixture(scope="session")
def servers(worker, tmp_path_factory, pytestconfig):
    over_tls = pytestconfig.getoption("tls")
    authority = Authority(tmp_path_factory.mktemp("authority")) if over_tls else None
    pool = Servers(worker, tmp_path_factory, authority)
    yield pool
    pool.close()


@pytest.fixture
def shared(servers):
    """shared(app, *args): a server that other tests use too."""
    yield servers.shared
    problems = servers.drop_dead()
    assert not problems, "\n".join(problems)


@pytest.fixture
def gunicorn(servers):
    """gunicorn(app, *args): a server of this test's own, checked and stopped at its end."""
    started: list[Server] = []

    def start(app: str, *args: str, **options) -> Server:
        started.append(servers.start(app, *args, **options))
        return started[-1]

    yield start
    problems = [problem for server in started for problem in server.close()]
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    from helpers.tls import Authority  # few tests need its packages

    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority):
    """A certificate for the servers of a file, and its key."""
    return authority.issue()


@pytest.fixture
def gate():
    """A gate for the application: see helpers.gate."""
    with Gate() as one:
        yield one
