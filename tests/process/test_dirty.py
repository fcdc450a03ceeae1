"""Dirty workers, with real masters: calls from this process, as a web worker makes them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers.server import server_has
from helpers.status_port import Port
from helpers.wire import wait_until
from process.conftest import Master, alive, end
from process.dirty_app import JOBS
from process.dirty_masters import PATIENCE, arbiters, children, client_of, options, socket_of

from gunicorn.ctl.client import ControlClient
from gunicorn.dirty import (
    DirtyAppError,
    DirtyAppNotFoundError,
    DirtyClient,
    DirtyConnectionError,
    DirtyError,
    DirtyNoWorkersAvailableError,
    DirtyProtocolError,
    DirtyTimeoutError,
    DirtyWorkerError,
    StashClient,
    StashError,
    StashTableNotFoundError,
    get_dirty_client,
    get_dirty_client_async,
    set_dirty_socket_path,
)

OTHER = "process.dirty_app:Other"
ONE = "process.dirty_app:One"
BROKEN = "process.dirty_app:Broken"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A master with three dirty workers, which no test harms for longer than it runs."""
    directory = tmp_path_factory.mktemp("shared")
    settings = options((JOBS, OTHER, ONE), workers=3, dirty_timeout=60)
    args = ["-k", "process.plain.PlainWorker", "--no-control-socket", *settings]
    one = Master([*args, "process.plain:app"], directory, expect_trouble=True)
    one.start()
    yield one
    end(one)


@pytest.fixture
def client(shared):
    return client_of(shared)


# ---- calls ----


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**63 - 1, -(2**63), 1.5, float("inf"), "", "äöü \0 🦄", b"",
        b"\0\xff", [], {}, [1, [2, [3, {"a": None}]]], {"k": [b"v", {"x": {}}]}, "x" * 100_000,
        list(range(10_000)),
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_a_value_comes_back_as_it_was(client, value):
    assert client.execute(JOBS, "echo", value) == value


def test_tuples_become_lists_and_keys_become_texts(client):
    assert client.execute(JOBS, "echo", (1, 2)) == [1, 2]
    assert client.execute(JOBS, "echo", {1: 2}) == {"1": 2}


@pytest.mark.parametrize("value", [2**63, {1, 2}, object(), "\ud800"])
def test_a_value_without_a_form_is_refused_before_it_is_sent(client, value):
    with pytest.raises(DirtyProtocolError):
        client.execute(JOBS, "echo", value)
    assert client.execute(JOBS, "echo", 1) == 1


def test_a_result_without_a_form_is_an_error_of_the_application(client):
    with pytest.raises(DirtyAppError, match="set"):
        client.execute(JOBS, "strange")


def test_keywords_reach_the_action_and_its_object_stays(client):
    sums = {client.execute(ONE, "add", 1, twice=True) for _ in range(3)}
    assert len(sums) == 3


def test_an_exception_comes_with_its_place(client, shared):
    with pytest.raises(DirtyAppError) as caught:
        client.execute(JOBS, "raise_error", "so it is")
    assert caught.value.message == "so it is"
    assert caught.value.app_path == JOBS
    assert caught.value.action == "raise_error"
    assert "in raise_error" in caught.value.traceback
    shared.wait_for_log("ValueError: so it is")


def test_an_action_that_exits_ends_its_call_alone(client):
    with pytest.raises(DirtyAppError):
        client.execute(JOBS, "raise_exit")
    assert client.execute(JOBS, "echo", 1) == 1


def test_unknown_names_are_errors(client):
    with pytest.raises(DirtyAppNotFoundError) as caught:
        client.execute("no.such:App", "echo", 1)
    assert caught.value.app_path == "no.such:App"
    for action in ("nothing", "__init__", "_private"):
        with pytest.raises(DirtyAppError, match="Unknown action"):
            client.execute(JOBS, action)


def test_a_payload_of_64_mib_passes_both_ways(client):
    size = 64 * 1024 * 1024 - 200
    assert client.execute(JOBS, "size", b"x" * size) == size
    assert len(client.execute(JOBS, "make", size)) == size


