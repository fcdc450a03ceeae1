"""SIGHUP: the new configuration takes effect, or nothing changes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path

import pytest
from helpers.server import free_port
from helpers.status_port import Port
from helpers.wire import wait_until

CONFIG = "raw_env = ['COLOUR=%s']\n"


def replaced(one, old, count):
    """Until `count` workers serve and none of `old` is among them."""
    one.wait_gone(old)
    return one.wait_workers(count)


def test_a_new_configuration_takes_effect(master, tmp_path):
    one = master(config=CONFIG % "red", workers=1, plain=True)
    old = one.wait_workers(1)
    assert one.get("/env/COLOUR") == "red"
    one.config(
        CONFIG % "blue" + "proc_name = 'renamed'\n"
        "def post_fork(server, worker):\n    server.log.info('new hook')\n"
    )
    one.kill(signal.SIGHUP)
    replaced(one, old, 1)
    assert one.get("/env/COLOUR") == "blue"
    assert "Hang up: Master" in one.log
    assert "new hook" in one.log
    assert one.stop() == 0


def test_the_number_of_workers_changes(master):
    one = master(config="workers = 3\n", workers=None)
    old = one.wait_workers(3)
    for count in (1, 4):
        one.config(f"workers = {count}\n")
        one.kill(signal.SIGHUP)
        old = replaced(one, old, count)
    assert one.stop() == 0


def test_old_workers_serve_until_a_new_one_is_ready(master, gate):
    one = master(workers=2, config="")
    old = one.wait_workers(2)
    one.config(gate.hook("post_worker_init(worker)"))
    one.kill(signal.SIGHUP)
    gate.wait()
    assert set(old) < set(one.worker_pids()), "all the old ones live"
    assert len(one.worker_pids()) == 3, "one new worker is tried"
    assert int(one.get()) in old
    gate.open()
    gate.step()
    one.wait_gone(old)
    one.wait_workers(2)
    assert one.stop() == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0\n", "ZeroDivisionError"),
        ("workers = 'many'\n", "many"),
        ("def on_reload(server):\n    raise RuntimeError('not today')\n", "not today"),
        ("def syntax error\n", "SyntaxError"),
        ("keyfile = '/nowhere/key'\n", "/nowhere/key"),
    ],
)
def test_a_broken_configuration_changes_nothing(master, text, words):
    one = master(config=CONFIG % "red", workers=2)
    old = one.wait_workers(2)
    one.get()
    one.config(CONFIG % "blue" + text)
    one.kill(signal.SIGHUP)
    one.wait_for_log("The reload failed, everything stays as it was")
    assert words in one.log
    assert one.wait_workers(2) == old
    assert one.get("/env/COLOUR") == "red"
    one.config(CONFIG % "green")
    one.kill(signal.SIGHUP)
    replaced(one, old, 2)
    assert one.get("/env/COLOUR") == "green"
    assert one.stop() == 0


@pytest.mark.parametrize("preload", [False, True])
def test_a_broken_application_changes_nothing(master, tmp_path, preload):
    module = tmp_path / "changing.py"
    module.write_text("def app(e, s):\n    return [b'one']\n")
    one = master(
        *(["--preload"] if preload else []),
        app="changing:app",
        workers=2,
    )
    old = one.wait_workers(2)
    assert one.get() == "one"
    module.write_text("1 / 0  # broken\n")
    one.kill(signal.SIGHUP)
    one.wait_for_log("The reload failed, everything stays as it was")
    assert "ZeroDivisionError" in one.log
    assert one.wait_workers(2) == old
    assert one.get() == "one"
    module.write_text("def app(e, s):\n    return [b'three']\n")
    one.kill(signal.SIGHUP)
    replaced(one, old, 2)
    assert one.get() == "three"
    assert one.stop() == 0


@pytest.mark.parametrize("hups", [1, 2])
def test_a_reload_amid_the_first_start_that_fails(master, tmp_path, gate, hups):
    """One worker serves, the others are still to load the code, which is broken by then."""
    module = tmp_path / "changing.py"
    module.write_text("def app(e, s):\n    return [b'one']\n")
    wait = gate.hook("post_fork(server, worker)").replace(
        ":\n", ":\n    if worker.age == 1: return\n", 1
    )
    one = master(app="changing:app", workers=3, config=wait)
    gate.wait(2)
    (first,) = wait_until(lambda: one.ready_pids(), "one serves")
    module.write_text("1 / 0  # broken\n")
    for _ in range(hups):
        one.kill(signal.SIGHUP)
        gate.wait(len(gate.waiting) + 1)
    gate.open()
    for _ in range(2):  # for those that replace them
        gate.step(2)
    one.wait_for_log("failed to boot; 1 serve meanwhile")
    assert "The reload failed, everything stays as it was" in one.log
    assert one.get() == "one"
    assert first in one.worker_pids()
    module.write_text("def app(e, s):\n    return [b'three']\n")
    one.config("")
    one.kill(signal.SIGHUP)
    one.wait_for_log("Hang up" + ".*Hang up" * hups)
    gate.open()
    replaced(one, [first], 3)
    assert one.get() == "three"
    assert one.stop() == 0


def test_a_worker_that_cannot_say_why_it_ends_is_no_second_master(master):
    """Its standard error is on a full disk; what the master does must not go on in it."""
    one = master(config="", workers=1)
    old = one.wait_workers(1)
    one.config(
        "import os\n"
        "def post_worker_init(worker):\n"
        "    os.dup2(os.open('/dev/full', os.O_WRONLY), 2)\n"
        "    raise RuntimeError('not today')\n"
    )
    one.kill(signal.SIGHUP)
    one.wait_for_log("The reload failed, everything stays as it was: its first worker")
    wait_until(lambda: one.worker_pids() == old, "the new worker is gone", 15)
    assert int(one.get()) in old
    assert one.stop() == 0


WORD = "def app(e, s):\n    return [b'%s']\n"


@pytest.mark.parametrize("preload", [False, True])
def test_a_directory_that_was_made_anew(master, tmp_path, preload):
    """As a deployment does that removes the old directory: the path leads to another one."""
    place = tmp_path / "site"
    place.mkdir()
    (place / "changing.py").write_text(WORD % "one")
    one = master("--chdir", "site", *(["--preload"] if preload else []), app="changing:app")
    old = one.wait_workers(1)
    assert one.get() == "one"
    place.rename(tmp_path / "before")
    shutil.rmtree(tmp_path / "before")
    one.kill(signal.SIGHUP)
    one.wait_for_log("The reload failed, everything stays as it was")
    assert "can't chdir to 'site'" in one.log
    assert one.wait_workers(1) == old
    assert one.get() == "one"
    place.mkdir()
    (place / "changing.py").write_text(WORD % "fourteen")
    one.kill(signal.SIGHUP)
    replaced(one, old, 1)
    assert one.get() == "fourteen"
    assert one.stop() == 0


def test_preload_loads_new_code(master, tmp_path):
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("WORD = b'one'\n")
    (package / "web.py").write_text(
        "from pack.part import WORD\ndef app(e, s):\n    return [WORD]\n"
    )
    one = master("--preload", app="pack.web:app", workers=1)
    old = one.wait_workers(1)
    assert one.get() == "one"
    (package / "part.py").write_text("WORD = b'fourteen'\n")
    one.kill(signal.SIGHUP)
    replaced(one, old, 1)
    assert one.get() == "fourteen"
    assert one.stop() == 0


def test_bind_changes_and_what_stays_keeps_its_socket(master, tmp_path):
    first, second, third = free_port(), free_port(), tmp_path / "s"
    one = master(bind=[], config=f"bind = ['127.0.0.1:{first}', '127.0.0.1:{second}']\n")
    old = one.wait_workers(1)
    one.get()
    one.config(f"bind = ['127.0.0.1:{second}', 'unix:{third}']\n")
    one.kill(signal.SIGHUP)
    replaced(one, old, 1)
    one.addresses = [("127.0.0.1", second)]
    one.get()
    one.addresses = [str(third)]
    one.get()
    one.addresses = [("127.0.0.1", first)]
    with pytest.raises(ConnectionRefusedError):
        one.get()
    assert one.stop() == 0
    assert not third.exists()


def exchange_of(pid: int) -> set[str]:
    """The sockets by which a worker hands over requests, as the kernel numbers them."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    found = {f"socket:[{words[6]}]" for words in lines if words[4] == "0005"}  # SOCK_SEQPACKET
    return found & {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}


