"""Over TLS, too, no request is lost, whatever the master is told under load."""

from __future__ import annotations

import signal

import pytest
from helpers.server import PACKAGED, SANITIZED, WORKER_ARGS, server_has
from helpers.wire import wait_until
from process.load import Load, check, upgrade_under
from process.test_nothing_lost import APP

KINDS = ["sync", "gthread", "gevent"]


@pytest.fixture(params=KINDS)
def server(request, master, pair, tmp_path):
    if request.param in PACKAGED and not server_has(request.param):
        pytest.skip(f"{request.param} is not installed")
    (tmp_path / "hello.py").write_text(APP)

    def start(*args):
        one = master(
            *WORKER_ARGS[request.param], *pair.args, *args, app="hello:app", workers=2, plain=False
        )
        one.wait_workers(2)
        return one

    return start


@pytest.fixture
def load(authority):
    def start(one) -> Load:
        return Load(one.address, kept=24, closing=8, tls=authority.client())

    return start


def test_reload(server, load, authority):
    """Also with another certificate each time."""
    one = server()
    with load(one) as clients:
        for _ in range(3):
            old = set(one.worker_pids())
            clients.settle()
            authority.issue()
            one.kill(signal.SIGHUP)
            one.wait_gone(old, timeout=20)
        clients.settle()
    check(clients, one)
    assert one.stop() == 0


def test_recycling(server, load):
    one = server("--max-requests", "200", "--max-requests-jitter", "50")
    first = set(one.worker_pids())
    with load(one) as clients:
        clients.settle(1500, timeout=60)
        wait_until(lambda: not first & set(one.worker_pids()), "all workers were recycled", 60)
    check(clients, one)
    assert one.stop() == 0


def test_upgrade(server, load, tmp_path):
    pidfile = tmp_path / "pid"
    one = server("--pid", str(pidfile))
    upgrade_under(load(one), one, pidfile, 500)


@pytest.mark.skipif(
    SANITIZED, reason="a slow client's first byte comes after the 0.1 s that stopping waits for it"
)
def test_stop(server, load):
    """Who was accepted is answered, inside the handshake too; only then are clients refused."""
    one = server()
    with load(one) as clients:
        clients.settle(300)
        one.kill(signal.SIGTERM)
        assert one.wait() == 0
    lost = {what: n for what, n in clients.losses.items() if "ConnectionRefused" not in what}
    assert not lost, f"{lost} of {clients.answers}\n{one.log[-3000:]}"