def test_a_payload_above_64_mib_is_refused_and_hurts_no_other_call(client):
    with pytest.raises(DirtyProtocolError, match="too large|allowed"):
        client.execute(JOBS, "size", b"x" * (64 * 1024 * 1024))
    with pytest.raises(DirtyAppError, match="too large|allowed"):
        client.execute(JOBS, "make", 64 * 1024 * 1024)
    assert client.execute(JOBS, "echo", 1) == 1


def test_the_arbiter_takes_no_more_memory_for_large_payloads(client, shared):
    """It copies them in blocks: its peak is far below one of them."""
    client.execute(JOBS, "size", b"x" * (60 * 2**20))
    (arbiter,) = arbiters(shared)
    status = Path(f"/proc/{arbiter}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    assert peak < 100, f"{peak} MiB"


# ---- streams ----


@pytest.mark.parametrize("action", ["count", "count_slowly"])
def test_a_generator_is_streamed(client, action):
    assert list(client.stream(JOBS, action, 5)) == [0, 1, 2, 3, 4]
    assert list(client.stream(JOBS, action, 0)) == []
    assert client.execute(JOBS, "echo", 1) == 1


def test_an_exception_in_a_stream_follows_its_items(client):
    items = []
    with pytest.raises(DirtyAppError, match="no more"):
        for item in client.stream(JOBS, "count_and_fail", 2):
            items.append(item)
    assert items == [0, 1]


def test_a_result_is_a_stream_of_one_item(client):
    assert list(client.stream(JOBS, "echo", 7)) == [7]


def test_a_stream_is_no_result(client):
    with pytest.raises(DirtyError, match=r"call stream\(\)"):
        client.execute(JOBS, "count", 3)
    assert client.execute(JOBS, "echo", 1) == 1


def test_a_stream_that_is_given_up_is_closed_and_its_worker_goes_on(client, shared, tmp_path):
    for number in range(4):  # more than there are workers
        path = tmp_path / f"closed-{number}"
        stream = client.stream(ONE, "for_ever", str(path))
        assert next(stream) == "x" * 1000
        stream.close()
        wait_until(path.exists, "the generator is closed")
    assert client.execute(ONE, "echo", 1) == 1


# ---- asyncio ----


def test_tasks_call_at_the_same_time(shared, gate):
    set_dirty_socket_path(socket_of(shared))

    async def calls():
        client = await get_dirty_client_async()
        waiting = [
            asyncio.create_task(client.execute_async(JOBS, "wait", gate.path)) for _ in range(3)
        ]
        await asyncio.get_running_loop().run_in_executor(None, gate.wait, 3)
        gate.open()
        return await asyncio.gather(*waiting)

    assert len(set(asyncio.run(calls()))) == 3
    set_dirty_socket_path(None)


def test_streams_and_errors_of_the_asynchronous_client(shared):
    async def calls():
        async with DirtyClient(socket_of(shared)) as client:
            items = [item async for item in client.stream_async(JOBS, "count", 3)]
            with pytest.raises(DirtyAppError, match="oh"):
                await client.execute_async(JOBS, "raise_error", "oh")
            client.timeout = 0.2
            with pytest.raises(DirtyTimeoutError):
                await client.execute_async(JOBS, "sleep", 2)
            return items

    assert asyncio.run(calls()) == [0, 1, 2]


# ---- the stash ----


@pytest.fixture
def tables(shared, request):
    """A client of the stash, and the name of a table of this test."""
    with StashClient(socket_of(shared)) as stash:
        yield stash, request.node.name
        stash.delete_table(request.node.name)


@pytest.mark.parametrize("key", ["a", 1, 1.5, b"b", True])
@pytest.mark.parametrize("value", [None, 0, "x", b"y", [1, {"a": None}], {"k": [True]}])
def test_the_stash_keeps_values(tables, key, value):
    stash, name = tables
    stash.put(name, key, value)
    assert stash.get(name, key, "nothing") == value
    assert stash.keys(name) == [key]
    assert stash.exists(name, key)
    assert stash.delete(name, key) is True
    assert stash.delete(name, key) is False
    assert stash.get(name, key, "nothing") == "nothing"
    assert stash.get(name, key) is None


def test_tables_of_the_stash(tables):
    stash, name = tables
    assert not stash.exists(name)
    assert stash.keys(name) == []
    with pytest.raises(StashTableNotFoundError) as caught:
        stash.info(name)
    assert caught.value.table_name == name
    stash.ensure(name)
    stash.ensure(name)
    assert stash.info(name) == {"table": name, "size": 0}
    assert name in stash.tables()
    for key in ("user:1", "user:2", "group:1"):
        stash.put(name, key, 1)
    assert stash.keys(name, pattern="user:*") == ["user:1", "user:2"]
    assert stash.info(name)["size"] == 3
    stash.clear(name)
    assert stash.info(name)["size"] == 0
    stash.delete_table(name)
    assert name not in stash.tables()


def test_a_table_is_like_a_dict(tables):
    stash, name = tables
    table = stash.table(name)
    assert len(table) == 0
    table["a"] = None
    table["b"] = 2
    assert "a" in table and "c" not in table
    assert (table["a"], table["b"], table.get("c", 3)) == (None, 2, 3)
    assert dict(table.items()) == {"a": None, "b": 2}
    assert list(table) == ["a", "b"] and list(table.values()) == [None, 2] and len(table) == 2
    del table["a"]
    for wrong in (lambda: table["a"], lambda: table.__delitem__("a")):
        with pytest.raises(KeyError):
            wrong()
    table.clear()
    assert len(table) == 0


def test_a_class_declares_its_tables(shared):
    with StashClient(socket_of(shared)) as stash:
        wait_until(lambda: "declared" in stash.tables(), "the class is loaded")


def test_applications_share_the_stash_with_web_workers(client, tables):
    stash, name = tables
    client.execute(JOBS, "stash", name, "key", [1])
    assert stash.get(name, "key") == [1]


@pytest.mark.parametrize("key", [[1], {"a": 1}, "x" * 100_000], ids=["list", "dict", "long"])
def test_keys_that_the_stash_does_not_take(tables, key):
    stash, name = tables
    with pytest.raises(StashError, match="[Kk]eys"):
        stash.put(name, key, 1)
    assert stash.tables() is not None


def test_the_stash_outlives_reloads(dirty, tmp_path):
    one, client = dirty()
    client.execute(JOBS, "echo", 1)
    with StashClient(client.socket_path) as stash:
        big = os.urandom(10**6)
        stash.put("kept", "big", big)
        stash.put("kept", 7, None)
        stash.ensure("empty")
        for number in range(3):
            old = arbiters(one)
            one.kill(signal.SIGHUP)
            one.wait_for_log(f"(arbiter listening.*){{{number + 2}}}", 30)
            stash.put("kept", "number", number)
            one.wait_gone(old)
            assert stash.get("kept", "number") == number
        assert stash.get("kept", "big") == big
        assert stash.get("kept", 7, "lost") is None
        assert sorted(stash.tables()) == ["empty", "kept"]
        arbiter = arbiters(one)[-1]
        os.kill(arbiter, signal.SIGKILL)
        one.wait_gone([arbiter])
        assert stash.tables() == []
    assert one.stop() == 0


# ---- the queue ----


def test_no_call_waits_behind_a_busy_worker(client, shared, gate):
    """Two of three workers are busy: all other calls run on the third."""
    with ThreadPoolExecutor(2) as threads:
        busy = [threads.submit(client.execute, JOBS, "wait", gate.path) for _ in range(2)]
        gate.wait(2)
        pids = {client.execute(JOBS, "pid") for _ in range(20)}
        assert len(pids) == 1
        gate.open()
        assert pids.isdisjoint(one.result() for one in busy)


def test_calls_wait_for_their_turn(client, gate):
    with ThreadPoolExecutor(8) as threads:
        busy = [threads.submit(client.execute, JOBS, "wait", gate.path) for _ in range(3)]
        gate.wait(3)
        waiting = [threads.submit(client.execute, JOBS, "echo", n) for n in range(5)]
        gate.open()
        assert [one.result() for one in waiting] == list(range(5))
        assert len({one.result() for one in busy}) == 3


def test_a_call_whose_caller_has_left_is_not_run(shared, gate):
    patient = client_of(shared)
    hasty = client_of(shared, timeout=0.3)
    with ThreadPoolExecutor(3) as threads:
        before = patient.execute(ONE, "add", 0)
        busy = threads.submit(patient.execute, ONE, "wait", gate.path)
        gate.wait()
        with pytest.raises(DirtyTimeoutError):
            hasty.execute(ONE, "add", 1000)
        gate.open()
        busy.result()
        assert patient.execute(ONE, "add", 0) == before


def test_an_application_is_loaded_by_as_many_workers_as_it_wants(shared, client):
    shared.wait_for_log(f"Initialized dirty app: {ONE}")
    with ThreadPoolExecutor(9) as threads:
        one = set(threads.map(lambda _: client.execute(ONE, "pid"), range(9)))
    assert len(one) == 1
    assert shared.log.count(f"Initialized dirty app: {ONE}") == len(
        [line for line in shared.log.splitlines() if "Spawned dirty worker" in line and ONE in line]
    )


def test_the_number_in_the_configuration_is_stronger(dirty):
    one, client = dirty(apps=(f"{ONE}:2", f"{OTHER}:1", JOBS), workers=3)
    client.execute(JOBS, "echo", 1)
    wait_until(lambda: one.log.count(f"Initialized dirty app: {JOBS}") == 3, "all have booted")
    assert one.log.count(f"Initialized dirty app: {ONE}") == 2
    assert one.log.count(f"Initialized dirty app: {OTHER}") == 1
    assert one.stop() == 0


def test_threads_run_calls_of_one_worker_at_the_same_time(dirty, gate):
    one, client = dirty(workers=1, dirty_threads=3)
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(client.execute, JOBS, "thread", gate.path) for _ in range(3)]
        gate.wait(3)
        gate.open()
        assert len({call.result() for call in calls}) == 3
    assert one.stop() == 0


