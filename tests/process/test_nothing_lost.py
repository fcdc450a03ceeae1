"""Whatever the master is told under load, no request is lost and no client cut off."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from helpers.server import PACKAGED, SANITIZED, WORKER_ARGS, server_has
from helpers.wire import wait_until
from process.load import Load, check, reload_under, upgrade_under

APP = """
def app(environ, start_response):
    start_response('200 OK', [('Content-Length', '5')])
    return [b'hello']
"""

KINDS = {
    name: arguments
    for name, arguments in WORKER_ARGS.items()
    if name not in PACKAGED or server_has(name)
}


@pytest.fixture(params=list(KINDS))
def server(request, master, tmp_path):
    (tmp_path / "hello.py").write_text(APP)

    def start(*args, workers=2, **options):
        one = master(
            *KINDS[request.param],
            "--keep-alive",
            "60",
            *args,
            app="hello:app",
            workers=workers,
            plain=False,
            **options,
        )
        if not options.get("launch"):
            one.wait_workers(workers)
        return one

    return start


def test_reload(server):
    one = server()
    with Load(one.address) as load:
        reload_under(load, one, 3)
    check(load, one)
    assert one.stop() == 0


def test_reload_with_a_queue_for_each_worker(server):
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))  # and does not listen
        port = holder.getsockname()[1]
        one = server("--reuse-port", bind=[f"127.0.0.1:{port}"], workers=None, launch=True)
        one.addresses = [("127.0.0.1", port)]
        one.wait_workers(1)
        one.kill(signal.SIGTTIN)
        one.wait_workers(2)
        with Load(one.address) as load:
            reload_under(load, one, 3)
    check(load, one)
    assert one.stop() == 0


def test_a_new_address_under_load(server, tmp_path):
    """The old one is served until it is closed, and refused from then on."""
    one = server(bind=[], config="bind = ['127.0.0.1:0', 'unix:one']\n")
    old = one.wait_workers(2)
    with Load(one.addresses[0]) as kept:
        with Load(str(tmp_path / "one"), kept=0, closing=32) as left:
            kept.settle()
            one.config("bind = ['127.0.0.1:0', 'unix:two']\n")
            one.kill(signal.SIGHUP)
            one.wait_gone(old, timeout=20)
            kept.settle()
    check(kept, one)
    assert all(what.startswith("connect:") for what in left.losses), left.losses
    assert one.stop() == 0


def test_more_and_fewer_workers(server):
    one = server()
    with Load(one.address) as load:
        for number in [signal.SIGTTIN, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTTOU] * 2:
            load.settle(150)
            one.kill(number)
        load.settle()
    check(load, one)
    assert one.stop() == 0


def test_recycling(server):
    one = server("--max-requests", "300", "--max-requests-jitter", "100")
    first = set(one.worker_pids())
    with Load(one.address) as load:
        load.settle(4000, timeout=60)
        wait_until(lambda: not first & set(one.worker_pids()), "all workers were recycled", 60)
    check(load, one)
    assert one.stop() == 0


def test_upgrade(server, tmp_path):
    pidfile = tmp_path / "pid"
    one = server("--pid", str(pidfile))
    upgrade_under(Load(one.address), one, pidfile, 1000)


@pytest.mark.skipif(
    SANITIZED, reason="a slow client's first byte comes after the 0.1 s that stopping waits for it"
)
def test_stop(server):
    """What was accepted or waits is answered; only then are clients refused.

    So are those that have connected and do not say a first word in time.
    """
    one = server()
    with Load(one.address) as load:
        load.settle(500)
        one.kill(signal.SIGTERM)
        assert one.wait() == 0
    lost = {what: n for what, n in load.losses.items() if not what.startswith("connect:")}
    assert not lost, f"{lost} of {load.answers}\n{one.log[-3000:]}"


def test_a_killed_worker_loses_only_what_it_ran(server):
    one = server()
    with Load(one.address, kept=0, closing=64) as load:
        load.settle()
        os.kill(one.worker_pids()[0], signal.SIGKILL)
        load.settle(500)
    assert sum(load.losses.values()) <= 64
    assert one.stop() == 0
