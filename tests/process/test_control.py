"""The control socket and gunicornc, with real masters and workers."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from helpers.gate import Gate
from helpers.original import original_gunicorn
from helpers.stranger import as_nobody, needs_root
from helpers.wire import wait_until
from process.conftest import Master, end
from process.terminal import Terminal

from gunicorn.ctl.client import ControlClient, ControlClientError
from gunicorn.ctl.protocol import ControlProtocol

#: Reloads of the test of leaks: CONTROL_RELOADS=1000 make test-control
RELOADS = int(os.environ.get("CONTROL_RELOADS", "12"))


@pytest.fixture
def controlled(master):
    """controlled(*args): a master with a control socket, and the path of that."""

    def start(*args, **options):
        one = master(*args, control=True, **options)
        # Masters of a test share a log.
        line = rf"\[{one.pid}\] \[INFO\] Control socket: (\S+)"
        return one, one.wait_for_log(line)[1]

    return start


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A master and its socket, for tests that change nothing."""
    cwd = tmp_path_factory.mktemp("shared")
    one = Master(["process.plain:app"], cwd, expect_trouble=True)
    one.start(1)
    yield one, one.wait_for_log(r"Control socket: (\S+)")[1]
    end(one)


@contextlib.contextmanager
def session(path, timeout=20.0):
    with ControlClient(path, timeout) as client:
        yield client


def ask(path, command):
    with session(path) as client:
        return client.send_command(command)


def gunicornc(one, *args, command=None):
    """Run our gunicornc, or another one, as the user of a master."""
    ours = [sys.executable, "-m", "gunicorn.ctl.cli"]
    return subprocess.run(
        [*(command or ours), *args], capture_output=True, text=True, timeout=30, env=one.env
    )


def raw(path):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    wait_until(lambda: sock.connect_ex(path) == 0, "there is room in the queue of the socket")
    sock.settimeout(20)
    return sock


def booted(path, count):
    """The workers, once there are exactly so many and all are ready."""

    def settled():
        workers = ask(path, "show workers")["workers"]
        phases = [worker["phase"] for worker in workers]
        return workers if phases == ["ready"] * count else None

    return wait_until(settled, lambda: f"{count} workers: {ask(path, 'show workers')}", 30)


# ---- the commands ----


def test_the_workers(controlled):
    one, path = controlled(workers=2)
    before = booted(path, 2)
    assert [worker["booted"] for worker in before] == [True, True]
    assert sorted(worker["pid"] for worker in before) == sorted(one.worker_pids())
    assert [worker["age"] for worker in before] == [1, 2]


def test_requests_are_counted(controlled):
    one, path = controlled(plain=False)
    for _ in range(5):
        one.get()
    (worker,) = ask(path, "show workers")["workers"]
    assert worker["requests"] == 5
    assert worker["last_heartbeat"] is None  # it has nothing to do


def test_the_whole_and_its_parts(controlled):
    one, path = controlled(workers=2)
    booted(path, 2)
    everything = ask(path, "show all")
    assert everything["arbiter"] == {"pid": one.pid, "type": "arbiter", "role": "master"}
    assert everything["web_worker_count"] == 2
    assert everything["web_workers"][0]["booted"]
    stats = ask(path, "show stats")
    assert stats["pid"] == one.pid
    assert (stats["workers_current"], stats["workers_target"], stats["reloads"]) == (2, 2, 0)
    config = ask(path, "show config")
    assert (config["workers"], config["control_socket"]) == (2, path)
    (listener,) = ask(path, "show listeners")["listeners"]
    assert listener["type"] == "tcp"
    assert listener["address"].startswith("http://127.0.0.1:")


def test_workers_come_and_go(controlled):
    one, path = controlled()
    assert ask(path, "worker add 2") == {"added": 2, "previous": 1, "total": 3}
    booted(path, 3)
    assert ask(path, "worker remove 7") == {"removed": 2, "previous": 3, "total": 1}
    (worker,) = booted(path, 1)
    assert ask(path, f"worker kill {worker['pid']}") == {"success": True, "killed": worker["pid"]}
    one.wait_gone([worker["pid"]])
    booted(path, 1)
    assert not ask(path, f"worker kill {one.pid}")["success"]
    assert ask(path, "show stats")["workers_target"] == 1


