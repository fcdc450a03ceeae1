"""Silent workers: found, explained, killed; and those that are not silent left alone."""

from __future__ import annotations

import os
import signal
import time

import pytest
from helpers.server import Stopwatch, assert_soon
from helpers.status_port import Port


def test_a_request_that_takes_too_long(master):
    one = master(
        "--timeout", "1", config="def worker_abort(worker):\n    worker.log.info('aborted')\n"
    )

    def attempt() -> float:
        (worker,) = one.wait_workers(1)
        one.get()
        before = len(one.log)
        watch = Stopwatch()
        with one.ask("/sleep/30"):
            one.wait_for_log(rf"\[CRITICAL\] WORKER TIMEOUT \(pid:{worker}\)")
            took = watch.seconds
            assert took > 0.8
            one.wait_for_log(r"File .*plain\.py\", line \d+ in app", start=before)
            one.wait_for_log(r"\[INFO\] aborted", start=before)
            one.wait_for_log(rf"Worker \(pid:{worker}\) exited with code 1\.")
        one.wait_gone([worker])
        assert one.get() != str(worker)
        return took

    assert_soon(2, attempt)
    assert one.stop() == 0


def test_a_worker_stuck_in_c_code_is_explained_and_killed(master):
    one = master("--timeout", "1")
    (worker,) = one.wait_workers(1)
    with one.ask("/stuck"):
        one.wait_for_log(rf"WORKER TIMEOUT \(pid:{worker}\)")
        one.wait_for_log(r"File .*plain\.py\", line \d+ in app")
        one.wait_for_log(rf"Worker \(pid:{worker}\) was sent SIGKILL! It did not end by itself")
    one.wait_gone([worker])
    one.get()
    assert one.stop() == 0


def test_a_machine_that_slept_kills_nobody(master, gate):
    one = master("--timeout", "2")
    (worker,) = one.wait_workers(1)
    with one.ask(f"/gate{gate.path}") as client:
        gate.wait()
        for pid in (one.pid, worker):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3.5)  # for longer than timeout
        for pid in (worker, one.pid):
            os.kill(pid, signal.SIGCONT)
        Port.private(one.pid).workers()  # it has looked
        gate.open()
        assert client.read_response("GET").status == 200
    time.sleep(2)  # as long again as timeout
    assert "WORKER TIMEOUT" not in one.log
    assert one.get() == str(worker)


def test_an_idle_worker_is_not_silent(master):
    one = master("--timeout", "1")
    (worker,) = one.wait_workers(1)
    assert one.get() == str(worker)
    time.sleep(2.5)  # for longer than timeout
    assert one.get() == str(worker)
    assert "WORKER TIMEOUT" not in one.log


def test_a_worker_that_was_idle_for_long_is_watched_again(master):
    one = master("--timeout", "1")

    def attempt() -> float:
        (worker,) = one.wait_workers(1)
        for _ in range(2):
            one.get()
            time.sleep(2.3)  # for longer than the master watches it after a request
        watch = Stopwatch()
        with one.ask("/sleep/30"):
            one.wait_for_log(rf"WORKER TIMEOUT \(pid:{worker}\)")
            took = watch.seconds
        one.wait_gone([worker])
        assert took > 0.8
        return took

    assert_soon(2, attempt)


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
    told = one.wait_for_log(rf"Worker \(pid:{worker}\) has been booting for ([\d.]+) s")
    assert float(told[1]) >= 1


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


def test_a_retired_worker_has_graceful_timeout(master, gate):
    """TTOU: who does not stop in time is killed."""
    one = master("--graceful-timeout", "1", workers=2)
    workers = one.wait_workers(2)
    clients = [one.ask(f"/gate{gate.path}") for _ in range(2)]
    gate.wait(2)
    one.kill(signal.SIGTTOU)
    one.wait_for_log(
        rf"Worker \(pid:{workers[0]}\) was asked to stop and did not within graceful_timeout"
    )
    one.wait_for_log(r"File .*plain\.py\", line \d+ in app")
    one.wait_workers(1)
    for client in clients:
        client.close()


def test_a_machine_that_slept_kills_nobody_who_boots(master, gate):
    one = master(
        "--timeout",
        "0",
        "--boot-timeout",
        "2",
        config=gate.hook("post_worker_init(worker)"),
    )
    gate.wait()
    (worker,) = one.worker_pids()
    for pid in (one.pid, worker):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4)  # for longer than boot_timeout
    os.kill(one.pid, signal.SIGCONT)
    Port.private(one.pid).workers()  # it has looked
    os.kill(worker, signal.SIGCONT)
    gate.open()
    assert one.get() == str(worker)
    assert "WORKER TIMEOUT" not in one.log