# ---- deaths and time-outs ----


@pytest.mark.parametrize(
    "action,args,said",
    [("leave", (7,), "exited with status 7"), ("kill", (), "was killed by SIGKILL")],
)
def test_a_crash_is_reported_to_its_caller_at_once(client, shared, action, args, said):
    before = time.monotonic()
    with pytest.raises(DirtyWorkerError, match=said) as caught:
        client.execute(JOBS, action, *args)
    assert time.monotonic() - before < client.timeout / 2
    assert isinstance(caught.value.worker_id, int)
    assert client.execute(JOBS, "pid") != caught.value.worker_id


def test_a_worker_that_died_while_it_was_idle_costs_no_call(client):
    for _ in range(3):
        pid = client.execute(JOBS, "pid")
        os.kill(pid, signal.SIGKILL)
        assert client.execute(JOBS, "echo", 1) == 1


def test_a_stuck_call_is_ended_and_its_worker_replaced(dirty):
    one, client = dirty(workers=1, dirty_timeout=1)
    pid = client.execute(JOBS, "pid")
    with pytest.raises(DirtyTimeoutError) as caught:
        client.execute(JOBS, "sleep", 60)
    assert caught.value.timeout == 1
    assert client.execute(JOBS, "pid") != pid
    one.wait_gone([pid])
    one.wait_for_log(rf"DIRTY WORKER TIMEOUT \(pid:{pid}\)")
    one.wait_for_log("dirty_app.py.* in sleep")
    assert one.stop() == 0