def test_reload_reopen_and_stop(controlled):
    one, path = controlled()
    with session(path) as client:
        (before,) = booted(path, 1)
        assert client.send_command("reload") == {"status": "reloading"}
        one.wait_gone([before["pid"]])
        assert client.send_command("show stats")["reloads"] == 1  # the same session
        assert client.send_command("reopen") == {"status": "reopening"}
        one.wait_for_log("Handling signal: usr1")
        answer = client.send_command("shutdown")
        assert answer == {"status": "shutting_down", "mode": "graceful"}
    assert one.process.wait(20) == 0
    assert "Handling signal: term" in one.log
    assert not os.path.exists(path)


def test_a_quick_stop(controlled):
    one, path = controlled()
    assert ask(path, "shutdown quick")["mode"] == "quick"
    assert one.process.wait(20) == 0
    assert "Handling signal: int" in one.log


@pytest.mark.parametrize(
    "command,reason",
    [
        ("shutdown sideways", "shutdown is graceful or quick"),
        ("log level", "log level needs LEVEL"),
        ("log level loud", "a level is one of debug, info, warning, error, critical"),
        ("config check a b", "too many arguments: b"),
        ("show", "unknown command: show"),
        ("show the way", "unknown command"),
        ("worker add 0", "a count is 1 or greater"),
        ("worker add -1", "'-1' is not a count"),
        ("worker add 9999", "there can be 4096 workers at most"),
        ("worker add 1 2", "too many arguments: 2"),
        ("worker kill", "worker kill needs PID"),
        ("worker kill x", "'x' is not a pid"),
        ("'worker", "No closing quotation"),
        ("", "there is no command"),
    ],
)
def test_mistakes_change_nothing(shared, command, reason):
    one, path = shared
    with session(path) as client:
        with pytest.raises(ControlClientError, match=re.escape(reason)):
            client.send_command(command)
        stats = client.send_command("show stats")
    assert stats["workers_target"] == 1
    assert "Traceback" not in one.log


def test_dirty_workers_are_not_configured(controlled):
    _, path = controlled()
    assert ask(path, "show dirty")["enabled"] is False
    for command in ("dirty add", "dirty remove 2"):
        assert ask(path, command)["error"] == "no dirty workers are configured"


def test_a_worker_is_drained(controlled):
    one, path = controlled(workers=2)
    first = booted(path, 2)[0]
    assert ask(path, f"drain {first['slot']}") == {"success": True, "pid": first["pid"]}
    one.wait_gone([first["pid"]])
    assert first["pid"] not in [worker["pid"] for worker in booted(path, 2)]
    booting = one.log.index("Booting worker", one.log.index("gunicornc drain"))
    assert booting < one.log.index(f"Worker exiting (pid: {first['pid']})")
    with pytest.raises(ControlClientError, match="no worker has slot 77"):
        ask(path, "drain 77")


def test_commands_that_would_have_no_effect_while_the_server_stops(controlled):
    one, path = controlled("--graceful-timeout=60", app="process.status_app:app", plain=False)
    with Gate() as gate:
        client = one.ask(f"/hold{gate.path}")
        gate.wait()
        ask(path, "shutdown")
        wait_until(lambda: ask(path, "show listeners")["count"] == 0, "it stops")
        for command in ("reload", "reopen", "worker add", "drain 0", "config check", "dirty add"):
            with pytest.raises(ControlClientError, match="the server is stopping"):
                ask(path, command)
        gate.open()
        assert client.read_response().status == 200
    assert one.wait() == 0


def test_the_stack_of_a_worker_that_hangs(controlled):
    one, path = controlled(app="process.status_app:app", plain=False)
    (worker,) = booted(path, 1)
    command = f"stack {worker['slot']}"
    with Gate() as gate:
        client = one.ask(f"/hold{gate.path}")
        wait_until(lambda: ask(path, "show workers")["workers"][0]["in_flight"], "it runs")
        assert "in hold" in ask(path, command)["stack"]
        assert "in hold" in gunicornc(one, "-c", command).stdout
        with raw(path) as sock:  # two at once, and a client that leaves amid a dump
            for number in (1, 2):
                ControlProtocol.write_message(sock, {"id": number, "command": command})
            assert [ControlProtocol.read_message(sock)["id"] for _ in (1, 2)] == [1, 2]
            ControlProtocol.write_message(sock, {"id": 3, "command": command})
        wait_until(lambda: "in hold" in ask(path, command).get("stack", ""), "the dump is free")
        gate.open()
        client.close()


