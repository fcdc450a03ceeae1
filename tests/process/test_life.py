"""Starting, replacing and stopping workers; exit codes."""

from __future__ import annotations

import os
import re
import signal
import socket

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
    assert one.stop(number) == 0
    one.wait_gone(workers)


def test_a_dead_worker_is_replaced_at_once(master):
    one = master(workers=2)
    victim = one.wait_workers(2)[0]
    one.get()
    os.kill(victim, signal.SIGKILL)
    one.wait_gone([victim])
    one.wait_workers(2)
    one.wait_for_log(
        rf"\[ERROR\] Worker \(pid:{victim}\) was sent SIGKILL! Perhaps out of memory\?"
    )
    assert "The next try is in" not in one.log, "no pause"


def test_workers_that_die_at_once_are_not_forked_in_a_hot_loop(master):
    one = master(
        config="def post_fork(server, worker):\n    import os\n    os._exit(7)\n", launch=True
    )
    told = r"Workers die as soon as they start\. The next try is in ([\d.]+) s\."
    log = wait_until(lambda: len(re.findall(told, log := one.log)) == 4 and log, "four pauses")
    assert re.findall(told, log) == ["0.25", "0.50", "1.00", "2.00"]
    assert log.count("Booting worker with pid") == 3 + 4, "three without a pause"
    assert "exited with code 7." in log
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
    assert watch.seconds > 3
    assert one.log.count(f"Connection in use: ('127.0.0.1', {port})") == 5
    assert f"Can't connect to ('127.0.0.1', {port})" in one.log


def test_a_worker_that_fails_later_does_not_take_the_others_down(master, tmp_path):
    module = tmp_path / "later.py"
    module.write_text("from process.plain import app\n")
    one = master(app="later:app", workers=2)
    first, second = one.wait_workers(2)
    module.write_text("1 / 0\n")
    os.kill(first, signal.SIGKILL)
    one.wait_for_log(r"exited with code 3\.")
    one.wait_for_log("failed to boot; 1 serve meanwhile")
    assert one.get() == str(second)
    module.write_text("from process.plain import app\n")
    one.wait_workers(2)
    assert one.stop() == 0


EXITING = """
import os, threading

def app(environ, start_response):
    code = environ["QUERY_STRING"]
    if environ["PATH_INFO"] == "/exit":
        os._exit(int(code))
    if environ["PATH_INFO"] == "/later":
        threading.Timer(0, os._exit, [int(code)]).start()
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_a_worker_that_ends_by_itself_is_logged(master, tmp_path, kind):
    (tmp_path / "exiting.py").write_text(EXITING)
    one = master("-k", kind, app="exiting:app", plain=False, workers=1)
    said = (
        r"Worker \(pid:{}\) ended by itself with status {}\. It was running GET /exit\. A call of"
    )
    for code in (0, 9):
        (pid,) = one.wait_workers(1)
        with one.ask(f"/exit?{code}") as client:
            client.expect_closed()
        one.wait_for_log(said.format(pid, code))
    assert f"[ERROR] Worker (pid:{pid}) exited with code 9.\n" in one.log
    (pid,) = one.wait_workers(1)
    with one.ask("/later?0"):
        one.wait_for_log(rf"Worker \(pid:{pid}\) ended by itself with status 0\.")
    one.wait_workers(1)
    assert one.stop() == 0


def test_a_worker_that_ends_while_it_boots_is_logged(master, tmp_path):
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(0)\n")
    one = master(app="leaving:app", launch=True)
    one.wait_for_log(r"ended by itself with status 0 while it booted\.")
    assert one.stop() == 0


def test_a_server_that_has_served_waits_for_code_that_boots(master, tmp_path):
    module = tmp_path / "later.py"
    module.write_text("from process.plain import app\n")
    one = master(app="later:app", workers=1)
    (only,) = one.wait_workers(1)
    module.write_text("1 / 0\n")
    os.kill(only, signal.SIGKILL)
    one.wait_for_log("failed to boot; NONE serves meanwhile")
    module.write_text("from process.plain import app\n")
    one.wait_workers(1)
    one.get()
    assert one.stop() == 0


def test_a_worker_notices_that_the_master_is_gone(master):
    one = master(workers=2)
    workers = one.wait_workers(2)
    one.kill(signal.SIGKILL)
    one.wait()
    one.wait_gone(workers)
    assert "The master is gone" in one.log


def test_a_second_int_while_stopping_is_quick(master, gate):
    one = master("--graceful-timeout", "30")
    with one.ask(f"/gate{gate.path}"):
        gate.wait()
        one.kill(signal.SIGTERM)
        one.wait_for_log("Handling signal: term")
        one.kill(signal.SIGINT)
        assert one.wait() == 0
    assert "Quick shutdown requested" in one.log


def test_graceful_timeout_ends_in_kill(master, gate):
    one = master("--graceful-timeout", "1")
    (worker,) = one.wait_workers(1)
    with one.ask(f"/gate{gate.path}"):
        gate.wait()
        watch = Stopwatch()
        assert one.stop() == 0
    assert watch.seconds > 0.9
    assert f"Worker (pid:{worker}) was sent SIGKILL!" in one.log


def test_connections_that_wait_are_served_before_the_end(master, gate):
    """One worker is busy; what waits in the accept queue when TERM comes is answered."""
    one = master()
    clients = [one.ask(f"/gate{gate.path}")]
    gate.wait()
    clients += [one.ask("/") for _ in range(9)]
    one.kill(signal.SIGTERM)
    one.wait_for_log("Handling signal: term")
    gate.open()
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
