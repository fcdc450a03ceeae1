"""Where a server listens: every kind of address, and sockets that others made."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys

import pytest
from helpers.server import THREAD_SANITIZED, Stopwatch, assert_soon, free_port
from helpers.wire import wait_until


def test_several_addresses(master, tmp_path):
    path = tmp_path / "s"
    one = master(bind=["127.0.0.1:0", f"unix:{path}", "[::1]:0"])
    assert len(one.addresses) == 3
    for address in list(one.addresses):
        one.addresses = [address]
        one.get()
    assert stat.S_IMODE(path.stat().st_mode) == 0o777
    assert one.stop() == 0
    assert not path.exists()


def test_umask_is_the_mode_of_a_unix_socket(master, tmp_path):
    path = tmp_path / "s"
    one = master("--umask", "0177", bind=[f"unix:{path}"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    one.get()


def test_a_stale_unix_socket_is_replaced(master, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    one = master(bind=[f"unix:{path}"])
    one.get()


def test_another_file_is_not_replaced(master, tmp_path):
    path = tmp_path / "s"
    path.write_text("precious")
    one = master(bind=[f"unix:{path}"], launch=True)
    assert one.wait() == 1
    assert f"{str(path)!r} is not a socket: remove it, or bind another path" in one.log
    assert "Traceback" not in one.log
    assert path.read_text() == "precious"


@pytest.mark.parametrize(("fd", "reason"), [(99, "Bad file descriptor"), (0, "Socket operation")])
def test_a_descriptor_that_is_no_socket(master, tmp_path, fd, reason):
    pidfile = tmp_path / "pid"
    one = master("--pid", str(pidfile), bind=[f"fd://{fd}"], launch=True)
    assert one.wait() == 1
    assert f"Error: Cannot listen at descriptor {fd}: {reason}" in one.log
    assert "Traceback" not in one.log
    assert not pidfile.exists()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        pytest.param("0.0.0.0", "[::]", marks=needs_ipv6),
        pytest.param("[::]", "0.0.0.0", marks=needs_ipv6),
        pytest.param("[::]", "127.0.0.1", marks=needs_ipv6),
    ],
)
@pytest.mark.parametrize("status", [False, True])
def test_an_address_that_is_our_own_is_told_at_once(master, first, second, status):
    port = free_port()
    addresses = [f"{first}:{port}", f"{second}:{port}"]
    more = ["--status-bind", addresses.pop()] if status else []
    one = master(*more, bind=addresses, launch=True)
    assert one.wait() == 1
    assert one.log.count("Connection in use: ") == 1, "it is not tried again"
    assert re.search(
        rf"This server itself has the address: it listens at http://\S*:{port}\.", one.log
    )
    assert "Can't connect to " in one.log


def test_a_reload_to_an_address_that_is_our_own(master):
    port = free_port()
    one = master(bind=[], config=f"bind = '127.0.0.1:{port}'\n")
    old = one.wait_workers(1)
    one.config(f"bind = ['127.0.0.1:{port}', '0.0.0.0:{port}']\n")
    one.kill(signal.SIGHUP)
    one.wait_for_log("The reload failed, everything stays as it was")
    assert "This server itself has the address" in one.log
    assert one.log.count("Connection in use: ") == 1
    assert one.worker_pids() == old
    one.get()
    assert one.stop() == 0


def test_a_path_that_is_named_twice(master, tmp_path):
    path = tmp_path / "s"
    one = master(bind=[f"unix:{path}", f"unix:{path}"])
    assert one.addresses == [str(path)]
    one.get()
    assert one.stop() == 0


RESOLVED = """
import socket
resolve = socket.getaddrinfo

def answers(host, port, *args, **options):
    if host != "inner.test":
        return resolve(host, port, *args, **options)
    return [one for address in %r for one in resolve(address, port, *args, **options)]

socket.getaddrinfo = answers
"""
NOT_OURS, NOR_THIS = "198.51.100.1", "203.0.113.1"  # RFC 5737


@needs_ipv6
@pytest.mark.parametrize(
    ("known", "listening"),
    [
        (["::1"], "[::1]"),
        (["::1", "127.0.0.1"], "127.0.0.1"),  # as gunicorn, which knows IPv4 only
        ([NOT_OURS, "127.0.0.1"], "127.0.0.1"),
        (["::1", NOT_OURS], "[::1]"),
    ],
)
def test_a_name_is_bound_at_the_first_address_that_is_here(master, known, listening):
    one = master(bind=["inner.test:0"], config=RESOLVED % known)
    assert f"Listening at: http://{listening}:" in one.log
    one.get()
    assert one.stop() == 0


def test_a_name_of_addresses_that_are_not_here(master):
    one = master(bind=["inner.test:0"], config=RESOLVED % [NOT_OURS, NOR_THIS], launch=True)
    assert one.wait() == 1
    assert "Cannot assign requested address (tried 198.51.100.1 and 203.0.113.1)" in one.log


def test_a_path_that_is_too_long(master, tmp_path):
    path = str(tmp_path / ("s" * 120))
    one = master(bind=[f"unix:{path}"], launch=True)
    assert one.wait() == 1
    assert one.log.count(f"connection to {path} failed: ") == 1
    assert "The path of a unix socket has at most 107 bytes" in one.log
    assert f"Can't connect to {path}" in one.log


def test_an_abstract_socket(master):
    name = f"monoceros-test-{os.getpid()}"
    one = master(bind=[], config=f"bind = 'unix:\\0{name}'\n")
    one.addresses = [f"\0{name}"]
    one.get()
    assert one.stop() == 0


def test_a_descriptor_that_is_inherited(master):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        one = master(bind=[f"fd://{sock.fileno()}"], pass_fds=[sock.fileno()])
        assert one.addresses == [sock.getsockname()]
        one.get()
        assert one.stop() == 0


def test_reuse_port(master):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        one = master("--reuse-port", bind=[f"127.0.0.1:{port}"], workers=2, launch=True)
        one.addresses = [("127.0.0.1", port)]
        one.wait_workers(2)
        assert len({one.get() for _ in range(40)}) == 2
        assert one.stop() == 0


ACTIVATE = """
import fcntl, os, sys
count = int(sys.argv[1])
fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 3 + count) for fd in sys.argv[2 : 2 + count]]
for number, fd in enumerate(fds, 3):
    os.dup2(fd, number)
    os.close(fd)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count)}
