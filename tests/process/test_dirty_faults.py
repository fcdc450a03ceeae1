"""Dirty workers that grow, dirty arbiters that hang or are signalled, mistakes at the start."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.server import THREAD_SANITIZED
from helpers.status_port import Port
from helpers.wire import wait_until
from process.dirty_app import JOBS
from process.dirty_masters import PATIENCE, arbiters, children, client_of, options

from gunicorn._dirty import Board
from gunicorn.ctl import ControlClient
from gunicorn.dirty import (
    DirtyClient,
    DirtyConnectionError,
    DirtyTimeoutError,
    DirtyWorkerError,
    protocol,
)

LARGE = b"x" * 2**20  # more than the buffers of a socket take

# ---- the start ----

MISTAKES = {
    "no_module_here:Model": (3, "no_module_here:Model: No module named 'no_module_here': neither"),
    "process.dirty_app:Nobody": (4, "'process.dirty_app' has no attribute 'Nobody'"),
    "process.dirty_app:wsgi": (4, "process.dirty_app:wsgi is not a class"),
    "process.dirty_app:NoApp": (4, "process.dirty_app:NoApp has no method init()"),
}


@pytest.mark.parametrize("app", MISTAKES)
def test_a_wrong_name_is_one_line_and_ends_the_start(master, app):
    status, said = MISTAKES[app]
    one = master(*options(apps=(app,)), launch=True)
    assert one.wait() == status
    assert f"[ERROR] dirty_apps: {said}" in one.log or said in one.log
    assert "Traceback" not in one.log
    assert "Reason: Dirty worker failed to boot." in one.log


def test_an_application_that_fails_first_ends_the_start(master, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("")
    app = "process.dirty_app:Broken"
    one = master(*options(apps=(app,)), env={"BROKEN_FILE": str(broken)}, launch=True)
    assert one.wait() == 3
    assert "RuntimeError: it is broken" in one.log


def test_a_missing_import_of_a_module_is_not_a_missing_module(master, tmp_path):
    (tmp_path / "jobs.py").write_text("import no_such_dependency\nclass Model: pass\n")
    one = master(*options(apps=("jobs:Model",)), launch=True)
    assert one.wait() == 3
    assert "ModuleNotFoundError: No module named 'no_such_dependency'" in one.log


def test_a_worker_whose_arbiter_dies_while_it_imports_ends_quietly(dirty, tmp_path, gate):
    (tmp_path / "jobs.py").write_text(
        "import os\nfrom helpers.gate import pass_gate\nfrom process.dirty_app import Jobs\n"
        f"if os.path.exists('slow'):\n    pass_gate({gate.path!r})\n"
    )
    (tmp_path / "slow").touch()
    one, _ = dirty(apps=("jobs:Jobs",), workers=1)
    gate.wait()
    (arbiter,) = arbiters(one)
    (worker,) = children(arbiter)
    (tmp_path / "slow").unlink()
    os.kill(arbiter, signal.SIGKILL)
    one.wait_gone([arbiter])
    gate.open()
    one.wait_gone([worker])
    assert "Traceback" not in one.log
    assert one.stop() == 0


def test_a_worker_that_is_removed_while_it_imports_breaks_no_rule(master, tmp_path, gate):
    (tmp_path / "jobs.py").write_text(
        "import os, signal\nfrom helpers.gate import pass_gate\n"
        "from process.dirty_app import Jobs\n"
        "if os.path.exists('slow'):\n"
        f"    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    pass_gate({gate.path!r})\n"
    )
    one = master(*options(("process.dirty_app:Other:1", "jobs:Jobs"), workers=1), control=True)
    client_of(one).execute("jobs:Jobs", "pid")
    (tmp_path / "slow").touch()
    with ControlClient(one.wait_for_log(r"Control socket: (\S+)")[1]) as control:
        control.send_command("dirty add")
        gate.wait()
        control.send_command("dirty remove")
        gate.open()
        wait_until(
            lambda: len(control.send_command("show dirty")["workers"]) == 1, "the second has ended"
        )
    assert "is killed:" not in one.log
    assert one.stop() == 0


# ---- memory ----


def test_a_worker_that_grows_is_replaced_when_its_call_is_done(dirty):
    one, client = dirty(workers=1, dirty_max_rss="120M")
    pid = client.execute(JOBS, "hoard", 200 * 2**20, 1.5)
    one.wait_for_log(rf"\(pid:{pid}\) occupies \d+\.\dM, more than dirty_max_rss \(120\.0M\)")
    assert client.execute(JOBS, "pid") != pid
    one.wait_gone([pid])
    assert one.stop() == 0


def test_a_worker_beyond_the_hard_limit_is_ended_and_its_caller_is_told(dirty):
    one, client = dirty(workers=1, dirty_max_rss_hard="120M")
    with pytest.raises(
        DirtyWorkerError, match=r"more than dirty_max_rss_hard \(120\.0M\)"
    ) as caught:
        client.execute(JOBS, "hoard", 200 * 2**20, 60)
    one.wait_for_log(rf"\[ERROR\] Dirty worker \(pid:{caught.value.worker_id}\) occupies")
    assert client.execute(JOBS, "pid") != caught.value.worker_id
    assert one.stop() == 0


# ---- an arbiter that hangs, and signals ----


def test_an_arbiter_that_hangs_is_replaced_and_its_calls_fail(dirty, gate):
    one, client = dirty("--timeout=2", workers=1)
    client.execute(JOBS, "echo", 1)
    (arbiter,) = arbiters(one)
    workers = children(arbiter)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.execute, JOBS, "wait", gate.path)
        gate.wait()
        os.kill(arbiter, signal.SIGSTOP)
        assert client.execute(JOBS, "size", LARGE) == len(LARGE), "by the next arbiter"
        with pytest.raises(DirtyConnectionError):
            call.result()
    one.wait_for_log(rf"DIRTY ARBITER TIMEOUT \(pid:{arbiter}\)")
    one.wait_gone([arbiter, *workers])
    assert one.stop() == 0


def test_an_arbiter_that_is_idle_gives_signs_of_life(dirty):
    one, client = dirty("--timeout=2", workers=1)
    client.execute(JOBS, "echo", 1)
    before = arbiters(one)
    time.sleep(2.5)  # it was asked, and looked at
    assert arbiters(one) == before, one.log


def test_the_end_is_quick_with_an_arbiter_that_hangs(dirty):
    one, client = dirty(workers=1)
    client.execute(JOBS, "echo", 1)
    (arbiter,) = arbiters(one)
    workers = children(arbiter)
    os.kill(arbiter, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.execute, JOBS, "echo", 1)
        before = time.monotonic()
        assert one.stop() == 0
        assert time.monotonic() - before < 15, "not graceful_timeout"
        with pytest.raises(DirtyConnectionError):
            call.result()
    one.wait_gone([arbiter, *workers])


def test_sigterm_for_all_processes_lets_the_last_requests_call(master, gate):
    settings = options(workers=1, dirty_threads=2)
    one = master("--threads=2", *settings, app="process.dirty_app:wsgi", plain=False)
    client = client_of(one)
    worker = client.execute(JOBS, "pid")
    request = one.ask(f'/?action=wait&args=["{gate.path}"]')
    gate.wait()
    for pid in (worker, *arbiters(one), one.pid):
        os.kill(pid, signal.SIGTERM)
    one.wait_for_log("Handling signal: term")
    time.sleep(0.5)  # the worker would leave after LEAVE_PAUSE
    assert client.execute(JOBS, "pid") == worker
    gate.open()
    assert request.read_response().body.decode() == str(worker)
    assert one.wait() == 0
    assert "ERROR" not in one.log
    assert "killed by signal" not in one.log


@pytest.mark.parametrize("first", ["arbiter", "group"])
def test_further_sigterms_cost_a_worker_no_call(dirty, gate, first):
    """The arbiter may have it stop before, as it has fewer workers, or a signal for the group."""
    one, client = dirty(workers=2)
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(client_of(one).execute, JOBS, "wait", gate.path) for _ in range(2)]
        gate.wait(2)
        workers = children(*arbiters(one))
        if first == "arbiter":
            os.kill(*arbiters(one), signal.SIGTTOU)
        for _ in range(20):
            for worker in workers:
                os.kill(worker, signal.SIGTERM)
            assert client.execute(JOBS, "pid") not in workers
        gate.open()
        assert {call.result() for call in calls} == set(workers)
    one.wait_gone(workers)
    assert "ERROR" not in one.log
    assert one.stop() == 0


def test_sigterm_does_not_cut_the_end_of_an_application_short(dirty, tmp_path, gate):
    (tmp_path / "jobs.py").write_text(
        "import os, pathlib\nfrom helpers.gate import pass_gate\n"
        "from process.dirty_app import Jobs\nclass Slow(Jobs):\n"
        "    def close(self):\n        if not os.path.exists('quick'):\n"
        f"            pass_gate({gate.path!r})\n"
        "            pathlib.Path('closed').write_text(str(os.getpid()))\n"
    )
    one, client = dirty(apps=("jobs:Slow",), workers=1)
    worker = client.execute("jobs:Slow", "pid")
    os.kill(worker, signal.SIGTERM)
    gate.wait()
    for _ in range(5):
        os.kill(worker, signal.SIGTERM)
        assert client.execute("jobs:Slow", "pid") != worker
    gate.open()
    one.wait_gone([worker])
    assert (tmp_path / "closed").read_text() == str(worker)
    (tmp_path / "quick").touch()
    assert one.stop() == 0


@pytest.mark.skipif(THREAD_SANITIZED, reason="it holds signals back while a thread sleeps")
def test_sigterm_ends_a_process_that_an_action_forked_and_not_its_worker(dirty):
    one, client = dirty(workers=1)
    worker = client.execute(JOBS, "pid")
    assert client.execute(JOBS, "terminate_a_child") == -signal.SIGTERM
    assert [client.execute(JOBS, "pid") for _ in range(10)] == [worker] * 10
    assert one.stop() == 0
    assert "ERROR" not in one.log


def test_calls_that_wait_at_a_reload_leave_nothing_in_the_arbiter_before(dirty, gate):
    """It looks for callers that have left, while it finishes its last call."""
    one, client = dirty(workers=1, config="import gunicorn.dirty.arbiter as a\na.SWEEP = 0.01\n")
    before = client.execute(JOBS, "pid")
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(client_of(one).execute, JOBS, "wait", gate.path)
        gate.wait()
        waiting = threads.submit(client_of(one).execute, JOBS, "pid")
        metrics = Port.private(one.pid)
        wait_until(lambda: "dirty_calls_waiting 1" in metrics.text("/metrics"), "it waits")
        one.kill(signal.SIGHUP)
        assert waiting.result() != before
        for number in range(50):
            assert client_of(one).execute(JOBS, "echo", number) == number
        gate.open()
        assert running.result() == before
    assert "Exception" not in one.log
    assert one.stop() == 0


def test_sigterm_for_the_arbiter_alone_costs_no_call(dirty):
    one, client = dirty(workers=2)
    client.execute(JOBS, "echo", 1)
    (old,) = arbiters(one)
    over, failures = threading.Event(), []

    def call():
        while not over.is_set():
            try:
                DirtyClient(client.socket_path, PATIENCE).execute(JOBS, "echo", 1)
            except Exception as exc:
                failures.append(exc)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    os.kill(old, signal.SIGTERM)
    one.wait_gone([old])
    over.set()
    for caller in callers:
        caller.join()
    assert failures == []
    wait_until(lambda: old not in arbiters(one), "it is collected")
    assert len(arbiters(one)) == 1
    assert one.stop() == 0


def test_operators_change_the_number_of_workers_before_the_arbiter_has_begun(master, gate):
    config = gate.hook("on_dirty_starting(arbiter)")
    one = master(*options(workers=1), config=config, control=True)
    with ControlClient(one.wait_for_log(r"Control socket: (\S+)")[1]) as control:
        gate.wait()
        assert control.send_command("dirty add 2")["target_workers"] == 3
        assert control.send_command("dirty remove")["target_workers"] == 2
        gate.open()
        shown = wait_until(lambda: two_ready(control.send_command("show dirty")), "two are ready")
        assert shown["target"] == 2
    assert one.stop() == 0


def two_ready(shown):
    return shown if [one["phase"] for one in shown["workers"]] == ["ready"] * 2 else None


def test_a_board_shows_the_last_description_also_of_many_workers():
    board = Board()
    assert board.description() == {}
    for count in (1, 4000, 2):
        described = {"workers": [{"pid": number, "apps": ["a:B"] * 10} for number in range(count)]}
        board.describe(described)
        assert board.description() == described
    board.describe({"workers": "x" * 2**20})
    assert board.description() == {}, "it is too long"
    board.clear()
    board.close()


# ---- the directory of the socket ----


def test_the_directory_goes_with_a_master_that_is_killed(dirty):
    one, client = dirty(workers=1)
    client.execute(JOBS, "echo", 1)
    os.kill(one.pid, signal.SIGKILL)
    directory = os.path.dirname(client.socket_path)
    wait_until(lambda: not os.path.exists(directory), f"{directory} is gone")


def test_the_next_start_removes_the_directory_of_a_dead_master(dirty):
    one, client = dirty(workers=1)
    client.execute(JOBS, "echo", 1)
    _, live = dirty(workers=1)
    (arbiter,) = arbiters(one)
    workers = children(arbiter)
    os.kill(arbiter, signal.SIGSTOP)
    for pid in (one.pid, arbiter):
        os.kill(pid, signal.SIGKILL)
    one.wait_gone([one.pid, arbiter, *workers])
    directory = os.path.dirname(client.socket_path)
    assert os.path.exists(directory)
    _, third = dirty(workers=1)
    assert not os.path.exists(directory)
    assert live.execute(JOBS, "echo", 2) == 2
    assert third.execute(JOBS, "echo", 3) == 3


# ---- the client ----


def test_an_answer_of_single_bytes_does_not_extend_the_limit_of_a_call(tmp_path):
    path = str(tmp_path / "arbiter")
    header = protocol.header_of(protocol.MSG_TYPE_RESPONSE, 1, 10**6)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()

        def answer():
            conn, _ = listener.accept()
            with conn:
                try:
                    conn.sendall(header)
                    while True:
                        conn.sendall(b"x")
                        time.sleep(0.05)
                except OSError:
                    pass  # the client has left

        thread = threading.Thread(target=answer)
        thread.start()
        before = time.monotonic()
        with pytest.raises(DirtyTimeoutError):
            DirtyClient(path, 0.3).execute(JOBS, "echo", 1)
        assert time.monotonic() - before < 10
        thread.join()