def test_other_threads_of_a_worker_with_a_stuck_call_finish_theirs(dirty, gate):
    one, client = dirty(workers=1, dirty_threads=2, dirty_timeout=2)
    with ThreadPoolExecutor(2) as threads:
        stuck = threads.submit(client.execute, JOBS, "sleep", 60)
        items = client.stream(JOBS, "count", 10**9)
        next(items)
        pid = children(arbiters(one)[0])[0]
        with pytest.raises(DirtyTimeoutError):
            while True:
                next(items)
                if stuck.done():
                    stuck.result()
        assert next(items) > 0
        assert alive(pid)
        items.close()
    one.wait_gone([pid])
    assert client.execute(JOBS, "echo", 1) == 1
    assert one.stop() == 0


def test_a_worker_that_does_not_boot_is_tried_with_pauses_and_calls_fail_at_once(dirty, tmp_path):
    broken = tmp_path / "broken"
    one, client = dirty(apps=(BROKEN, JOBS), env={"BROKEN_FILE": str(broken)})
    pid = client.execute(JOBS, "pid")
    broken.write_text("")
    os.kill(pid, signal.SIGKILL)
    one.wait_for_log("The next try to start a dirty worker is in 1.00 s")
    before = time.monotonic()
    with pytest.raises(DirtyNoWorkersAvailableError) as caught:
        client.execute(JOBS, "echo", 1)
    assert caught.value.app_path == JOBS
    assert time.monotonic() - before < 15
    assert one.log.count("Dirty worker failed to boot") < 10
    assert one.get() == str(one.worker_pids()[0]), "web workers serve"
    broken.unlink()
    one.wait_for_log(f"Initialized dirty app: {BROKEN}.*Initialized dirty app: {BROKEN}")
    assert client.execute(JOBS, "echo", 1) == 1
    assert one.stop() == 0


