"""Pidfile, daemon, titles, users, directories, and silence when there is nothing to do."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.idleness import assert_idle
from helpers.server import THREAD_SANITIZED, gunicorn_command, server_has
from helpers.wire import wait_until
from process.load import Load


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


def test_pidfile(master, tmp_path):
    path = tmp_path / "pid"
    one = master("--pid", str(path))
    assert path.read_text() == f"{one.pid}\n"
    assert path.stat().st_mode & 0o777 == 0o644
    other = master("--pid", str(path), launch=True)
    assert other.wait() == 1
    assert f"Already running on PID {one.pid} (or pid file '{path}' is stale)" in other.log
    assert one.stop() == 0
    assert not path.exists()


def test_a_stale_pidfile_is_replaced(master, tmp_path):
    path = tmp_path / "pid"
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    path.write_text(f"{gone.pid}\n")
    one = master("--pid", str(path))
    assert path.read_text() == f"{one.pid}\n"


@pytest.mark.parametrize("text", ["", "-1", "none", "9" * 20])
def test_a_pidfile_that_names_no_process_is_replaced(master, tmp_path, text):
    path = tmp_path / "pid"
    path.write_text(text)
    one = master("--pid", str(path))
    assert path.read_text() == f"{one.pid}\n"


def test_a_pidfile_that_names_the_master_already(master, tmp_path):
    """As in a container that is started again, where the master is process 1 each time."""
    path = tmp_path / "pid"
    shell = ["sh", "-c", f'echo $$ > {path}; exec "$@"', "sh", *gunicorn_command()]
    one = master("--pid", str(path), command=shell)
    assert path.read_text() == f"{one.pid}\n"
    assert one.stop() == 0
    assert not path.exists()


def test_a_pidfile_that_cannot_be_written(master, tmp_path):
    one = master("--pid", str(tmp_path / "nowhere" / "pid"), launch=True)
    assert one.wait() == 1
    assert "doesn't exist. Can't create pidfile." in one.log


def test_titles(master):
    one = master("--name", "shop")
    (worker,) = one.wait_workers(1)
    one.get()
    assert title(one.pid) == "gunicorn: master [shop]"
    assert title(worker) == "gunicorn: worker [shop]"


def test_the_command_line_stays(master):
    """As in gunicorn without setproctitle: it is what `pgrep -f` and supervisors look for."""
    without = "import sys\nsys.modules['setproctitle'] = None\n"
    one = master(
        command=[sys.executable, "-c", f"{without}from gunicorn.app.wsgiapp import run\nrun()"]
    )
    (worker,) = one.wait_workers(1)
    one.get()
    for pid in (one.pid, worker):
        found = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        assert found == [os.fsencode(word) for word in one.command]


def test_a_title_where_setproctitle_is_installed(master, tmp_path):
    (tmp_path / "setproctitle.py").write_text("def getproctitle():\n    return ''\n")
    one = master()
    (worker,) = one.wait_workers(1)
    one.get()
    assert title(one.pid) == "gunicorn: master [process.plain:app]"
    assert title(worker) == "gunicorn: worker [process.plain:app]"


def test_the_package_setproctitle_works_beside_it(master):
    if not server_has("setproctitle"):
        pytest.skip("needs the package setproctitle")
    one = master(
        config="def post_worker_init(worker):\n"
        "    import setproctitle\n"
        "    setproctitle.setproctitle('ready for ' + worker.cfg.proc_name)\n"
    )
    (worker,) = one.wait_workers(1)
    one.get()
    assert title(worker) == "ready for process.plain:app"


def test_the_environment_survives_the_title(master):
    one = master("--name", "shop", env={"LONG": "x" * 3000, "LAST": "y"})
    assert one.get("/env/LONG") == "x" * 3000
    assert one.get("/env/LAST") == "y"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_user_and_group(master, tmp_path):
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    path = tmp_path / "s"
    one = master("--user", "nobody", "--group", "65534", bind=[f"unix:{path}"])
    assert one.get("/ids") == "65534 65534"
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    assert one.stop() == 0


def drop_capability(number: int) -> None:
    """As a container does that is started with `--cap-drop`."""
    PR_CAPBSET_DROP = 24
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, number, 0, 0, 0)


def drop_cap_chown() -> None:
    drop_capability(0)


def drop_cap_kill() -> None:
    drop_capability(5)


def drop_cap_setgid_and_setuid() -> None:
    drop_capability(6)
    drop_capability(7)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--user", "nobody"], "user 'nobody' (--user)"),
        (["--group", "65534"], "group '65534' (--group)"),
        (["-u", "nobody", "-g", "65534"], "user 'nobody' (--user) and group '65534' (--group)"),
    ],
)
def test_user_and_group_that_only_root_may_take_on(master, arguments, said):
    """Root without the capabilities is refused as others are, who have none anyway."""
    one = master(*arguments, launch=True, preexec=drop_cap_setgid_and_setuid)
    assert one.wait() == 3
    assert one.log.count(f"The server cannot take on {said}: Operation not permitted. ") == 1
    assert "Start it so, or without the setting.\n" in one.log
    assert "Reason: Worker failed to boot." in one.log
    assert "Traceback" not in one.log


def test_a_socket_that_only_root_may_give_away(master, tmp_path):
    """Tried once, and nothing is left of it."""
    path = tmp_path / "s"
    one = master("-u", "nobody", bind=[f"unix:{path}"], launch=True, preexec=drop_cap_chown)
    assert one.wait() == 1
    assert one.log.count(f"connection to {path} failed: ") == 1
    assert "takes root with the capability CAP_CHOWN: start it so, or without" in one.log
    assert not path.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_workers_that_the_master_may_not_signal(master, tmp_path):
    """They go by themselves when the master does; until then everything else goes on."""
    one = master(
        "--user", "nobody", "--group", "65534", workers=2, expect_trouble=True,
        preexec=drop_cap_kill,
    )  # fmt: skip
    first = one.wait_workers(2)
    one.kill(signal.SIGHUP)
    one.wait_for_log(r"\[ERROR\] Cannot send SIGTERM to worker \(pid:\d+\): Operation not perm")
    assert set(first) < set(one.wait_forked(4))
    os.kill(first[0], signal.SIGTERM)  # by somebody who may
    one.wait_gone(first[:1])
    assert one.get("/ids") == "65534 65534"
    assert one.stop() == 0
    assert one.log.count("Worker exiting") == 4
    assert "Traceback" not in one.log


def test_chdir(master, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    one = master("--chdir", str(there))
    assert one.get("/cwd") == str(there)


def test_daemon(master, tmp_path):
    pidfile, log = tmp_path / "pid", tmp_path / "log"
    one = master("--daemon", "--pid", str(pidfile), "--error-logfile", str(log), launch=True)
    assert one.wait() == 0
    wait_until(lambda: pidfile.exists() and "Booting worker" in log.read_text(), "started")
    pid = int(pidfile.read_text())
    try:
        assert os.getsid(pid) not in (os.getsid(0), pid, one.pid), "a session of its own, not led"
        for fd in (0, 1, 2):
            assert os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null"
        os.kill(pid, signal.SIGWINCH)
        wait_until(lambda: "graceful stop of workers" in log.read_text(), "WINCH")
        wait_until(lambda: not children(pid), "no workers")
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: children(pid), "HUP brings them back")
    finally:
        os.kill(pid, signal.SIGTERM)
        one.wait_gone([pid])
    assert not pidfile.exists()


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.skipif(THREAD_SANITIZED, reason="the sanitizer stops forks beside threads")
def test_threads_of_a_preloaded_application_are_named(master, tmp_path):
    (tmp_path / "threaded.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), name='poller', daemon=True).start()\n"
        "from process.plain import app\n"
    )
    one = master("--preload", app="threaded:app")
    one.wait_for_log(r"\[WARNING\] The application started threads.*: poller")
    one.get()
    assert one.stop() == 0


SILENCING = """
import logging.config