os.execvp(sys.argv[2 + count], sys.argv[2 + count :])
"""


def activated(command, *fds):
    return [sys.executable, "-c", ACTIVATE, str(len(fds)), *map(str, fds), *command]


@pytest.fixture
def notified(tmp_path):
    """A service manager's end of NOTIFY_SOCKET: notified() is all it was told so far."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        told: list[str] = []

        def read():
            while True:
                try:
                    told.append(sock.recv(4096).decode())
                except BlockingIOError:
                    return told

        yield read


def test_socket_activation_and_notifications(master, notified, gate, tmp_path):
    from helpers.server import gunicorn_command

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        one = master(
            config=gate.hook("post_worker_init(worker)"),
            command=activated(gunicorn_command(), sock.fileno()),
            bind=[],
            pass_fds=[sock.fileno()],
            env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
        )
        assert one.addresses == [sock.getsockname()]
        gate.wait()
        assert notified() == [], "not ready before the workers are"
        gate.open()
        wait_until(lambda: any(t.startswith("READY=1") for t in notified()), "READY")
        assert one.get("/env/LISTEN_FDS") == ""
        one.config("")
        one.kill(signal.SIGHUP)
        wait_until(
            lambda: any(t.startswith("RELOADING=1\nMONOTONIC_USEC=") for t in notified()), "R"
        )
        wait_until(lambda: notified()[-1].startswith("READY=1"), "READY again")
        assert one.stop() == 0
        assert any(t.startswith("STOPPING=1") for t in notified())
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_a_service_of_which_a_part_boots_is_ready(master, notified, gate, tmp_path):
    """Else the service manager would end it for taking too long to start, although it serves."""
    wait, _, pass_gate = gate.hook("post_fork(server, worker)").partition(":\n")
    one = master(
        config=f"{wait}:\n    if worker.age == 1: return\n{pass_gate}    raise OSError('no')\n",
        workers=2,
        env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
    )
    gate.wait()
    wait_until(one.ready_pids, "one serves")
    gate.open()
    one.wait_for_log("failed to boot; 1 serve meanwhile")
    wait_until(lambda: any(t.startswith("READY=1") for t in notified()), "READY")
    gate.wait()  # the next try
    one.config("")
    one.kill(signal.SIGHUP)
    gate.open()
    assert one.stop() == 0


def test_an_upgrade_of_an_activated_service(master, notified, tmp_path):
    """The sockets stay where the protocol wants them; the manager learns the main process."""
    from helpers.server import gunicorn_command

    with socket.socket() as first, socket.socket() as second:
        for sock in (first, second):
            sock.bind(("127.0.0.1", 0))
            sock.listen()
        one = master(
            config="pidfile = 'pid'\n",
            command=activated(gunicorn_command(), first.fileno(), second.fileno()),
            bind=[],
            pass_fds=[first.fileno(), second.fileno()],
            env={"NOTIFY_SOCKET": str(tmp_path / "notify")},
        )
        one.kill(signal.SIGUSR2)
        wait_until((tmp_path / "pid.2").exists, "the second master")
        new = int((tmp_path / "pid.2").read_text())
        try:
            wait_until(lambda: one.log.count("Booting worker") == 2, "its worker")
            assert one.log.count(f"http://127.0.0.1:{second.getsockname()[1]} (") == 2
            assert one.stop() == 0
            one.wait_for_log("Master has been promoted")
            wait_until(lambda: notified().count(f"MAINPID={new}") == 2, "both masters say so")
            for sock in (first, second):
                one.addresses = [sock.getsockname()]
                one.get()
        finally:
            os.kill(new, signal.SIGTERM)
            one.wait_gone([new])


def test_watchdog(master, notified, tmp_path):
    one = master(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"})

    def attempt() -> float:
        """Eight signs of life, one after each half of the time that is allowed."""
        before = notified().count("WATCHDOG=1")
        watch = Stopwatch()
        wait_until(lambda: notified().count("WATCHDOG=1") >= before + 8, "signs of life")
        assert watch.seconds > 8 * 0.2 - 0.4
        return watch.seconds

    assert_soon(8 * 0.4, attempt)
    assert one.stop() == 0


@pytest.mark.skipif(THREAD_SANITIZED, reason="other programs crash under the sanitizer")
def test_no_descriptor_leaks_into_what_hooks_execute(master, tmp_path):
    out = tmp_path / "fds"
    command = f"ls -l /proc/self/fd > {out}"
    one = master(
        config="def post_worker_init(worker):\n"
        "    import os, subprocess\n"
        f"    subprocess.run({command!r}, shell=True, close_fds=False)\n"
    )
    one.get()
    assert "socket:" not in out.read_text()
    assert out.read_text().count("pipe:") <= 1
    assert subprocess.run(["true"]).returncode == 0
