"""`workers_max`: the number of workers follows the load."""

from __future__ import annotations

import contextlib
import re
import signal
import socket

import pytest
from helpers.gate import Gate
from helpers.status_port import Port
from helpers.tls import TlsConnection
from helpers.wire import render, wait_until

OPTIONS = ["--workers-max", "4", "--scale-down-idle", "1"]


def changes(one):
    """The numbers of workers that the log names, one after the other."""
    return [int(number) for number in re.findall(r"Workers: (\d+), one (?:more|less)", one.log)]


def wait_for_workers(one, count):
    pids = one.wait_workers(count)
    assert len(pids) == count
    return pids


def answer_all(gate, clients):
    for _ in clients:
        gate.step()
    for client in clients:
        assert client.read_response().status == 200
        client.close()


@contextlib.contextmanager
def bound():
    """A port that only listeners with reuse_port can have."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def decisions(one):
    text = Port.private(one.pid).text("/metrics")
    found = re.findall(r'scale_decisions_total\{decision="(\w+)"\} (\d+)', text)
    return {name: int(count) for name, count in found}


@pytest.mark.parametrize("kind", ["sync", "gthread", "reuse_port"])
def test_a_burst_and_back(master, kind):
    """Each request holds its thread until the gate opens, so that the load does not change."""
    more = {
        "sync": [],
        "gthread": ["-k", "gthread", "--threads", "2"],
        "reuse_port": ["--reuse-port"],
    }[kind]
    with bound() as port, Gate() as gate:
        bind = {"bind": [f"127.0.0.1:{port}"], "launch": True} if kind == "reuse_port" else {}
        one = master(*OPTIONS, *more, app="process.status_app:app", plain=False, **bind)
        if kind == "reuse_port":
            one.addresses = [("127.0.0.1", port)]
        wait_for_workers(one, 1)
        clients = [one.ask(f"/hold{gate.path}") for _ in range(12)]
        wait_for_workers(one, 4)
        one.wait_for_log(r"Workers: 4, no more. \d+ requests wait.* workers_max is 4")
        answer_all(gate, clients)
    wait_for_workers(one, 1)
    assert changes(one) == [2, 3, 4, 3, 2, 1]
    assert one.get() == "ok"
    counted = decisions(one)
    assert (counted["up"], counted["down_idle"]) == (3, 3)
    assert "was sent SIGKILL" not in one.log


def test_clients_that_wait_in_the_kernel(master, authority):
    """Over TLS a busy worker takes no client, not even if it is the only one."""
    args = authority.issue().args
    one = master(*OPTIONS, *args, app="process.status_app:app", plain=False)
    with Gate() as gate:
        clients = []
        for count in range(1, 5):  # each but the first waits for another worker
            clients.append(TlsConnection(one.address, authority.client()))
            clients[-1].send(render(target=f"/hold{gate.path}"))
            gate.wait(count)
        assert changes(one) == [2, 3, 4]
        gate.open()
        for client in clients:
            assert client.read_response().status == 200
            client.close()


def test_signals_move_the_least_number(master):
    one = master(*OPTIONS, app="process.status_app:app", plain=False, workers=None, config="")
    one.process.send_signal(signal.SIGTTIN)
    wait_for_workers(one, 2)
    with Gate() as gate:
        clients = [one.ask(f"/hold{gate.path}") for _ in range(9)]
        wait_for_workers(one, 4)
        one.config("workers = 3\n")
        one.process.send_signal(signal.SIGHUP)  # the load keeps its four workers
        one.wait_for_log("Hang up")
        answer_all(gate, clients)
    wait_for_workers(one, 3)
    for count in range(1, 30):  # a storm, which goes on at the least number of all
        one.process.send_signal(signal.SIGTTOU)
        wait_until(lambda n=count: one.log.count("Handling signal: ttou") >= n, "it is handled")
    wait_for_workers(one, 1)
    assert one.get() == "ok"
    one.config("workers = 2\nworkers_max = 0\n")
    one.process.send_signal(signal.SIGHUP)
    wait_for_workers(one, 2)
    assert one.get() == "ok"


def test_memory_limits_the_number(master):
    """Each worker is expected to grow up to max_rss, and the machine has no memory for two."""
    one = master(*OPTIONS, "--max-rss", "900T", app="process.status_app:app", plain=False)
    with Gate() as gate:
        clients = [one.ask(f"/hold{gate.path}") for _ in range(3)]
        one.wait_for_log("Workers: 1, no more. .*there is memory for 1")
        answer_all(gate, clients)
    assert len(one.worker_pids()) == 1


def test_automatic_workers(master):
    one = master("-w", "auto", workers=None, plain=False, launch=True)
    found = one.wait_for_log(
        r"workers is auto: (\d+), for this process may use \d+ by its affinity"
    )
    wait_until(lambda: len(one.worker_pids()) == int(found[1]), "so many workers")
