"""The master with the workers that people use."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from helpers.gate import Gate
from helpers.idleness import assert_idle
from helpers.server import THREAD_SANITIZED
from helpers.tls import TlsConnection
from helpers.wire import render, wait_until

KINDS = {"sync": ["-k", "sync"], "gthread": ["-k", "gthread", "--threads", "4"]}


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture
def server(kind, master, tmp_path):
    (tmp_path / "web.py").write_text("from process.plain import app\n")

    def start(*args, workers=1, **options):
        return master(*KINDS[kind], *args, app="web:app", workers=workers, plain=False, **options)

    return start


def test_workers_go_when_the_master_is_killed(server, gate):
    one = server(workers=2)
    workers = one.wait_workers(2)
    with one.ask(f"/gate{gate.path}") as client:
        gate.wait()
        one.kill(signal.SIGKILL)
        one.wait()
        gate.open()
        assert client.read_response("GET").status == 200, "what runs is finished"
    one.wait_gone(workers)


@pytest.mark.skipif(THREAD_SANITIZED, reason="the sanitizer has a thread of its own")
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_an_idle_server_makes_no_system_call(server):
    one = server("--timeout", "1", "--keep-alive", "1", workers=2)
    workers = one.wait_workers(2)
    for _ in range(4):
        one.request()
    time.sleep(3)  # until keepalive and timeout are over
    assert_idle([one.pid, *workers], one.cwd / "trace", ["poll(", "epoll_", "futex("])
    assert one.request().status == 200
    assert one.stop() == 0


def test_the_request_that_takes_too_long_is_named(server, kind):
    if kind != "sync":
        pytest.skip("timeout is for each request in sync workers only")
    one = server("--timeout", "1")
    (worker,) = one.wait_workers(1)
    one.request()
    for path in ("/sleep/30", "/stuck"):
        before = len(one.log)
        (worker,) = one.wait_workers(1)
        with one.ask(path):
            one.wait_for_log(rf"WORKER TIMEOUT \(pid:{worker}\)", start=before)
            told = one.wait_for_log(
                rf"Worker \(pid:{worker}\) has been running GET {path} for ([\d.]+) s", start=before
            )
            assert float(told[1]) >= 1
            one.wait_for_log(r"File .*plain\.py\", line \d+ in app", start=before)
        one.wait_gone([worker])
        one.wait_workers(1)
    assert one.request().status == 200
    assert one.stop() == 0


def test_threads_may_take_long(server, kind):
    if kind != "gthread":
        pytest.skip("of threads")
    one = server("--timeout", "1")
    with one.ask("/sleep/3") as client:
        assert client.read_response("GET").status == 200
    assert "WORKER TIMEOUT" not in one.log
    assert one.stop() == 0


def test_threads_that_hang_in_c_code_are_found(server, kind):
    if kind != "gthread":
        pytest.skip("of threads")
    one = server("--timeout", "1")
    (worker,) = one.wait_workers(1)
    one.request()
    time.sleep(2.5)  # idle for long enough to be let alone
    with one.ask("/sleep/2.5") as client:
        assert client.read_response("GET").status == 200
    assert "WORKER TIMEOUT" not in one.log
    with one.ask("/stuck"):
        one.wait_for_log(rf"WORKER TIMEOUT \(pid:{worker}\)")
        one.wait_for_log(r"File .*plain\.py\", line \d+ in app")
    one.wait_gone([worker])
    one.wait_workers(1)
    assert one.request().status == 200
    assert one.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stopping_while_a_request_runs(server, gate, number):
    one = server("--graceful-timeout", "5")
    with one.ask(f"/gate{gate.path}") as client:
        gate.wait()
        one.kill(number)
        if number == signal.SIGTERM:
            one.wait_for_log("Handling signal: term")
            gate.open()
            assert client.read_response("GET").status == 200
        assert one.wait() == 0


def test_a_worker_that_crashes_says_where(server, tmp_path):
    one = server()
    (worker,) = one.wait_workers(1)
    (tmp_path / "web.py").write_text("import ctypes\ndef app(e, s):\n    ctypes.string_at(0)\n")
    one.kill(signal.SIGHUP)
    one.wait_gone([worker])
    (worker,) = one.wait_workers(1)
    with one.ask("/crash"):
        one.wait_for_log(r"Fatal Python error: Segmentation fault")
        one.wait_for_log(r"File .*web\.py\", line 3 in app")
        one.wait_for_log(rf"Worker \(pid:{worker}\) was sent SIGSEGV!")
    one.wait_workers(1)
    assert one.stop() == 0


def ask_over_tls(one, authority, path="/"):
    client = TlsConnection(one.address, authority.client())
    client.send(render(target=path))
    return client


def pid_over_tls(one, authority):
    with ask_over_tls(one, authority) as client:
        return int(client.read_response().body)


def test_a_worker_that_ttin_adds_has_its_share_of_the_clients_over_tls(server, authority):
    """A connection over TLS stays with the worker that has accepted it."""
    one = server(*authority.issue().args)
    (first,) = one.wait_workers(1)
    one.kill(signal.SIGTTIN)
    (second,) = set(one.wait_workers(2)) - {first}
    pids = [pid_over_tls(one, authority) for _ in range(20)]
    assert min(pids.count(first), pids.count(second)) >= 5


def listeners_of(pid, port):
    """The descriptors of a process that listen on a port."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    inodes = {
        row[9] for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port
    }
    links = {fd.name: os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    return {fd for fd, link in links.items() if link in {f"socket:[{inode}]" for inode in inodes}}


def watches(pid, fds):
    """Whether an epoll instance of a process has one of these descriptors."""
    infos = (info.read_text() for info in Path(f"/proc/{pid}/fdinfo").iterdir())
    return any(
        fd in fds for info in infos for fd in re.findall(r"^tfd: +(\d+)", info, re.MULTILINE)
    )


def test_a_busy_worker_leaves_clients_over_tls_to_one_that_ttin_has_added(master, authority):
    one = master(*authority.issue().args, app="process.plain:app", plain=False)
    (first,) = one.wait_workers(1)
    listeners = listeners_of(first, one.address[1])
    assert watches(first, listeners)
    with Gate() as gate:
        held = ask_over_tls(one, authority, f"/gate{gate.path}")
        gate.wait()
        one.kill(signal.SIGTTIN)
        one.wait_workers(2)
        wait_until(lambda: not watches(first, listeners), "it leaves new clients to the other")
        pids = {pid_over_tls(one, authority) for _ in range(5)}
        gate.open()
        assert pids.isdisjoint({int(held.read_response().body)})
        held.close()