def test_the_log_level_at_run_time(controlled):
    hook = "def pre_request(worker, req):\n    worker.log.debug('asked for %s', req.path)\n"
    one, path = controlled(config=hook, plain=False)

    def is_logged(name):
        one.get(f"/{name}")
        return f"asked for /{name}" in one.log

    assert not is_logged("before")
    assert ask(path, "log level DEBUG") == {"level": "debug"}
    wait_until(lambda: is_logged("debug"), "the worker logs it")
    one.process.send_signal(signal.SIGTTIN)  # a worker that is forked now has the level, too
    one.wait_for_log(r"\[DEBUG\] 2 workers")
    ask(path, "reopen")
    one.wait_for_log("Handling signal: usr1")
    assert is_logged("reopened")
    ask(path, "log level warning")
    wait_until(lambda: not is_logged(str(time.monotonic())), "the workers log it no longer")
    ask(path, "log level debug")
    ask(path, "reload")
    wait_until(lambda: not is_logged(str(time.monotonic())), "the configuration is in force")


# ---- config check ----


def test_a_config_check_says_what_a_reload_would_change(controlled, tmp_path):
    text = "workers = 1\ndef on_exit(server):\n    'no hook'\n"
    one, path = controlled(config=text, workers=None)
    assert ask(path, "config check")["changes"] == []
    one.config("# a comment\n" + text.replace("workers = 1", "workers = 3") + "timeout = 7\n")
    changes = ask(path, "config check")["changes"]
    assert changes == [
        {"name": "timeout", "now": "30", "then": "7"},
        {"name": "workers", "now": "1", "then": "3"},
    ]
    (tmp_path / "other.py").write_text(
        "def on_exit(server):\n    'else'\n    print()\ntimeotu = 1\n"
    )
    result = gunicornc(one, "-c", f"config check {tmp_path}/other.py")
    assert result.returncode == 0
    assert re.search(r"^on_exit +<on_exit\(\)> +<on_exit\(\)>$", result.stdout, re.MULTILINE)
    assert "timeotu" in result.stdout  # the name is no setting
    assert ask(path, "show config")["workers"] == 1
    assert ask(path, "show stats")["reloads"] == 0
    assert one.get()


@pytest.mark.parametrize(
    "text,reason",
    [
        ("workers = 'many'", "Invalid value for workers: 'many' (wrong.py, line 1): must be a"),
        ("workers = (", "SyntaxError: "),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("worker_class = 'none'", "Invalid value for worker_class (wrong.py, line 1)"),
        ("certfile = '/no/file'", "/no/file"),
        ("import sys; sys.exit(3)", "the configuration ends its process by sys.exit()"),
        ("import os; os._exit(3)", "or ended its process"),
        ("import os; os.kill(os.getpid(), 9)", "or ended its process"),
        ("import os; os.write(1, b'{}'); os.closerange(0, 99)", "or ended its process"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        (None, "doesn't exist"),
    ],
)
def test_a_wrong_configuration_is_one_line(shared, text, reason):
    one, path = shared
    file = one.cwd / "wrong.py"
    file.unlink(missing_ok=True)
    if text is not None:
        file.write_text(text)
    answer = ask(path, f"config check {file}")
    assert answer["success"] is False
    assert reason in answer["error"]
    assert "\n" not in answer["error"]
    assert one.get()
    assert "Traceback" not in one.log


def test_a_configuration_that_hangs(shared, tmp_path):
    one, path = shared
    pid_file = tmp_path / "pid"
    slow = tmp_path / "slow.py"
    slow.write_text(f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
                    "time.sleep(600)\n")  # fmt: skip
    with raw(path) as sock:
        ControlProtocol.write_message(sock, {"id": 1, "command": f"config check {slow}"})
        pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text(), "it runs"))
        assert ask(path, "show stats")["pid"] == one.pid
        with pytest.raises(ControlClientError, match="another config check runs"):
            ask(path, "config check")
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the child of a client that left")
    assert ask(path, "config check")["valid"]


def test_a_config_check_of_a_file_is_not_for_other_users(controlled, tmp_path):
    _, path = controlled("--control-socket-mode", "0o660")
    with pytest.raises(ControlClientError, match="needs a control_socket_mode of 0600"):
        ask(path, f"config check {tmp_path}/any.py")
    assert ask(path, "config check")["valid"]


