"""Signals of the master and of the workers."""

from __future__ import annotations

import ctypes
import os
import random
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from helpers.server import parse_address
from helpers.wire import wait_until


def test_no_workers_until_one_is_asked_for(master):
    one = master(workers=0, launch=True)
    one.wait_for_log("workers is 0: nobody is answered until TTIN asks for one")
    assert one.worker_pids() == []
    one.kill(signal.SIGTTIN)
    one.wait_forked(1)
    assert one.stop() == 0


def test_ttin_and_ttou(master):
    one = master()
    one.wait_workers(1)
    one.kill(signal.SIGTTIN)
    first, second = one.wait_workers(2)
    wait_until(lambda: one.get() == str(second), "the second serves, too")
    one.kill(signal.SIGTTOU)
    assert one.wait_workers(1) == [second], "the oldest goes"
    one.kill(signal.SIGTTOU)  # one is the least
    # Of two signals that wait the kernel gives the lower number first.
    wait_until(lambda: one.log.count("Handling signal: ttou") == 2, "handled")
    one.kill(signal.SIGTTIN)
    one.wait_workers(2)
    assert one.stop() == 0


def test_no_signal_is_lost_and_none_is_handled_twice(master):
    """TTIN and TTOU one after the other, each on its own: the sum is exact."""
    one = master()
    one.wait_workers(1)
    steps = [signal.SIGTTIN] * 12 + [signal.SIGTTOU] * 4
    for count, number in enumerate(steps, 1):
        one.kill(number)
        wait_until(lambda n=count: one.log.count("Handling signal: tt") == n, "handled")
    one.wait_workers(9)
    assert one.stop() == 0


def wanted(log: str, count: int) -> int:
    """How many workers there are to be, of `count` at first, after the signals in the log."""
    for name in re.findall("Handling signal: (ttin|ttou)", log):
        count = count + 1 if name == "ttin" else max(1, count - 1)
    return count


def test_a_storm_of_signals(master):
    one = master(workers=2)
    one.wait_workers(2)
    choice = random.Random(1)
    for _ in range(1000):
        one.kill(choice.choice([signal.SIGUSR1, signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU]))
    one.kill(signal.SIGWINCH)  # the highest number of all: the kernel gives it last
    one.wait_for_log("Handling signal: winch")
    one.wait_workers(wanted(one.log, 2))
    one.get()
    assert one.stop() == 0


def test_usr1_opens_the_logs_anew(master, tmp_path):
    log = tmp_path / "error.log"
    one = master("--error-logfile", str(log), launch=True)
    wait_until(lambda: log.exists() and "Booting worker" in log.read_text(), "started")
    one.wait_workers(1)
    log.rename(tmp_path / "error.log.1")
    one.kill(signal.SIGUSR1)
    wait_until(log.exists, "a new file")
    one.kill(signal.SIGTTIN)
    wait_until(lambda: "Booting worker" in log.read_text(), "written to")
    one.kill(signal.SIGTERM)
    assert one.wait() == 0
    assert "Shutting down: Master" in log.read_text()
    assert log.read_text().count("Worker exiting") == 2, "the workers have opened it too"