@pytest.mark.parametrize("also", ["", "reuse_port = True\n"])
def test_requests_go_to_workers_on_the_same_listeners(master, also):
    """And to no others: nor do new workers keep what the old ones have sent to each other."""
    first, second = free_port(), free_port()
    one = master(bind=[], config=f"bind = '127.0.0.1:{first}'\n" + also, launch=bool(also))
    one.addresses = [("127.0.0.1", first)]
    old = one.wait_workers(1)
    ends = exchange_of(*old)
    assert len(ends) == 2
    one.kill(signal.SIGHUP)
    new = replaced(one, old, 1)
    assert exchange_of(*new) == ends
    one.config(f"bind = '127.0.0.1:{second}'\n" + also)
    one.kill(signal.SIGHUP)
    others = exchange_of(*replaced(one, new, 1))
    assert len(others) == 2
    assert others.isdisjoint(ends)
    assert one.stop() == 0


def test_an_address_that_cannot_be_bound_changes_nothing(master):
    port = free_port()
    one = master(bind=[], config=f"bind = '127.0.0.1:{port}'\n")
    old = one.wait_workers(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        one.config(f"bind = '127.0.0.1:{taken.getsockname()[1]}'\n")
        one.kill(signal.SIGHUP)
        one.wait_for_log("The reload failed, everything stays as it was")
    assert one.worker_pids() == old
    one.get()
    assert one.stop() == 0


def test_the_pidfile_moves(master, tmp_path):
    a, b = tmp_path / "a.pid", tmp_path / "b.pid"
    one = master(config=f"pidfile = '{a}'\n")
    old = one.wait_workers(1)
    assert a.read_text() == f"{one.pid}\n"
    one.config(f"pidfile = '{b}'\n")
    one.kill(signal.SIGHUP)
    replaced(one, old, 1)
    wait_until(lambda: b.exists() and not a.exists(), "moved")
    assert b.read_text() == f"{one.pid}\n"
    assert one.stop() == 0
    assert not b.exists()


def test_reload_while_reloading(master, gate):
    one = master(config="", workers=2)
    old = one.wait_workers(2)
    one.config(gate.hook("post_worker_init(worker)"))
    one.kill(signal.SIGHUP)
    gate.wait()
    one.config(CONFIG % "last")
    one.kill(signal.SIGHUP)
    one.wait_for_log("Hang up.*Hang up")
    gate.open()
    replaced(one, old, 2)
    assert one.get("/env/COLOUR") == "last"
    assert one.stop() == 0


def places(tmp_path, name: str) -> str:
    """A configuration whose sockets and pidfile are of this name."""
    return (
        f"bind = 'unix:{tmp_path}/{name}.bind'\n"
        f"status_bind = 'unix:{tmp_path}/{name}.status'\n"
        f"pidfile = '{tmp_path}/{name}.pid'\n"
    )


def made(tmp_path) -> list[str]:
    return sorted(path.name for path in tmp_path.iterdir() if path.stem in ("a", "b"))


def test_a_reload_that_takes_the_last_one_back(master, gate, tmp_path):
    one = master(bind=[], config=places(tmp_path, "a"))
    old = one.wait_workers(1)
    one.config(places(tmp_path, "b") + gate.hook("post_worker_init(worker)"))
    one.kill(signal.SIGHUP)
    gate.wait()
    one.config(places(tmp_path, "a") + CONFIG % "last")
    one.kill(signal.SIGHUP)
    one.wait_gone(old)
    gate.open()
    replaced(one, old, 1)
    assert one.get("/env/COLOUR") == "last"
    assert Port(f"{tmp_path}/a.status").text("/ready").startswith("ready")
    wait_until(lambda: made(tmp_path) == ["a.bind", "a.pid", "a.status"], lambda: made(tmp_path))
    assert one.stop() == 0
    assert made(tmp_path) == []


def test_a_reload_to_no_worker_at_all(master, tmp_path):
    one = master(bind=[], config="workers = 1\n" + places(tmp_path, "a"), workers=None)
    old = one.wait_workers(1)
    one.config("workers = 0\n" + places(tmp_path, "b"))
    one.kill(signal.SIGHUP)
    one.wait_gone(old)
    wait_until(lambda: made(tmp_path) == ["b.bind", "b.pid", "b.status"], lambda: made(tmp_path))
    one.kill(signal.SIGTTIN)
    one.wait_workers(1)
    assert one.stop() == 0
    assert made(tmp_path) == []


def test_a_stop_amid_a_reload_leaves_nothing_behind(master, gate, tmp_path):
    one = master(bind=[], config=places(tmp_path, "a"))
    one.wait_workers(1)
    one.config(places(tmp_path, "b") + gate.hook("post_worker_init(worker)"))
    one.kill(signal.SIGHUP)
    gate.wait()
    one.kill(signal.SIGTERM)
    one.wait_for_log("Handling signal: term")
    gate.open()
    assert one.wait() == 0
    assert made(tmp_path) == []


def test_recycling_boots_the_successor_first(master):
    one = master("--max-requests", "3", workers=1)
    (old,) = one.wait_workers(1)
    for _ in range(3):
        assert one.get() == str(old)
    one.wait_gone([old])
    one.wait_workers(1)
    log = one.log
    assert "Autorestarting worker after current request." in log
    successor = log.rindex("Booting worker with pid")
    assert successor < log.index(f"Worker exiting (pid: {old})")
    assert one.stop() == 0