logging.config.dictConfig({"version": 1})  # disable_existing_loggers is True, unless it is set
from process.plain import app
"""


@pytest.mark.parametrize("where", ["stderr.log", "elsewhere.log"])
@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_an_application_that_disables_our_loggers_is_named(master, tmp_path, preload, where):
    (tmp_path / "silencing.py").write_text(SILENCING)
    one = master("--log-file", where, *preload, app="silencing:app", workers=2, launch=True)
    log = tmp_path / where
    said = "Logging is disabled for gunicorn.error and gunicorn.access: the application has"
    told = 1 if preload else 2
    wait_until(lambda: log.exists() and log.read_text().count(said) == told, "it is said")
    one.wait_workers(2)  # with --preload it is said before the master has its handlers
    one.kill(signal.SIGTERM)
    assert one.wait() == 0
    assert log.read_text().count(said) == told
    assert "set disable_existing_loggers to False" in log.read_text()


def test_fork_callbacks_run(master, tmp_path):
    one = master(
        "--preload",
        config="import os\n"
        "os.register_at_fork(before=lambda: print('before', flush=True),\n"
        "    after_in_child=lambda: print('child', flush=True),\n"
        "    after_in_parent=lambda: print('parent', flush=True))\n",
    )
    one.get()
    assert one.stop() == 0
    assert sorted(one.stdout.split()) == ["before", "child", "parent"]


@pytest.mark.skipif(THREAD_SANITIZED, reason="the sanitizer has a thread of its own")
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_an_idle_server_makes_no_system_call(master):
    one = master("--timeout", "1", workers=2)
    workers = one.wait_workers(2)
    for _ in range(4):
        one.get()
    time.sleep(2.5)  # until timeout is over
    assert_idle([one.pid, *workers], one.cwd / "trace", ["poll("])
    one.get()
    assert one.stop() == 0


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_a_fork_that_fails_leaves_a_master_that_lives(master, tmp_path):
    from helpers.server import gunicorn_command

    calls = "clone,clone3,fork,vfork"
    failing = ["strace", "-D", "-o", str(tmp_path / "trace"), "-e", f"trace={calls}"]
    failing += ["-e", f"inject={calls}:error=EAGAIN:when=1..2"]
    one = master(command=[*failing, *gunicorn_command()], launch=True)
    one.wait_for_log(r"Cannot fork a worker: .*\. The next try is in [\d.]+ s\.")
    one.wait_for_log("Booting worker with pid")
    assert one.log.count("Cannot fork a worker") == 2
    assert one.stop() == 0


def test_a_full_descriptor_table_leaves_a_master_that_lives(master):
    """The worker cannot boot; the master says so and goes on, or ends with a reason."""
    one = master(
        config="def post_fork(server, worker):\n"
        "    import resource\n"
        "    if worker.age == 2:\n"
        "        resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))\n",
        workers=1,
    )
    (first,) = one.wait_workers(1)
    one.get()
    one.kill(signal.SIGTTIN)
    one.wait_for_log("Too many open files")
    one.wait_workers(2)
    assert first in one.worker_pids()
    one.get()
    assert one.stop() == 0


def memory_group() -> Path | None:
    """A new memory group below our own (cgroup v1 or v2), where that is allowed."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        group = Path(f"/sys/fs/cgroup/{controllers}{path}/monoceros-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        for name in ("memory.limit_in_bytes", "memory.max"):
            if (group / name).exists():
                (group / name).write_text("80000000")
                return group
        group.rmdir()
    return None