ROTATED = """
accesslog = "{logs}/access.log"
errorlog = "{logs}/error.log"
access_log_format = "%(p)s %(q)s"
logconfig_dict = {{
    "handlers": {{"file": {{"class": "logging.FileHandler", "filename": "{logs}/app.log"}}}},
    "root": {{"level": "INFO", "handlers": ["file"]}},
    "loggers": {{}},
}}
pidfile = "pid"
preload_app = True  # user 65534 may not be able to import from where this Python is
user = group = 65534
"""
TELLING = """
import datetime, logging, os, traceback  # while it is root

def app(environ, start_response):
    for name in ("shop", "gunicorn.error"):
        logging.getLogger(name).warning("%d %s", os.getpid(), environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


@pytest.fixture
def logs():
    """A directory in which everybody may read: those of pytest are for one user."""
    with tempfile.TemporaryDirectory(prefix="logs-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield {name: path / f"{name}.log" for name in ("access", "error", "app")}


def writers(path, word):
    """The workers that have written this word into a log."""
    text = path.read_text() if path.exists() else ""
    return set(re.findall(rf"(\d+)>? {word}$", text, re.M))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
@pytest.mark.parametrize(("kind", "to"), [("sync", ""), ("gthread", ""), ("sync", "-")])
def test_logs_of_root_are_rotated_with_workers_of_another_user(master, tmp_path, logs, kind, to):
    """As logrotate does it. The workers may not make files in the directory.

    With the whole process group signalled, workers may be too early: they hear of it again.
    """
    (tmp_path / "telling.py").write_text(TELLING)
    config = ROTATED.format(logs=logs["error"].parent)
    one = master("-k", kind, app="telling:app", config=config, plain=False, launch=True)
    begun = wait_until(
        lambda: logs["error"].exists()
        and re.search(r"Listening at: (\S*) \(", logs["error"].read_text()),
        "it listens",
    )
    one.addresses = [parse_address(begun[1])]
    workers = {str(pid) for pid in one.wait_workers(1)}

    def everything_is_written(word):
        def done():
            one.request(target=f"/?{word}")
            return all(writers(path, word) == workers for path in logs.values())

        wait_until(done, lambda: {name: path.read_text()[-500:] for name, path in logs.items()})

    everything_is_written("before")
    for path in logs.values():
        path.rename(f"{path}.1")
    subprocess.run(f"kill -USR1 {to}$(cat pid)", shell=True, check=True, cwd=tmp_path)
    wait_until(lambda: all(path.exists() for path in logs.values()), "new files")
    everything_is_written("after")
    for path in logs.values():
        new = path.stat()
        assert (new.st_uid, new.st_gid) == (65534, 65534)
    one.kill(signal.SIGTERM)
    assert one.wait() == 0
    assert to or "Cannot open the log files anew" not in logs["error"].read_text()


def drop_cap_chown() -> None:
    PR_CAPBSET_DROP, CAP_CHOWN = 24, 0
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_logs_that_root_may_not_give_away(master, tmp_path):
    """As in a container without the capability: a line, and all goes on."""
    access = ["--access-logfile", str(tmp_path / "access.log")]
    one = master("--user", "65534", "--group", "65534", *access, preexec=drop_cap_chown)
    old = one.wait_workers(1)
    one.kill(signal.SIGUSR1)
    one.wait_for_log(r"\[WARNING\] Cannot make user 65534 the owner of \S*access\.log: Operation")
    one.kill(signal.SIGHUP)
    one.wait_gone(old)
    one.wait_workers(1)
    assert "The reload failed" not in one.log
    assert one.stop() == 0


def test_usr1_reaches_a_worker_that_begins(master, tmp_path, gate):
    """It was forked before the log was moved, and has no handlers yet."""
    log, old = tmp_path / "error.log", tmp_path / "error.log.1"
    one = master("--error-logfile", str(log), config=gate.hook("post_fork(server, worker)"),
                 launch=True)  # fmt: skip
    gate.wait()
    log.rename(old)
    one.kill(signal.SIGUSR1)
    wait_until(log.exists, "a new file")
    one.kill(signal.SIGTTOU)
    wait_until(lambda: "Handling signal: ttou" in log.read_text(), "it was passed on")
    gate.open()
    one.wait_workers(1)
    one.kill(signal.SIGTERM)
    assert one.wait() == 0
    assert "Worker exiting" in log.read_text()
    assert "Worker exiting" not in old.read_text()


def test_logs_that_cannot_be_opened_anew_end_nothing(master, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    one = master("--access-logfile", str(logs / "access.log"), workers=2)
    workers = one.wait_workers(2)
    booting = set(workers)
    wait_until(lambda: booting.discard(int(one.get())) or not booting, "both workers serve")
    logs.rename(tmp_path / "moved")
    one.kill(signal.SIGUSR1)
    wait_until(lambda: one.log.count("Cannot open the log files anew") == 3, "all say so")
    assert one.worker_pids() == workers
    one.get()
    logs.mkdir()
    one.kill(signal.SIGUSR1)
    wait_until((logs / "access.log").exists, "and it works again")
    assert one.stop() == 0


def test_winch_is_for_daemons(master):
    one = master("--log-level", "debug")
    one.wait_workers(1)
    one.kill(signal.SIGWINCH)
    one.wait_for_log("SIGWINCH ignored. Not daemonized")
    assert one.get()
    assert one.stop() == 0


def test_term_reaches_a_worker_that_is_still_booting(master, gate):
    """What comes before the worker has handlers of its own is not lost."""
    one = master(config=gate.hook("post_fork(server, worker)"))
    gate.wait()
    (worker,) = one.worker_pids()
    os.kill(worker, signal.SIGTERM)
    gate.open()
    one.wait_for_log(rf"Worker exiting \(pid: {worker}\)")
    gate.step()
    assert one.wait_workers(1) != [worker]
    assert one.stop() == 0


def test_handlers_of_the_application_work(master, tmp_path):
    (tmp_path / "own.py").write_text(
        "import signal\n"
        "seen = []\n"
        "signal.signal(signal.SIGUSR2, lambda *a: seen.append(b'seen'))\n"
        "def app(environ, start_response):\n"
        "    return seen or [b'nothing']\n"
    )
    one = master(app="own:app")
    (worker,) = one.wait_workers(1)
    assert one.get() == "nothing"
    os.kill(worker, signal.SIGUSR2)
    assert one.get() == "seen"
    assert one.stop() == 0


def test_worker_signals(master):
    one = master(workers=1)
    for number, line in [
        (signal.SIGTERM, "Worker exiting"),
        (signal.SIGQUIT, "Worker exiting"),
        (signal.SIGINT, "Worker exiting"),
        (signal.SIGABRT, "exited with code 1"),
        (signal.SIGHUP, r"was sent SIGHUP!"),
    ]:
        one.get()
        time.sleep(1.1)  # who lives for a second is replaced without a pause
        before = len(one.log)
        (worker,) = one.wait_workers(1)
        os.kill(worker, number)
        one.wait_for_log(line, start=before)
        one.wait_gone([worker])
        one.wait_workers(1)
    assert one.stop() == 0