# ---- clients that misbehave ----


def test_it_answers_while_every_worker_hangs(controlled):
    one, path = controlled(workers=2)
    pids = [worker["pid"] for worker in booted(path, 2)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        assert ask(path, "show workers")["count"] == 2
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_commands_sent_together_are_answered_in_order(controlled):
    one, path = controlled()
    commands = ["worker add", "show stats", "reload", "show stats", "help", "show workers"]
    with raw(path) as sock:
        messages = (
            ControlProtocol.encode_message({"id": i, "command": text})
            for i, text in enumerate(commands)
        )
        sock.sendall(b"".join(messages))
        answers = [ControlProtocol.read_message(sock) for _ in commands]
    assert [(answer["id"], answer["status"]) for answer in answers] == [
        (i, "ok") for i in range(len(commands))
    ]


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"{", id="cut"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"\xff\xfe", id="bytes"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b'{"command": 1}', id="number"),
        pytest.param(b'{"command": "help", "args": 3}', id="args"),
        pytest.param(b"[" * 5000, id="deep"),
        pytest.param(
            b'{"id": ' + b"[" * 3000 + b"]" * 3000 + b', "command": "help"}', id="deep id"
        ),
        pytest.param(b'{"command": "help", "args": [' + b"[" * 900 + b"]" * 901 + b"}", id="list"),
        pytest.param(b'{"id": "\\ud800", "command": "no"}', id="half a character"),
    ],
)
def test_garbage_in_a_message(shared, request_bytes):
    one, path = shared
    with raw(path) as sock:
        sock.sendall(struct.pack(">I", len(request_bytes)) + request_bytes)
        assert ControlProtocol.read_message(sock)["status"] == "error"
        ControlProtocol.write_message(sock, {"id": 7, "command": "help"})
        assert ControlProtocol.read_message(sock)["id"] == 7
    assert "Traceback" not in one.log


def test_bytes_that_are_no_message_end_the_session(controlled):
    one, path = controlled()
    with raw(path) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert "longer than" in ControlProtocol.read_message(sock)["error"]
        assert sock.recv(1) == b""
    assert ask(path, "help")


def test_clients_that_stall_and_flood_hold_up_nobody(controlled):
    one, path = controlled()
    stalled = [raw(path) for _ in range(40)]
    for sock in stalled:
        with contextlib.suppress(OSError):
            sock.sendall(b"\0\0")
    flood = raw(path)
    flood.setblocking(False)
    request = ControlProtocol.encode_message({"id": 1, "command": "show all"})
    with contextlib.suppress(OSError):  # it sends and does not read
        for _ in range(20000):
            flood.send(request)
    start = time.monotonic()
    assert ask(path, "show stats")["pid"] == one.pid
    assert one.get()
    assert time.monotonic() - start < 10
    for sock in [*stalled, flood]:
        sock.close()


def test_reloads_amid_clients_that_misbehave(controlled):
    """Each of them floods, stalls, sends garbage or leaves, while the master reloads and forks."""
    one, path = controlled(workers=2)
    over = threading.Event()

    def misbehave(number):
        chance = random.Random(number)
        while not over.is_set():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(0.1)
                sock.connect(path)
                sock.sendall(chance.choice(NASTY))
                if chance.random() < 0.5:
                    sock.recv(100)

    crowd = [threading.Thread(target=misbehave, args=(number,)) for number in range(6)]
    for member in crowd:
        member.start()
    try:
        for number in range(1, 6):
            one.process.send_signal(signal.SIGHUP)
            wait_until(lambda n=number: one.log.count("Hang up") >= n, "a reload", 20)
            assert one.get()
    finally:
        over.set()
        for member in crowd:
            member.join()
    assert len(booted(path, 2)) == 2
    assert ask(path, "config check")["changes"] == []
    assert "Traceback" not in one.log


def encoded(command):
    return ControlProtocol.encode_message({"id": 1, "command": command})


NASTY = [
    b"\xff\xff\xff\xff", b"\0", b"GET / HTTP/1.1\r\n\r\n", struct.pack(">I", 5000) + b"[" * 5000,
    encoded("show workers") * 50, encoded("stack 0") + encoded("help"), encoded("config check"),
    encoded("config check") * 3 + b"\0\0", encoded("worker kill 1"), encoded("log level \ud800"),
    encoded("log level info"), encoded("show stats")[:-1],
]  # fmt: skip