IN_GROUP = """
import os, sys
open(sys.argv[1], "w").write(str(os.getpid()))
os.execvp(sys.argv[2], sys.argv[2:])
"""


def test_out_of_memory_by_the_count_of_the_control_group(master, tmp_path):
    from helpers.server import gunicorn_command

    group = memory_group()
    if group is None:
        pytest.skip("needs a control group for memory")
    procs = str(group / "cgroup.procs")
    (tmp_path / "greedy.py").write_text("def app(e, s):\n    return [b'x' * 300_000_000]\n")
    try:
        one = master(
            app="greedy:app",
            command=[sys.executable, "-c", IN_GROUP, procs, *gunicorn_command()],
        )
        (worker,) = one.wait_workers(1)
        with one.connect() as client:
            client.send(b"GET /all HTTP/1.1\r\nHost: a\r\n\r\n")
            one.wait_for_log(
                rf"Worker \(pid:{worker}\) was sent SIGKILL! Out of memory: the kernel killed it\. "
                r"It occupied up to \d+\.\dM; its control group may have 76\.3M\."
            )
        assert one.stop() == 0
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
        group.rmdir()


UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc"]


def may_unshare() -> bool:
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(THREAD_SANITIZED, reason="other programs crash under the sanitizer")
@pytest.mark.skipif(not may_unshare(), reason="needs a process namespace")
def test_process_1_of_a_container(master, tmp_path):
    """Orphans of workers are reaped, and the signals of the master work as anywhere."""
    from helpers.server import gunicorn_command

    one = master(
        "--log-level",
        "debug",
        command=[*UNSHARE, *gunicorn_command()],
        config="def post_worker_init(worker):\n"
        "    import subprocess\n"
        "    subprocess.run('sleep 0.5 & true', shell=True)\n",
        launch=True,
    )
    one.wait_for_log(r"Listening at: \S+ \(1\)")
    one.wait_for_log("Reaped unknown child process")
    (inner,) = children(one.pid)
    os.kill(int(inner), signal.SIGHUP)
    one.wait_for_log("Hang up: Master")
    one.wait_for_log("Worker exiting")
    os.kill(int(inner), signal.SIGTERM)
    assert one.wait() == 0
    assert "Shutting down: Master" in one.log


def test_a_pidfile_that_cannot_be_written_is_told_in_a_line(master):
    one = master("--pid", "/proc/gunicorn-test.pid", launch=True)
    assert one.wait() == 1
    assert re.search(r"^Error: Cannot write the pidfile '/proc/gunicorn-test.pid': ", one.log, re.M)
    assert "Traceback" not in one.log


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disks_of_the_logs_cost_no_request(master, tmp_path):
    (tmp_path / "hello.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Length', '5')])\n"
        "    return [b'hello']\n"
    )
    one = master(
        *("--error-logfile", "/dev/full", "--access-logfile", "/dev/full"),
        *("--max-requests", "20", "-b", "unix:full"),
        app="hello:app",
        workers=2,
        plain=False,
        launch=True,
        bind=(),
    )
    one.addresses = [str(one.cwd / "full")]
    wait_until(lambda: os.path.exists(one.address), "it listens")
    first = one.wait_workers(2)
    with Load(one.address, kept=4, closing=4) as load:
        wait_until(lambda: not set(first) & set(one.worker_pids()), "both were recycled", 30)
    assert not load.losses
    assert one.stop() == 0
