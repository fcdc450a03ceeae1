"""SIGUSR2: a second master on the same sockets, promotion and rollback."""

from __future__ import annotations

import os
import re
import signal

import pytest
from helpers.server import TESTS, free_port, gunicorn_command
from helpers.wire import wait_until

CONFIG = "pidfile = %r\ndef pre_exec(server):\n    server.log.info('pre_exec ran')\n"


def upgraded(one, tmp_path) -> int:
    """The second master, started by SIGUSR2."""
    second = tmp_path / "pid.2"
    one.kill(signal.SIGUSR2)
    wait_until(second.exists, f"{second}\n{one.log}")
    pid = int(second.read_text())
    wait_until(lambda: len(children(pid)) == 1, "it has its worker")
    return pid


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def title(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().rstrip(b"\0").decode()


def parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_upgrade_and_promotion(master, tmp_path):
    one = master("--name", "shop", config=CONFIG % str(tmp_path / "pid"))
    one.get()
    new = upgraded(one, tmp_path)
    try:
        assert "pre_exec ran" in one.log
        assert title(new) == "gunicorn: master [shop.2]"
        waited_for = {*children(new), *(set(children(one.pid)) - {new})}
        wait_until(lambda: waited_for.discard(int(one.get())) or not waited_for, "both serve")
        one.kill(signal.SIGUSR2)
        one.wait_for_log("USR2 signal ignored. Child exists.")
        os.kill(new, signal.SIGUSR2)
        one.wait_for_log("USR2 signal ignored. Parent exists.")

        one.kill(signal.SIGQUIT)
        assert one.wait() == 0
        one.wait_for_log("Master has been promoted.")
        wait_until(lambda: not (tmp_path / "pid.2").exists(), "the pidfile is renamed")
        assert (tmp_path / "pid").read_text() == f"{new}\n"
        assert title(new) == "gunicorn: master [shop]"
        assert [int(one.get())] == children(new)
    finally:
        os.kill(new, signal.SIGTERM)
        one.wait_gone([new])
    assert not (tmp_path / "pid").exists()


def test_rollback(master, tmp_path):
    """As the documentation of signals teaches it: HUP to the old master, QUIT to the new."""
    one = master(config=CONFIG % str(tmp_path / "pid"), workers=1)
    new = upgraded(one, tmp_path)
    old = set(children(one.pid)) - {new}
    one.kill(signal.SIGHUP)
    one.wait_gone(old)
    os.kill(new, signal.SIGQUIT)
    one.wait_gone([new])
    wait_until(lambda: len(children(one.pid)) == 1, "only workers are left")
    assert [int(one.get())] == children(one.pid)
    assert (tmp_path / "pid").read_text() == f"{one.pid}\n"
    second = upgraded(one, tmp_path)  # and it can be tried again
    os.kill(second, signal.SIGTERM)
    one.wait_gone([second])
    one.get()
    assert one.stop() == 0


@pytest.mark.parametrize("named", [(), ("-c", "gunicorn.conf.py")])
def test_it_begins_in_the_first_start_directory(master, tmp_path, named):
    """All that is relative means the same again; the configuration file changes the directory."""
    for name in ("site", "modules"):
        (tmp_path / name).mkdir()
    (tmp_path / "modules" / "web.py").write_text("from process.plain import app\n")
    config = "chdir = 'site'\npidfile = 'pid'\nraw_env = ['COLOUR=%s']\n"
    program = os.path.relpath(gunicorn_command()[0], tmp_path)
    path = os.pathsep.join(["modules", str(TESTS)])
    one = master(
        *named, app="web:app", config=config % "red", command=[program], env={"PYTHONPATH": path}
    )
    assert one.get("/env/COLOUR") == "red"
    one.config(config % "blue")
    new = upgraded(one, tmp_path / "site")
    try:
        assert one.stop() == 0
        assert one.get("/cwd") == str(tmp_path / "site")
        assert one.get("/env/COLOUR") == "blue"
    finally:
        os.kill(new, signal.SIGTERM)
        one.wait_gone([new])


def test_it_follows_a_link_to_the_deployment_of_today(master, tmp_path):
    """As `cd /srv/shop/current; gunicorn` has it: the shell sets PWD."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gunicorn.conf.py").write_text(
            f"chdir = '/'\npidfile = '{tmp_path}/pid'\nraw_env = ['RELEASE={name}']\n"
        )
    link = tmp_path / "current"
    link.symlink_to("one")
    shell = ["sh", "-c", f'cd {link} && exec "$@"', "sh", *gunicorn_command()]
    one = master(command=shell)
    assert one.get("/env/RELEASE") == "one"
    link.unlink()
    link.symlink_to("two")
    new = upgraded(one, tmp_path)
    try:
        assert one.stop() == 0
        assert one.get("/env/RELEASE") == "two"
    finally:
        os.kill(new, signal.SIGTERM)
        one.wait_gone([new])


def test_a_unix_socket_survives_the_old_master(master, tmp_path):
    path = tmp_path / "s"
    one = master(bind=[f"unix:{path}"], config=CONFIG % str(tmp_path / "pid"))
    new = upgraded(one, tmp_path)
    assert one.stop() == 0
    wait_until(lambda: not (tmp_path / "pid.2").exists(), "promoted")
    one.get()
    os.kill(new, signal.SIGTERM)
    one.wait_gone([new])
    assert not path.exists()


def test_a_reload_leaves_what_two_masters_share(master, tmp_path):
    path, port, pidfile = tmp_path / "s", free_port(), f"pidfile = '{tmp_path / 'pid'}'\n"
    one = master(bind=[], config=f"bind = ['unix:{path}', '127.0.0.1:{port}']\n" + pidfile)
    old = set(one.wait_workers(1))
    new = upgraded(one, tmp_path)
    try:
        one.config(f"bind = '127.0.0.1:{free_port()}'\n" + pidfile)
        one.kill(signal.SIGHUP)
        one.wait_gone(old)
        for address in (str(path), ("127.0.0.1", port)):
            one.addresses = [address]
            assert [int(one.get())] == children(new)
    finally:
        os.kill(new, signal.SIGTERM)
        one.wait_gone([new])
    assert one.stop() == 0


def test_a_status_port_that_is_given_up(master, tmp_path):
    """The second master, which has none, does not tell the third of the first one's."""
    config = CONFIG % str(tmp_path / "pid")
    one = master(config=f"status_bind = 'unix:{tmp_path}/status'\n" + config)
    one.wait_workers(1)
    one.config(config)
    new = upgraded(one, tmp_path)
    try:
        assert one.stop() == 0
        wait_until(lambda: not (tmp_path / "pid.2").exists(), "promoted")
        os.kill(new, signal.SIGUSR2)
        wait_until((tmp_path / "pid.2").exists, lambda: one.log)
        third = int((tmp_path / "pid.2").read_text())
        wait_until(lambda: len(children(third)) == 1, lambda: one.log)
    finally:
        os.kill(new, signal.SIGTERM)
        one.wait_gone([new])
    wait_until(lambda: not (tmp_path / "pid.2").exists(), "promoted")
    os.kill(third, signal.SIGTERM)
    one.wait_gone([third])


def test_a_new_program_that_fails_leaves_the_old_master(master, tmp_path):
    one = master(config=CONFIG % str(tmp_path / "pid"))
    one.config("1 / 0\n")
    one.kill(signal.SIGUSR2)
    one.wait_for_log("ZeroDivisionError")
    one.wait_workers(1)  # and no other child
    one.get()
    one.config(CONFIG % str(tmp_path / "pid"))
    new = upgraded(one, tmp_path)
    os.kill(new, signal.SIGTERM)
    one.wait_gone([new])
    assert one.stop() == 0


def test_pre_exec_that_fails(master, tmp_path):
    one = master(config="def pre_exec(server):\n    raise RuntimeError('not now')\n")
    one.kill(signal.SIGUSR2)
    one.wait_for_log("not now")
    one.wait_workers(1)  # and no other child
    one.get()
    assert one.stop() == 0
    assert len(re.findall("Shutting down", one.log)) == 1