@needs_root
def test_other_users_are_refused_by_their_credentials(controlled, tmp_path):
    _, path = controlled()
    assert os.stat(path).st_mode & 0o777 == 0o600
    os.chmod(path, 0o666)  # the file would let them
    os.chmod(tmp_path, 0o711)
    opened = os.open(os.path.dirname(path), os.O_RDONLY)  # a way there

    def speak():
        os.fchdir(opened)
        with raw(os.path.basename(path)) as sock:
            ControlProtocol.write_message(sock, {"command": "shutdown quick"})
            return ControlProtocol.read_message(sock)

    assert re.match("ConnectionError|BrokenPipe|ConnectionReset", as_nobody(speak))
    assert ask(path, "help")


@needs_root
def test_a_mode_lets_others_ask(controlled, tmp_path):
    _, path = controlled("--control-socket-mode", "0o666")
    os.chmod(tmp_path, 0o711)
    opened = os.open(os.path.dirname(path), os.O_RDONLY)

    def speak():
        os.fchdir(opened)
        with raw(os.path.basename(path)) as sock:
            ControlProtocol.write_message(sock, {"command": "show dirty"})
            return ControlProtocol.read_message(sock)["status"]

    assert as_nobody(speak) == "ok"


# ---- the file ----


def test_each_server_has_its_own(controlled):
    first, path = controlled()
    second, other = controlled()
    assert other == path + ".2"
    assert ask(path, "show stats")["pid"] == first.pid
    assert ask(other, "show stats")["pid"] == second.pid
    several = gunicornc(first, "-c", "show stats")
    assert several.returncode == 1
    assert f"{first.pid}" in several.stderr
    assert other in several.stderr
    first.stop()
    assert not os.path.exists(path)
    alone = gunicornc(second, "-j", "-c", "show stats")
    assert json.loads(alone.stdout)["pid"] == second.pid


def test_gunicornc_without_a_server(controlled):
    one, path = controlled()
    one.stop()
    result = gunicornc(one, "-c", "help")
    assert result.returncode == 1
    assert "no server answers in" in result.stderr


def test_the_socket_of_a_dead_master_is_replaced(controlled):
    first, path = controlled()
    first.process.kill()
    first.process.wait()
    assert os.path.exists(path)
    second, again = controlled()
    assert again == path
    assert ask(path, "show stats")["pid"] == second.pid


def test_a_file_of_the_user_stays(controlled, tmp_path):
    (tmp_path / "gunicorn.ctl").write_text("precious")
    _, path = controlled()
    assert path.endswith(".2")
    assert (tmp_path / "gunicorn.ctl").read_text() == "precious"


def test_a_place_that_cannot_be_written_is_one_line(master):
    one = master(control=True, env={"XDG_RUNTIME_DIR": "/proc"})
    assert one.get()
    (line,) = [text for text in one.log.splitlines() if "gunicorn.ctl" in text]
    assert re.search(r"\[INFO\] Cannot open /proc/gunicorn.ctl: .*\. Control socket: none", line)
    assert "Traceback" not in one.log


def test_an_empty_name_is_none(master):
    one = master("--control-socket", "", control=True)
    assert one.get()
    assert "ontrol socket" not in one.log
    assert not list(one.cwd.glob("*.ctl*"))


def test_a_reload_moves_it(controlled, tmp_path):
    one, path = controlled(config="")
    with session(path) as client:
        one.config(f"control_socket = '{tmp_path}/else/other.ctl'\n")
        client.send_command("reload")
        one.wait_for_log("Control socket: .*other.ctl")
        assert not os.path.exists(path)
        assert client.send_command("show stats")["reloads"] == 1
    one.config("control_socket_disable = True\n")
    ask(f"{tmp_path}/else/other.ctl", "reload")
    wait_until(lambda: not os.path.exists(f"{tmp_path}/else/other.ctl"), "the socket is gone")
    assert one.get()


def test_a_reload_that_fails_leaves_it(controlled):
    one, path = controlled(config="")
    one.config("control_socket = '/tmp/never.ctl'\nworkers = 'many'\n")
    ask(path, "reload")
    one.wait_for_log("The reload failed")
    assert ask(path, "show stats")["reloads"] == 1
    assert not os.path.exists("/tmp/never.ctl")


