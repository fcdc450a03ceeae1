"""The limit of descriptors: raised as far as it may be, and divided so that the service goes on."""

import re
import resource
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers.server import SANITIZED, Stopwatch, assert_soon
from helpers.wire import render

FEW = 256
READERS = 81

#: Seconds that an honest client may wait.
SOON = 10.0 if SANITIZED else 2.0

pytestmark = [
    pytest.mark.parametrize("worker", ["sync", "gthread"], indirect=True, scope="session"),
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc"),
]


def limit(soft, hard):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_files(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.fixture
def few_descriptors(gunicorn):
    """Memory is short, too, so that answers go to files."""
    args = ("--client-memory", "16M")
    return gunicorn("busy", *args, preexec=limit(FEW, FEW), expect_trouble=True)


def ask(server):
    watch = Stopwatch()
    assert server.request().status == 200
    return watch.seconds


@pytest.mark.parametrize("path", ["/large", "/file"])
def test_slow_readers_with_few_descriptors(few_descriptors, path):
    """They neither end the service nor block its threads, and each gets its answer."""
    server = few_descriptors
    server.wait_for_log(
        rf"worker_connections is 1000, but the limit of descriptors .* is {FEW}: \d+ connections"
    )
    assert server.request().status == 200
    (pid,) = server.worker_pids()
    with ExitStack() as stack:
        readers = [
            stack.enter_context(server.connect(receive_buffer=4096, timeout=60))
            for _ in range(READERS)
        ]
        for reader in readers:
            reader.send(render(target=path))
        for reader in readers:
            reader.await_answer()
        assert open_files(pid) < FEW - 32
        assert_soon(SOON, lambda: ask(server))
        assert server.worker_pids() == [pid]
        for reader in readers[::20]:
            body = reader.read_response().body
            assert (len(body), body.count(b"x")) == (8 << 20, 8 << 20)
    assert "Cannot" not in server.log


def test_the_limit_is_raised(gunicorn):
    """To what the connections need, and no further: what the application starts inherits it."""
    server = gunicorn("busy", "--worker-connections", "300", preexec=limit(64, 4096))
    with ExitStack() as stack:
        for _ in range(200):
            assert stack.enter_context(server.connect()).request().status == 200
        (pid,) = server.worker_pids()
        assert open_files(pid) > 200
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    assert 600 <= soft < 1000
    assert hard == 4096
    assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (64, 4096)
    assert not re.search("limit of descriptors", server.log)


def test_a_limit_that_suffices_is_left(gunicorn):
    server = gunicorn("busy", "--worker-connections", "300", preexec=limit(2000, 4096))
    assert server.request().status == 200
    (pid,) = server.worker_pids()
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (2000, 4096)