def test_calls_wait_while_the_first_worker_boots(dirty, gate):
    one, client = dirty(config=gate.hook("dirty_worker_init(worker)"))
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.execute, JOBS, "echo", 5)
        gate.wait()
        assert not call.done()
        gate.open()
        assert call.result() == 5
    assert one.stop() == 0


def test_calls_find_the_arbiter_that_follows_a_dead_one(dirty, gate):
    one, client = dirty(workers=1)
    client.execute(JOBS, "echo", 1)
    (arbiter,) = arbiters(one)
    workers = children(arbiter)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.execute, JOBS, "wait", gate.path)
        gate.wait()
        os.kill(arbiter, signal.SIGKILL)
        with pytest.raises(DirtyConnectionError):
            call.result(15)
    assert client.execute(JOBS, "pid") not in workers
    one.wait_gone(workers)
    one.wait_for_log(rf"Dirty arbiter \(pid:{arbiter}\) killed by signal 9")
    assert one.stop() == 0


# ---- reload, upgrade, end ----


class Caller(threading.Thread):
    """Calls without a pause; `results` are what came back, and `failures`."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path
        self.results: list[str] = []
        self.failures: list[Exception] = []
        self.over = threading.Event()

    def run(self):
        client = DirtyClient(self.path, PATIENCE)
        while not self.over.is_set():
            try:
                self.results.append(client.execute(JOBS, "environ", "COLOUR"))
            except DirtyError as exc:
                self.failures.append(exc)


def test_a_reload_loads_new_code_and_loses_no_call(dirty):
    config = "raw_env = ['COLOUR=%s']\n"
    one, client = dirty(config=config % "red", workers=2)
    assert client.execute(JOBS, "environ", "COLOUR") == "red"
    callers = [Caller(client.socket_path) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        for colour in ("green", "blue", "white"):
            old = arbiters(one)
            one.config(config % colour)
            one.kill(signal.SIGHUP)
            wait_until(
                lambda colour=colour: all(
                    [colour] == caller.results[-1:] or caller.failures for caller in callers
                ),
                lambda: f"the new code answers\n{one.log}",
                30,
            )
            one.wait_gone(old)
    finally:
        for caller in callers:
            caller.over.set()
            caller.join()
    assert [failure for caller in callers for failure in caller.failures] == [], one.log
    wait_until(lambda: len(arbiters(one)) == 1, "one arbiter is left")
    assert one.stop() == 0


def test_calls_that_run_and_wait_during_a_reload_are_answered(dirty, gate):
    one, client = dirty(workers=1)
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(client.execute, JOBS, "wait", gate.path)
        gate.wait()
        waiting = threads.submit(client.execute, JOBS, "echo", 1)
        wait_until(lambda: figures_of(one)["calls_waiting"] == 1, "it waits")
        (old,) = arbiters(one)
        one.kill(signal.SIGHUP)
        assert waiting.result() == 1, "by the next arbiter: the worker is still busy"
        assert client.execute(JOBS, "echo", 1) == 1
        assert old in arbiters(one)
        gate.open()
        assert isinstance(running.result(), int)
    one.wait_gone([old])
    assert one.stop() == 0


def test_new_code_that_does_not_boot_leaves_the_old_in_service(dirty, tmp_path):
    broken = tmp_path / "broken"
    one, client = dirty(apps=(BROKEN,), env={"BROKEN_FILE": str(broken)})
    pid = client.execute(BROKEN, "pid")
    broken.write_text("")
    one.kill(signal.SIGHUP)
    one.wait_for_log("The dirty workers stay as they were", 30)
    assert client.execute(BROKEN, "pid") == pid
    broken.unlink()
    one.wait_gone([pid], 60)
    assert client.execute(BROKEN, "pid") != pid
    assert one.stop() == 0


def test_a_reload_may_begin_and_end_the_use_of_dirty_workers(master):
    with_dirty = f"dirty_apps = [{JOBS!r}]\ndirty_workers = 1\n"
    one = master(config="", workers=1)
    one.wait_workers(1)
    one.config(with_dirty)
    one.kill(signal.SIGHUP)
    client = client_of(one)
    assert client.execute(JOBS, "echo", 1) == 1
    old = arbiters(one)
    one.config("")
    one.kill(signal.SIGHUP)
    one.wait_gone(old)
    wait_until(lambda: not os.path.exists(client.socket_path), "the socket is gone")
    with pytest.raises(DirtyConnectionError):
        client.execute(JOBS, "echo", 1)
    assert one.stop() == 0


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGQUIT])
def test_the_end_is_quick_and_leaves_nothing(dirty, tmp_path, signo):
    closed = tmp_path / "closed"
    one, client = dirty(workers=2, env={"CLOSED_FILE": str(closed)})
    pids = {client.execute(JOBS, "pid") for _ in range(4)}
    wait_until(lambda: len(children(arbiters(one)[0])) == 2, "both are there")
    pids = children(arbiters(one)[0])
    wait_until(lambda: one.log.count("Initialized dirty app") == 2, "both have booted")
    before = time.monotonic()
    assert one.stop(signo) == 0
    assert time.monotonic() - before < 15, "not dirty_graceful_timeout"
    one.wait_gone(pids)
    assert sorted(map(int, closed.read_text().split())) == sorted(pids)
    assert not os.path.exists(os.path.dirname(client.socket_path))


def test_a_call_that_runs_is_finished_at_term(dirty, gate):
    one, client = dirty(workers=1)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.execute, JOBS, "wait", gate.path)
        gate.wait()
        one.kill(signal.SIGTERM)
        one.wait_for_log("Handling signal: term")
        assert not call.done()
        gate.open()
        assert isinstance(call.result(), int)
    assert one.wait() == 0


def test_term_ends_a_stuck_call_after_dirty_graceful_timeout(dirty):
    one, client = dirty(workers=1, dirty_graceful_timeout=1)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.execute, JOBS, "sleep", 100)
        wait_until(lambda: "Initialized dirty app" in one.log, "it has booted")
        assert one.stop() == 0
        with pytest.raises(DirtyError):
            call.result()


def test_nothing_is_left_of_a_master_that_was_killed(dirty, gate):
    one, client = dirty(workers=2)
    client.execute(JOBS, "echo", 1)
    (arbiter,) = arbiters(one)
    pids = [arbiter, *children(arbiter)]
    os.kill(one.pid, signal.SIGKILL)
    one.wait_gone(pids)


def test_an_upgrade_has_an_arbiter_of_its_own(dirty):
    one, client = dirty("--pid", "master.pid")
    assert client.execute(JOBS, "echo", 1) == 1
    one.kill(signal.SIGUSR2)
    one.wait_for_log(r"Spawned dirty arbiter .*Spawned dirty arbiter \(pid: \d+\) at (\S+)")
    paths = [
        line.rpartition(" ")[2] for line in one.log.splitlines() if "Spawned dirty arbiter" in line
    ]
    assert len(set(paths)) == 2
    for path in paths:
        assert DirtyClient(path).execute(JOBS, "echo", 2) == 2
    one.kill(signal.SIGTERM)
    assert one.wait() == 0
    assert DirtyClient(paths[1]).execute(JOBS, "echo", 3) == 3
    pidfile = one.cwd / "master.pid"
    wait_until(pidfile.exists, "the new master is promoted")
    os.kill(int(pidfile.read_text()), signal.SIGTERM)
    wait_until(lambda: not os.path.exists(paths[1]), "it has ended")


# ---- hooks, logs, rights ----

HOOKS = """
def on_dirty_starting(arbiter):
    arbiter.log.info("hook: starting %s", arbiter.pid)