def test_an_upgrade_hands_it_over(controlled):
    one, path = controlled()
    one.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: os.path.exists(path + ".2"), "the new master's socket")
    new = wait_until(lambda: _pid_or_none(path + ".2"), "the new master answers")
    assert ask(path, "show stats")["pid"] == one.pid
    with session(path + ".2") as client:
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(20) == 0
        wait_until(lambda: _pid_or_none(path) == new, "it has the path of the old one")
        assert client.send_command("show stats")["pid"] == new
    assert not os.path.exists(path + ".2")
    ask(path, "shutdown quick")
    wait_until(lambda: not os.path.exists(path), "it has ended")


def _pid_or_none(path):
    try:
        return ask(path, "show stats")["pid"]
    except ControlClientError:
        return None


def test_nothing_leaks_over_reloads(controlled):
    one, path = controlled()

    def reload(number):
        ask(path, "reload")
        wait_until(
            lambda: ask(path, "show stats")["workers_spawned"] > number, "a new worker", 20, 0.01
        )
        booted(path, 1)

    for number in range(3):
        reload(number + 1)
    before = len(os.listdir(f"/proc/{one.pid}/fd")), _resident(one.pid)
    with session(path) as client:
        for number in range(3, RELOADS + 3):
            reload(number + 1)
            assert client.send_command("show stats")["reloads"] == number + 1
    wait_until(
        lambda: len(os.listdir(f"/proc/{one.pid}/fd")) <= before[0],
        lambda: f"{before[0]} descriptors: {os.listdir(f'/proc/{one.pid}/fd')}",
    )
    assert _resident(one.pid) - before[1] < 4 * 2**20
    assert os.listdir(os.path.dirname(path)).count("gunicorn.ctl") == 1


def _resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


# ---- gunicornc ----


def test_one_command(controlled):
    one, path = controlled()
    booted(path, 1)
    result = gunicornc(one, "-s", path, "-c", "show workers")
    assert result.returncode == 0
    assert re.search(r"PID +AGE +BOOTED", result.stdout)
    assert re.search(rf"{one.worker_pids()[0]} +1 +yes", result.stdout)
    result = gunicornc(one, "-c", "shutdown sideways")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: shutdown is graceful or quick")
    assert gunicornc(one, "-v").stdout == "gunicornc (gunicorn 27.0.1)\n"


