"""Starting, replacing and stopping workers; exit codes."""

from __future__ import annotations

import os
import re
import signal
import socket
import time

import pytest
from helpers.server import Stopwatch
from helpers.wire import wait_until


def test_start_says_what_gunicorn_says(master):
    one = master()
    one.get()
    assert one.stop() == 0
    lines = [re.sub(r"^\[[^]]*\] ", "", line) for line in one.log.splitlines()]
    pid = one.pid
    assert re.fullmatch(rf"\[{pid}\] \[INFO\] Starting gunicorn 27\.\d+\.\d+", lines[0])
    assert re.fullmatch(
        rf"\[{pid}\] \[INFO\] Listening at: http://127.0.0.1:\d+ \({pid}\)", lines[1]
    )
    assert lines[2] == f"[{pid}] [INFO] Using worker: process.plain.PlainWorker"
    worker = re.fullmatch(r"\[(\d+)\] \[INFO\] Booting worker with pid: \1", lines[3])[1]
    assert lines[4:] == [
        f"[{pid}] [INFO] Handling signal: term",
        f"[{worker}] [INFO] Worker exiting (pid: {worker})",
        f"[{pid}] [INFO] Shutting down: Master",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop_ends_with_status_0_and_without_children(master, number):
    one = master(workers=2)
    workers = one.wait_workers(2)
    watch = Stopwatch()
    assert one.stop(number) == 0
    assert watch.seconds < 3
    one.wait_gone(workers)


def test_a_dead_worker_is_replaced_at_once(master):
    one = master(workers=2)
    victim = one.wait_workers(2)[0]
    one.get()
    time.sleep(1.1)  # it has lived
    watch = Stopwatch()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in one.worker_pids() and len(one.worker_pids()) == 2, "replaced")
    assert watch.seconds < 1
    one.wait_for_log(
        rf"\[ERROR\] Worker \(pid:{victim}\) was sent SIGKILL! Perhaps out of memory\?"
    )


def test_workers_that_die_at_once_are_not_forked_in_a_hot_loop(master):
    one = master(
        config="def post_worker_init(worker):\n    import os\n    os._exit(7)\n", launch=True
    )
    one.wait_for_log(r"Workers die as soon as they start\. The next try is in [\d.]+ s\.")
    time.sleep(2.5)
    forks = one.log.count("Booting worker with pid")
    assert 4 <= forks <= 10
    assert "exited with code 7." in one.log
    assert one.stop() == 0


@pytest.mark.parametrize(
    ("app", "args", "code", "reason"),
    [
        ("no_such_module:app", [], 3, "Reason: Worker failed to boot."),
        ("broken:app", [], 3, "Reason: Worker failed to boot."),
        ("process.plain:nothing", [], 4, "Reason: App failed to load."),
        ("process.plain:not_callable", [], 4, "Reason: App failed to load."),
        ("broken:app", ["--preload"], 1, "ZeroDivisionError"),
    ],
)
def test_an_application_that_cannot_be_loaded(master, tmp_path, app, args, code, reason):
    (tmp_path / "broken.py").write_text("1 / 0\n")
    one = master(*args, app=app, workers=2, launch=True)
    assert one.wait() == code
    assert reason in one.log


def test_an_address_in_use_is_tried_five_times(master):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        watch = Stopwatch()
        one = master(bind=[f"127.0.0.1:{port}"], launch=True)
        assert one.wait() == 1
    assert 3 < watch.seconds < 8
    assert one.log.count(f"Connection in use: ('127.0.0.1', {port})") == 5
    assert f"Can't connect to ('127.0.0.1', {port})" in one.log


def test_a_worker_that_fails_later_does_not_take_the_others_down(master, tmp_path):
    module = tmp_path / "later.py"
    module.write_text("from process.plain import app\n")
    one = master(app="later:app", workers=2)
    first, second = one.wait_workers(2)
    time.sleep(1)  # both have booted
    module.write_text("1 / 0\n")
    os.kill(first, signal.SIGKILL)
    one.wait_for_log(r"exited with code 3\.")
    time.sleep(0.5)
    assert one.get() == str(second)
    module.write_text("from process.plain import app\n")
    one.wait_workers(2, timeout=15)
    assert one.stop() == 0


def test_a_worker_notices_that_the_master_is_gone(master):
    one = master(workers=2)
    workers = one.wait_workers(2)
    one.kill(signal.SIGKILL)
    one.wait()
    one.wait_gone(workers, timeout=3)
    assert "The master is gone" in one.log


def test_a_second_int_while_stopping_is_quick(master):
    one = master("--graceful-timeout", "30")
    one.wait_workers(1)
    with one.connect() as client:
        client.send(b"GET /sleep/20 HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.3)
        watch = Stopwatch()
        one.kill(signal.SIGTERM)
        time.sleep(0.3)
        one.kill(signal.SIGINT)
        assert one.wait() == 0
    assert watch.seconds < 4
    assert "Quick shutdown requested" in one.log


def test_graceful_timeout_ends_in_kill(master):
    one = master("--graceful-timeout", "1")
    with one.connect() as client:
        client.send(b"GET /sleep/20 HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.3)
        watch = Stopwatch()
        assert one.stop() == 0
    assert 0.9 < watch.seconds < 3


def test_connections_that_wait_are_served_before_the_end(master):
    """One worker is busy; what waits in the accept queue when TERM comes is answered."""
    one = master()
    clients = [one.connect() for _ in range(10)]
    for number, client in enumerate(clients):
        path = b"/sleep/0.5" if number == 0 else b"/"
        client.send(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path)
    time.sleep(0.2)
    one.kill(signal.SIGTERM)
    for client in clients:
        assert client.read_response("GET").status == 200
        client.close()
    assert one.wait() == 0


def test_strangers_are_reaped(master):
    """Children that are no workers, as process 1 of a container gets them, cost nothing."""
    one = master(
        "--log-level",
        "debug",
        config="def when_ready(server):\n"
        "    import subprocess\n"
        "    global child\n"
        "    child = subprocess.Popen(['sleep', '0.2'])\n",
    )
    one.wait_for_log(r"Reaped unknown child process")
    assert len(one.worker_pids()) == 1
    assert one.stop() == 0