def dirty_post_fork(arbiter, worker):
    arbiter.log.info("hook: post_fork %s %s %s", worker.pid, worker.age, worker.app_paths)
def dirty_worker_init(worker):
    worker.log.info("hook: init %s %s", worker.pid, sorted(worker.apps))
def dirty_worker_exit(arbiter, worker):
    arbiter.log.info("hook: exit %s %s", worker.pid, sorted(arbiter.workers))
"""


def test_hooks(dirty):
    one, client = dirty(config=HOOKS)
    pid = client.execute(JOBS, "pid")
    (arbiter,) = arbiters(one)
    assert one.stop() == 0
    log = one.log
    assert f"[{arbiter}] [INFO] hook: starting {arbiter}" in log
    assert f"[{arbiter}] [INFO] hook: post_fork {pid} 1 ['{JOBS}']" in log
    assert f"[{pid}] [INFO] hook: init {pid} ['{JOBS}']" in log
    assert f"[{arbiter}] [INFO] hook: exit {pid} []" in log


STOPS_MEANWHILE = """
import os, signal, time

def on_dirty_starting(arbiter):
    os.kill(os.getppid(), signal.SIGTERM)
    while not arbiter.board.figures[10]:  # the master has it stop
        time.sleep(0.01)
    time.sleep(0.2)
