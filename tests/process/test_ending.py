"""What keeps a process from ending: it is named, and the process ends within graceful_timeout."""

from __future__ import annotations

import os
import re
import signal

import pytest
from helpers.server import free_port
from helpers.wire import Connection, WireError, render, wait_until

GRACE = ["--graceful-timeout", "2"]

THREAD = """
import threading, time

def job():
    time.sleep(1000)

def begin():
    threading.Thread(target=job, name='endless-job').start()

def app(environ, start_response):
    begin()
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
"""

HOOK = """
import multiprocessing, os, sys, time

def job():
    time.sleep(1000)

def when_ready(server):
    process = multiprocessing.get_context('fork').Process(target=job, daemon={daemon})
    process.start()
    server.log.info('the job is %s', process.pid)
"""

HELD = r"does not end by itself within graceful_timeout, and is ended\. It waits for: "


def test_a_thread_of_a_preloaded_application(master, tmp_path):
    (tmp_path / "endless.py").write_text(THREAD + "\nbegin()\n")
    one = master("--preload", *GRACE, app="endless:app")
    assert one.stop() == 0
    where = r"thread 'endless-job' at \S+endless\.py:5 in job\(\)"
    assert re.search(rf"The master \(pid:{one.pid}\) {HELD}{where}", one.log)


def test_a_thread_of_a_worker(master, tmp_path):
    """The worker ends by itself, hooks and all, before the master would kill it."""
    (tmp_path / "endless.py").write_text(THREAD)
    one = master(*GRACE, app="endless:app", plain=False)
    assert one.get() == "ok"
    (worker,) = one.wait_workers(1)
    assert one.stop() == 0
    assert re.search(rf"Worker \(pid:{worker}\) {HELD}thread 'endless-job' at ", one.log)
    assert "was sent" not in one.log


@pytest.mark.parametrize("daemon", [True, False])
def test_a_process_of_a_hook(master, daemon):
    """It ends by the signal that multiprocessing sends it; one that is waited for is named. It is
    none of the workers' business, and holds no port."""
    one = master(*GRACE, config=HOOK.format(daemon=daemon), workers=2)
    job = int(one.wait_for_log(r"the job is (\d+)")[1])
    wait_until(lambda: len(one.ready_pids()) == 2, "the workers serve")
    try:
        assert one.stop() == 0
        named = re.search(
            rf"The master \(pid:\d+\) {HELD}process 'ForkProcess-1' \(pid:{job}\)", one.log
        )
        assert bool(named) is not daemon
        assert "AssertionError" not in one.log
        with pytest.raises((ConnectionRefusedError, WireError)):
            one.connect()
    finally:
        if not daemon:
            os.kill(job, signal.SIGTERM)


def test_a_process_of_a_hook_does_not_come_back(master):
    one = master(config="import os\ndef when_ready(server): os.fork()\n")
    one.wait_workers(1)
    one.wait_for_log("which a hook has forked, came back into the server: it is ended")
    assert one.get()
    assert one.stop() == 0


@pytest.mark.parametrize("closed", [range(3), [0], [2]])
def test_without_standard_descriptors(master, closed):
    """Where they were closed at the start is /dev/null, not a pipe, a socket or a log."""
    port = free_port()
    one = master(
        "--error-logfile",
        "error.log",
        bind=[f"127.0.0.1:{port}"],
        preexec=lambda: [os.close(fd) for fd in closed],
        launch=True,
    )

    def serves():
        try:
            with Connection(("127.0.0.1", port)) as connection:
                connection.send(render())
                return connection.read_response().status == 200
        except (OSError, WireError):
            return False

    wait_until(serves, "it serves")
    for pid in [one.pid, *one.wait_forked(1)]:
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in closed} == {"/dev/null"}
    assert one.stop() == 0
