"""Workers that are replaced because they have served, lived or grown enough: nobody notices."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from helpers.server import PACKAGED, SANITIZED, WORKER_ARGS, server_has
from helpers.wire import wait_until
from process.load import Load, check

APP = """
import os, time
KEPT = []

def app(environ, start_response):
    path = environ['PATH_INFO']
    if path.startswith('/grow/'):
        block = bytearray(int(path[6:]) << 20)
        block[::1024] = b'x' * len(block[::1024])
        KEPT.append(block)
    if path.startswith('/sleep/'):
        time.sleep(float(path[7:]))
    if path == '/runaway':
        while True:
            KEPT.append('x' * 1000 + str(len(KEPT)))
    body = b'%d' % os.getpid()
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]
"""
KINDS = [kind for kind in WORKER_ARGS if kind not in PACKAGED or server_has(kind)]
ONE_AND_MANY = [kind for kind in ("sync", "gthread", "gevent") if kind in KINDS]

needs_statm = pytest.mark.skipif(
    not Path("/proc/self/statm").exists() or SANITIZED, reason="memory is not told, or is other"
)


@pytest.fixture
def server(master, tmp_path):
    (tmp_path / "leaky.py").write_text(APP)

    def start(*args, kind="sync", workers=2, **options):
        one = master(
            *WORKER_ARGS[kind], *args, app="leaky:app", workers=workers, plain=False, **options
        )
        wait_until(lambda: one.get(), "an answer")
        return one

    return start


class Census:
    """The most workers that lived at a time, and all that ever did."""

    def __init__(self, one) -> None:
        self.one = one
        self.most = 0
        self.seen: set[int] = set()
        self._stop = False
        self._thread = threading.Thread(target=self._count)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc) -> None:
        self._stop = True
        self._thread.join()

    def _count(self) -> None:
        while not self._stop:
            pids = self.one.worker_pids()
            self.most = max(self.most, len(pids))
            self.seen.update(pids)
            time.sleep(0.005)


def all_replaced(one, before, timeout: float = 90.0) -> None:
    wait_until(
        lambda: not set(before) & set(one.worker_pids()),
        lambda: f"all were replaced\n{one.log}",
        timeout,
    )


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("kind", ONE_AND_MANY)
def test_all_workers_reach_max_requests_at_once(server, kind, most):
    one = server("--max-requests", "60", "--max-unavailable", str(most), kind=kind, workers=8)
    first = one.wait_workers(8)
    with Census(one) as census, Load(one.address, kept=16, closing=16) as load:
        all_replaced(one, first)
        load.settle()
    check(load, one)
    assert len(census.seen) >= 16
    assert census.most <= 8 + most
    assert one.stop() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_max_lifetime(server, kind):
    one = server("--max-lifetime", "1", "--max-lifetime-jitter", "0.5", kind=kind, workers=3)
    first = one.worker_pids()
    with Census(one) as census, Load(one.address, kept=8, closing=8) as load:
        all_replaced(one, first)
        load.settle()
    check(load, one)
    assert census.most <= 4
    one.wait_for_log(rf"Worker \(pid:{first[0]}\) has reached max_lifetime: it is to be replaced")
    assert one.stop() == 0


def test_a_lifetime_ends_without_any_request(server):
    one = server("--max-lifetime", "0.5", workers=1)
    (first,) = one.wait_workers(1)
    all_replaced(one, [first])


@needs_statm
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_grows_is_replaced_between_requests(server, kind):
    one = server("--max-rss", "150M", kind=kind)
    first = one.wait_workers(2)
    with Load(one.address, kept=4, closing=4) as load:
        wait_until(
            lambda: one.get("/grow/20") and not set(first) & set(one.worker_pids()),
            lambda: f"all were replaced\n{one.log}",
            timeout=90,
            interval=0.1,
        )
        load.settle()
    check(load, one)
    one.wait_for_log(
        rf"Worker \(pid:{first[0]}\) occupies \d+\.\dM, more than max_rss \(150\.0M\): it is to be"
    )
    assert one.stop() == 0


@needs_statm
@pytest.mark.parametrize("kind", ONE_AND_MANY)
def test_a_runaway_request_is_ended_by_the_hard_limit(server, kind):
    one = server("--max-rss-hard", "200M", kind=kind, workers=1)
    (first,) = one.wait_workers(1)
    with one.connect() as client:
        client.send(b"GET /runaway HTTP/1.1\r\nHost: a\r\n\r\n")
        found = one.wait_for_log(
            rf"Worker \(pid:{first}\) occupies \S+M, more than max_rss_hard \(200\.0M\): "
            r"it is aborted\.(.*)",
            timeout=60,
        )
        if kind == "sync":
            assert "It was running GET /runaway." in found[1]
        one.wait_for_log(r"File .*leaky\.py\", line \d+ in app")  # where it grew
    one.wait_gone([first], timeout=20)
    assert one.get() != str(first)
    assert one.stop() == 0


@needs_statm
def test_who_is_too_big_from_the_start_is_not_replaced_again_and_again(server):
    one = server("--max-rss", "1M", "--max-rss-hard", "2M", workers=1)
    (first,) = one.wait_workers(1)
    one.wait_for_log(rf"Worker \(pid:{first}\) occupies \S+M before its first request")
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        assert one.get() == str(first)
        time.sleep(0.05)
    assert one.stop() == 0


@needs_statm
def test_an_idle_server_sleeps_though_memory_is_limited(server):
    one = server("--max-rss", "1G", "--max-rss-hard", "2G", "--max-lifetime", "3600")
    one.wait_workers(2)

    def wakes() -> int:
        pids = [one.pid, *one.worker_pids()]
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
        return sum(int(t.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for t in texts)

    def asleep():
        before = wakes()
        time.sleep(2.5)
        return wakes() == before

    wait_until(asleep, "nobody wakes up for 2.5 s", timeout=30)


def test_fewer_and_more_workers_while_recycling(server):
    one = server("--max-requests", "30", "--max-unavailable", "2", workers=4)
    with Load(one.address, kept=16, closing=16) as load:
        for number in [signal.SIGTTOU, signal.SIGTTIN] * 6:
            load.settle(100)
            one.kill(number)
        load.settle(200)
    check(load, one)
    one.wait_workers(4, timeout=30)
    assert one.stop() == 0


def test_a_reload_while_recycling(server):
    one = server("--max-requests", "30", workers=3)
    with Load(one.address, kept=16, closing=16) as load:
        for _ in range(3):
            old = one.worker_pids()
            load.settle(100)
            one.kill(signal.SIGHUP)
            all_replaced(one, old)
        load.settle(200)
    check(load, one)
    one.wait_workers(3, timeout=30)
    assert one.stop() == 0


def test_a_successor_that_does_not_boot_costs_nobody(server, tmp_path):
    one = server("--max-requests", "20", workers=2)
    first = one.wait_workers(2)
    (tmp_path / "leaky.py").write_text("raise RuntimeError('broken')\n")
    with Load(one.address, kept=4, closing=4) as load:
        one.wait_for_log(r"failed to boot; 2 serve meanwhile")
        load.settle(200)
        assert set(first) <= set(one.worker_pids())
        (tmp_path / "leaky.py").write_text(APP)
        all_replaced(one, first)
        load.settle()
    assert not load.losses
    assert one.stop() == 0


def test_boot_timeout(master):
    one = master(
        "--timeout",
        "0",
        "--boot-timeout",
        "0.5",
        config="def post_worker_init(worker):\n    import time\n    time.sleep(60)\n",
    )
    (worker,) = one.wait_forked(1)
    told = one.wait_for_log(rf"Worker \(pid:{worker}\) has been booting for ([\d.]+) s")
    assert float(told[1]) >= 0.5
    one.wait_for_log(r"in post_worker_init")
    one.wait_gone([worker])


@needs_statm
def test_limits_in_the_wrong_order_are_told(master):
    one = master("--max-rss", "2G", "--max-rss-hard", "1G")
    one.wait_for_log(r"max_rss_hard \(1024\.0M\) is not above max_rss \(2048\.0M\)")