"""


def test_term_ends_an_arbiter_that_is_about_to_start(master):
    one = master(*options(), config=STOPS_MEANWHILE, launch=True)
    assert one.process.wait(PATIENCE) == 0
    assert "killed by signal 9" not in one.log


HOOKS_THAT_FAIL = """
def dirty_post_fork(arbiter, worker):
    raise RuntimeError("post_fork")

def dirty_worker_exit(arbiter, worker):
    raise RuntimeError("worker_exit")
"""


def test_hooks_that_fail_cost_no_worker(dirty):
    one, client = dirty(config=HOOKS_THAT_FAIL)
    before = client.execute(JOBS, "pid")
    os.kill(before, signal.SIGKILL)
    one.wait_for_log(rf"The hook dirty_worker_exit failed for dirty worker \(pid:{before}\)")
    assert client.execute(JOBS, "pid") != before
    assert "Dirty arbiter exiting" not in one.log


def test_nobody_else_may_call(shared):
    path = socket_of(shared)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700


def test_without_a_dirty_arbiter_the_client_says_so(monkeypatch):
    monkeypatch.delenv("GUNICORN_DIRTY_SOCKET", raising=False)
    with pytest.raises(DirtyError, match="dirty_workers and dirty_apps"):
        get_dirty_client()


# ---- figures and gunicornc ----


def figures_of(one) -> dict[str, float]:
    text = Port.private(one.pid).get("/metrics")[1]
    lines = [
        line.rpartition(" ") for line in text.splitlines() if line.startswith("gunicorn_dirty")
    ]
    return {name.removeprefix("gunicorn_dirty_"): float(value) for name, _, value in lines}


def test_figures(dirty, gate):
    one, client = dirty(workers=1, dirty_timeout=2)
    with ThreadPoolExecutor(2) as threads:
        assert client.execute(JOBS, "echo", 1) == 1
        busy = threads.submit(client.execute, JOBS, "wait", gate.path)
        gate.wait()
        waiting = threads.submit(client.execute, JOBS, "echo", 2)
        wait_until(lambda: figures_of(one)["calls_waiting"] == 1, "a call waits")
        assert figures_of(one)["calls_running"] == 1
        gate.open()
        busy.result()
        waiting.result()
    for action, args in (("raise_error", ("x",)), ("leave", (1,)), ("sleep", (60,))):
        with pytest.raises(DirtyError):
            client.execute(JOBS, action, *args)
    with pytest.raises(DirtyAppNotFoundError):
        client.execute("no:App", "echo")
    wait_until(lambda: figures_of(one)["worker_deaths_total"] == 1, "its death is counted")
    results = ("answered", "failed", "timed_out", "crashed", "refused")
    found = figures_of(one)
    counts = [found[f'calls_total{{result="{result}"}}'] for result in results]
    assert counts == [3, 1, 1, 1, 1]
    assert (found["calls_running"], found["calls_waiting"]) == (0, 0)
    old = arbiters(one)
    one.kill(signal.SIGHUP)
    one.wait_gone(old)
    wait_until(lambda: len(arbiters(one)) == 1, "it is collected")
    assert client.execute(JOBS, "echo", 1) == 1
    wait_until(
        lambda: figures_of(one)['calls_total{result="answered"}'] == 4, "counters outlive a reload"
    )


def test_operators_see_and_change_the_dirty_workers(master):
    one = master(*options((JOBS, f"{OTHER}:2"), workers=2), control=True)
    path = one.wait_for_log(r"Control socket: (\S+)")[1]

    def ask(command):
        with ControlClient(path) as control:
            return control.send_command(command)

    def settled(count):
        workers = ask("show dirty")["workers"]
        return workers if [worker["phase"] for worker in workers] == ["ready"] * count else None

    workers = wait_until(lambda: settled(2), "both have booted")
    shown = ask("show dirty")
    assert shown["pid"] == arbiters(one)[0] == ask("show stats")["dirty_arbiter_pid"]
    assert [worker["age"] for worker in workers] == [1, 2]
    assert workers[0]["apps"] == [JOBS, OTHER] and workers[0]["booted"] is True
    pids = [worker["pid"] for worker in workers]
    assert shown["apps"] == [
        {"import_path": JOBS, "worker_count": None, "current_workers": 2, "worker_pids": pids},
        {"import_path": OTHER, "worker_count": 2, "current_workers": 2, "worker_pids": pids},
    ]
    assert ask("show all")["dirty_worker_count"] == 2
    added = ask("dirty add 2")
    assert (added["success"], added["spawned"], added["target_workers"]) == (True, 2, 4)
    workers = wait_until(lambda: settled(4), "four have booted")
    assert [worker["apps"] for worker in workers[2:]] == [[JOBS], [JOBS]]
    client = client_of(one)
    client.execute(JOBS, "echo", 1)
    wait_until(lambda: sum(worker["calls"] for worker in settled(4)) == 1, "the call is counted")
    removed = ask("dirty remove 9")
    assert (removed["removed"], removed["target_workers"]) == (2, 2), "an application wants two"
    workers = wait_until(lambda: settled(2), "two are left")
    assert [worker["apps"] for worker in workers] == [[JOBS, OTHER]] * 2
    run = subprocess.run(
        [sys.executable, "-m", "gunicorn.ctl.cli", "-s", path, "-c", "show dirty"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "PID" in run.stdout and f"{OTHER}: 2 workers, wants 2" in run.stdout
    assert one.stop() == 0


# ---- worker classes ----

CLASSES = {
    "sync": ["-k", "sync"],
    "gthread": ["-k", "gthread", "--threads", "4"],
    "gevent": ["-k", "gevent"],
    "eventlet": ["-k", "eventlet"],
    "tornado": ["-k", "tornado"],
    "asgi": ["-k", "asgi"],
}


@pytest.mark.parametrize("kind", CLASSES)
def test_every_worker_class_calls_and_goes_on_meanwhile(master, gate, kind):
    package = {"gevent": "gevent", "eventlet": "eventlet", "tornado": "tornado"}.get(kind)
    if package and not server_has(package):
        pytest.skip(f"{package} is not installed")
    app = "process.dirty_app:" + ("asgi" if kind == "asgi" else "wsgi")
    one = master(*CLASSES[kind], *options(workers=2), app=app, plain=False)

    def get(action, *args):
        response = one.request(target=f"/?action={action}&args={json.dumps(list(args))}")
        assert response.status == 200, one.log
        return json.loads(response.body)

    assert get("echo", "one") == "one"
    if kind in ("sync", "tornado"):  # one request at a time
        return
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(get, "wait", gate.path)
        gate.wait()
        assert get("echo", "two") == "two"
        gate.open()
        assert isinstance(call.result(), int)
