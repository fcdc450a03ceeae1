"""Over HTTP/2, no stream is lost either, whatever the master is told under load."""

from __future__ import annotations

import signal

import pytest
from helpers.server import SANITIZED, WORKER_ARGS
from helpers.wire import wait_until

pytest.importorskip("h2")

from process.load import check, reload_under, upgrade_under  # noqa: E402
from process.load_http2 import Http2Load  # noqa: E402
from process.test_nothing_lost import APP  # noqa: E402

HTTP2 = ("--http-protocols=h2,h1", "--http2-cleartext=prior-knowledge", "--keep-alive=60")


@pytest.fixture(params=["gthread", "asgi"])
def server(request, master, tmp_path):
    (tmp_path / "hello.py").write_text(APP)

    def start(*args):
        kind = WORKER_ARGS[request.param]
        one = master(*kind, *HTTP2, *args, app="hello:app", workers=2, plain=False)
        one.wait_workers(2)
        return one

    return start


def reload(one, load):
    reload_under(load, one, 2)


def fewer_workers(one, load):
    for number in [signal.SIGTTIN, signal.SIGTTOU] * 3:
        load.settle(100)
        one.kill(number)
    load.settle()


def recycle(one, load):
    first = set(one.worker_pids())
    wait_until(lambda: not first & set(one.worker_pids()), "all workers were recycled", 60)
    load.settle()


@pytest.mark.parametrize("event", [reload, fewer_workers, recycle])
def test_an_event(server, event):
    one = server("--max-requests=300") if event is recycle else server()
    with Http2Load(one.address) as load:
        event(one, load)
    check(load, one)
    assert one.stop() == 0


def test_upgrade(server, tmp_path):
    pidfile = tmp_path / "pid"
    one = server("--pid", str(pidfile))
    upgrade_under(Http2Load(one.address), one, pidfile, 500)


@pytest.mark.skipif(
    SANITIZED, reason="a slow client's first byte comes after the 0.1 s that stopping waits for it"
)
def test_stop(server):
    """Streams that were taken are answered; only then are clients refused."""
    one = server()
    with Http2Load(one.address) as load:
        load.settle(500)
        one.kill(signal.SIGTERM)
        assert one.wait() == 0
    lost = {what: n for what, n in load.losses.items() if not what.startswith("connect:")}
    assert not lost, f"{lost} of {load.answers}\n{one.log[-3000:]}"


def test_a_renewed_certificate(server, pair, authority):
    one = server(*pair.args, "--http2-cleartext=off")
    with Http2Load(one.address, tls=authority.client()) as load:
        for _ in range(2):
            old = set(one.worker_pids())
            load.settle()
            authority.issue()
            one.kill(signal.SIGHUP)
            one.wait_gone(old, timeout=20)
        load.settle()
    check(load, one)
    assert one.stop() == 0