@pytest.mark.parametrize("command", ["show config", "top 1"])
def test_a_reader_that_leaves(shared, command):
    one, path = shared
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w") as output:
        result = subprocess.run(
            [sys.executable, "-m", "gunicorn.ctl.cli", "-s", path, "-c", command],
            stdout=output, stderr=subprocess.PIPE, text=True, timeout=30, env=one.env,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (141, "")


def test_a_session_in_a_terminal_with_history(controlled):
    one, path = controlled()
    with Terminal([sys.executable, "-m", "gunicorn.ctl.cli"], one.env) as terminal:
        terminal.expect("gunicorn> ")
        terminal.type("show stats\n")
        terminal.expect("workers wanted +1")
        terminal.expect("gunicorn> ")
        terminal.type("\x1b[A\n")  # the last command again
        terminal.expect("workers wanted +1")
        terminal.expect("gunicorn> ")
        terminal.type("nonsense\n")
        terminal.expect("unknown command: nonsense")
        terminal.expect("gunicorn> ")
        terminal.type("quit\n")
        assert terminal.wait() == 0
    history = Path(one.env["HOME"]) / ".gunicornc_history"
    assert "show stats" in history.read_text()


def test_top_without_a_terminal(controlled):
    one, path = controlled(workers=2)
    booted(path, 2)
    result = gunicornc(one, "-c", "top 2")
    assert (result.returncode, result.stderr) == (0, "")
    titles = r"SLOT +PID +PHASE +AGE +REQ/S +RUNNING +QUEUED +WAIT p50 +p99 +RSS +REQUEST"
    assert len(re.findall(titles, result.stdout)) == 2
    assert len(re.findall(r"^[01] +\d+ +ready", result.stdout, re.MULTILINE)) == 4
    assert gunicornc(one, "-c", "top x").returncode == 1


def test_top_in_a_terminal(controlled):
    one, path = controlled(app="process.status_app:app", plain=False)
    (worker,) = booted(path, 1)
    one.get()
    with Gate() as gate:
        client = one.ask(f"/hold{gate.path}")
        with Terminal([sys.executable, "-m", "gunicorn.ctl.cli", "-c", "top"], one.env) as terminal:
            terminal.expect(f"{worker['pid']} +ready")
            terminal.expect("<[0-9.]+m?s +<[0-9.]+m?s +[0-9.]+M")  # of the first request
            terminal.expect("s GET /hold")
            terminal.expect("order by slot")
            terminal.type("o")
            terminal.expect("rate")
            terminal.type("s")
            terminal.expect("in hold")
            terminal.expect("press a key to go back")
            terminal.type(" ")
            terminal.expect(str(worker["pid"]))
            terminal.type("q")
            assert terminal.wait() == 0
        gate.open()
        client.close()


@pytest.mark.parametrize("term", ["no-such-terminal", "dumb", ""])
def test_top_in_a_terminal_that_cannot_show_it(shared, term):
    one, path = shared
    command = [sys.executable, "-m", "gunicorn.ctl.cli", "-s", path, "-c", "top"]
    with Terminal(command, one.env, term) as terminal:
        terminal.expect(f"Error: TERM={term} is unknown on this machine.* top 1 prints the workers")
        assert terminal.wait() == 1


# ---- beside the original ----

COMMANDS = (
    "show all", "show workers", "show dirty", "show config", "show stats", "show listeners",
    "worker add 2", "worker remove 2", "help", "reopen", "reload", "shutdown graceful",
)  # fmt: skip


def theirs() -> str:
    return str(Path(original_gunicorn()[0]).with_name("gunicornc"))


def test_their_gunicornc_with_our_server(controlled):
    one, path = controlled()
    booted(path, 1)
    for command in COMMANDS:
        result = gunicornc(one, "-c", command, command=[theirs()])
        assert (result.returncode, result.stderr) == (0, ""), command
    assert one.process.wait(20) == 0


def test_our_gunicornc_with_their_server(tmp_path):
    path = str(tmp_path / "their.ctl")
    arguments = ["-b", "127.0.0.1:0", "--control-socket", path, "process.plain:app"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "HOME": str(tmp_path)}
    with subprocess.Popen([*original_gunicorn(), *arguments], env=env, stderr=-1) as server:
        try:
            wait_until(lambda: os.path.exists(path), "their socket")
            wait_until(lambda: _pid_or_none(path) == server.pid, "it answers")
            for command in COMMANDS:
                wait_until(lambda: _answer(path, "help"), "it is not forking")
                result = subprocess.run(
                    [sys.executable, "-m", "gunicorn.ctl.cli", "-s", path, "-c", command],
                    capture_output=True,
                    text=True,
                    timeout=30,
                )
                assert (result.returncode, result.stderr) == (0, ""), command
                assert result.stdout.strip(), command
            assert server.wait(20) == 0
        finally:
            server.kill()


def test_the_answers_have_their_keys(controlled, tmp_path):
    _, ours = controlled()
    path = str(tmp_path / "their.ctl")
    arguments = ["-b", "127.0.0.1:0", "--control-socket", path, "process.plain:app"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "HOME": str(tmp_path)}
    with subprocess.Popen([*original_gunicorn(), *arguments], env=env, stderr=-1) as server:
        try:
            wait_until(lambda: _pid_or_none(path) == server.pid, "it answers")
            for command in COMMANDS[:-3]:
                their = wait_until(lambda text=command: _answer(path, text), "it is not forking")
                missing = _shape(their) - _shape(ask(ours, command))
                assert not {key for key in missing if "commands" not in key}, command
        finally:
            server.kill()


def _answer(path, command):
    """The answer; None while the original has closed its socket to fork."""
    try:
        return ask(path, command)
    except ControlClientError:
        return None


def _shape(value, above=""):
    """The keys of an answer, with those of the objects in it."""
    if isinstance(value, dict):
        keys = {f"{above}.{key}" for key in value}
        return keys.union(*(_shape(item, f"{above}.{key}") for key, item in value.items()))
    if isinstance(value, list):
        return set().union(*(_shape(item, f"{above}[]") for item in value))
    return set()
