"""Other users of the machine: neither the status port nor `gunicorn --dump` is theirs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile

import pytest
from helpers.server import Server, gunicorn_command
from helpers.status_port import Port
from helpers.stranger import NOBODY, as_nobody, needs_root
from helpers.wire import wait_until

from gunicorn.master import dump

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED, /proc")


@pytest.fixture
def server(tmp_path):
    started = []

    def start(*args: str, config: str = "") -> Server:
        (tmp_path / "gunicorn.conf.py").write_text(config)
        started.append(Server([*args, "attack.hostile_app:app"], tmp_path, expect_trouble=True))
        return started[-1].start()

    yield start
    problems = [problem for one in started for problem in one.close()]
    assert not problems, "\n".join(problems)


@pytest.fixture
def directory():
    """One that every user may enter."""
    path = tempfile.mkdtemp()
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


def mode_of(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_status_socket_is_its_owners(server, directory):
    path = f"{directory}/status"
    server("--status-bind", f"unix:{path}", "--umask", "0")
    assert mode_of(path) == 0o600
    assert Port(path).text("/live") == "live\n"
    if os.geteuid() == 0:
        assert as_nobody(lambda: Port(path).text("/live")).startswith("PermissionError")


def test_a_status_socket_for_others(server, directory):
    path = f"{directory}/status"
    server("--status-bind", f"unix:{path}", "--status-mode", "0o666")
    assert mode_of(path) == 0o666
    if os.geteuid() == 0:
        assert as_nobody(lambda: Port(path).text("/live")) == "live\n"


@pytest.fixture
def theirs():
    """A directory of another user, in which the server has its files."""
    path = tempfile.mkdtemp()
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("name", ["pid", "access"])
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP], ids=["reopen", "reload"])
def test_a_pipe_in_the_place_of_a_file(server, theirs, name, number):
    """The master does not wait for its reader, whoever may write to the directory."""
    user = ("--user", str(NOBODY), "--group", str(NOBODY)) if os.geteuid() == 0 else ()
    path = f"{theirs}/{name}"
    files = ("-p", f"{theirs}/pid", "--access-logfile", f"{theirs}/access")
    one = server("--preload", *user, *files)
    assert one.request().status == 200
    os.unlink(path)
    os.mkfifo(path)
    one.kill(number)
    one.wait_for_log(f"Handling signal: {number.name[3:].lower()}")
    assert Port.private(one.pid).text("/live") == "live\n"
    assert one.request().status == 200
    if name == "access" and number == signal.SIGUSR1:
        one.wait_for_log(r"\[ERROR\] Cannot open the log files anew: .*access")


SQUATTER = """
import os, socket, time

master, (ours, theirs) = os.getpid(), os.pipe()
if os.fork() == 0:
    if os.geteuid() == 0:
        os.setuid(65534)
    one = socket.socket(socket.AF_UNIX)
    one.bind(f"\\0gunicorn-master-{master}")
    one.listen()
    os.write(theirs, b"1")
    while os.getppid() == master:
        time.sleep(0.05)
    os._exit(0)
os.read(ours, 1)
"""


def dumped(pid: int) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*gunicorn_command(), "--dump", str(pid)], capture_output=True, text=True, timeout=60
    )


def test_nobody_takes_the_name_of_the_socket_for_dumps(server):
    """It has bound the name that follows from the process id, before the master has a socket."""
    one = server(config=SQUATTER)
    worker = wait_until(lambda: dumped(one.pid).stdout, "a dump")
    assert worker.startswith("Worker ")
    assert "--dump" not in one.log


@needs_root
def test_dumps_are_refused_to_others(server):
    one = server()
    name = dump.private_name(one.pid)
    assert as_nobody(lambda: dump.dump(one.pid)) == (
        f"Unreachable: only root and user 0 may look into process {one.pid}"
    )

    def ask():
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(name)
            try:
                client.sendall(b"GET /dump HTTP/1.1\r\nHost: a\r\n\r\n")
                return client.recv(100)
            except (BrokenPipeError, ConnectionResetError):
                return b""

    assert as_nobody(ask) == "b''"


def test_a_liar_steers_no_terminal():
    """A process that is no master answers as one: what it says is shown, and nothing else."""
    name = f"\0{dump.NAME}{os.getpid()}-test"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        pid = os.fork()
        if pid == 0:
            client, _ = listener.accept()
            client.recv(1000)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n\x1b[2J\xc2\x9b1m\xffWorker\n")
            os._exit(0)
        text = dump.dump(os.getpid())
        os.waitpid(pid, 0)
    assert text == "\\x1b[2J\\x9b1m\\xffWorker\n"
