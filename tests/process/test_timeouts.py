"""Silent workers: found, explained, killed; and those that are not silent left alone."""

from __future__ import annotations

import os
import signal
import time

import pytest
from helpers.server import Stopwatch


def ask(one, path: str):
    client = one.connect()
    client.send(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
    return client


def test_a_request_that_takes_too_long(master):
    one = master(
        "--timeout", "1", config="def worker_abort(worker):\n    worker.log.info('aborted')\n"
    )
    (worker,) = one.wait_workers(1)
    one.get()
    watch = Stopwatch()
    with ask(one, "/sleep/30"):
        one.wait_for_log(rf"\[CRITICAL\] WORKER TIMEOUT \(pid:{worker}\)")
        assert 0.8 < watch.seconds < 2
        one.wait_for_log(r"File .*plain\.py\", line \d+ in app")
        one.wait_for_log(r"\[INFO\] aborted")
        one.wait_for_log(rf"Worker \(pid:{worker}\) exited with code 1\.")
    one.wait_gone([worker])
    assert one.get() != str(worker)
    assert one.stop() == 0


def test_a_worker_stuck_in_c_code_is_explained_and_killed(master):
    one = master("--timeout", "1")
    (worker,) = one.wait_workers(1)
    with ask(one, "/stuck"):
        one.wait_for_log(rf"WORKER TIMEOUT \(pid:{worker}\)")
        one.wait_for_log(r"File .*plain\.py\", line \d+ in app")
        one.wait_for_log(rf"Worker \(pid:{worker}\) was sent SIGKILL! It did not end by itself")
    one.wait_gone([worker])
    one.get()
    assert one.stop() == 0


def test_a_machine_that_slept_kills_nobody(master):
    one = master("--timeout", "1")
    (worker,) = one.wait_workers(1)
    with ask(one, "/sleep/0.9") as client:
        time.sleep(0.2)
        for pid in (one.pid, worker):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2.5)
        for pid in (worker, one.pid):
            os.kill(pid, signal.SIGCONT)
        assert client.read_response("GET").status == 200
    time.sleep(1)
    assert "WORKER TIMEOUT" not in one.log
    assert one.get() == str(worker)


def test_an_idle_worker_is_not_silent(master):
    one = master("--timeout", "1")
    (worker,) = one.wait_workers(1)
    assert one.get() == str(worker)
    time.sleep(2.5)
    assert one.get() == str(worker)
    assert "WORKER TIMEOUT" not in one.log


def test_a_worker_that_was_idle_for_long_is_watched_again(master):
    one = master("--timeout", "1")
    (worker,) = one.wait_workers(1)
    for _ in range(2):
        one.get()
        time.sleep(2.3)
    watch = Stopwatch()
    with ask(one, "/sleep/30"):
        one.wait_for_log(rf"WORKER TIMEOUT \(pid:{worker}\)")
        assert 0.8 < watch.seconds < 2


def test_timeout_0_is_none(master):
    one = master("--timeout", "0")
    one.get("/sleep/2")
    assert "WORKER TIMEOUT" not in one.log


def test_a_worker_that_hangs_while_it_boots_is_noticed(master):
    one = master(
        "--timeout",
        "1",
        config="def post_worker_init(worker):\n    import time\n    time.sleep(60)\n",
    )
    (worker,) = one.wait_forked(1)
    one.wait_for_log(rf"Worker \(pid:{worker}\) has been booting for 1\.\d s", timeout=5)


@pytest.mark.slow
def test_a_worker_that_never_boots_is_killed(master):
    one = master(
        "--timeout",
        "1",
        config="def post_worker_init(worker):\n    import time\n    time.sleep(60)\n",
    )
    (worker,) = one.wait_forked(1)
    one.wait_for_log(rf"WORKER TIMEOUT \(pid:{worker}\)", timeout=15)
    one.wait_for_log(r"in post_worker_init")
    one.wait_gone([worker])


def test_a_retired_worker_has_graceful_timeout(master):
    """TTOU: who does not stop in time is killed."""
    one = master("--graceful-timeout", "1", workers=2)
    workers = one.wait_workers(2)
    clients = [ask(one, "/sleep/30") for _ in range(2)]
    time.sleep(0.3)
    one.kill(signal.SIGTTOU)
    one.wait_for_log(
        rf"Worker \(pid:{workers[0]}\) was told to stop and did not within graceful_timeout"
    )
    one.wait_for_log(r"File .*plain\.py\", line \d+ in app")
    one.wait_workers(1)
    for client in clients:
        client.close()


def test_a_machine_that_slept_kills_nobody_who_boots(master):
    one = master(
        "--timeout",
        "0",
        "--boot-timeout",
        "2",
        config="def post_worker_init(worker):\n    import time\n    time.sleep(1)\n",
    )
    (worker,) = one.wait_forked(1)
    for pid in (one.pid, worker):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4)
    os.kill(one.pid, signal.SIGCONT)
    time.sleep(0.5)
    os.kill(worker, signal.SIGCONT)
    assert one.get() == str(worker)
    assert "WORKER TIMEOUT" not in one.log
