"""A worker, which runs as another user, turns on a master that is root.

It writes random bytes over all memory, pipes, files and sockets that it shares with the master and
with its siblings. The master goes on, answers at the status port, and hurts nobody.

ATTACK_SECONDS is how long: 2 by default; `make scribble` takes a minute to look for what is rare.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from helpers.server import SANITIZED, Server
from helpers.status_port import Port
from helpers.stranger import NOBODY
from helpers.wire import render, wait_until

SECONDS = float(os.environ.get("ATTACK_SECONDS", "2"))

MOST_WORKERS = 5  # a worker may lie about its load
#: Share of a core that the master may take meanwhile.
MASTER_CPU = 0.5
CRASH = re.compile(
    r"AddressSanitizer|runtime error:|Fatal Python error: (?!Aborted)|SystemError"
    r"|Unhandled exception|was sent SIG(?:SEGV|BUS|ILL|FPE)"
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def server(tmp_path):
    started = []

    def start(kind: str, *args: str) -> tuple[Server, Port]:
        user = ["--user", str(NOBODY), "--group", str(NOBODY)] if os.getuid() == 0 else []
        one = Server(
            ["-k", kind, "-w", "3", *user, "--status-bind", "127.0.0.1:0", "--timeout", "2"]
            # Loaded by the master: the other user may not be able to read this Python.
            + [
                "--graceful-timeout",
                "3",
                "--boot-timeout",
                "5",
                "--preload",
                *args,
                "attack.hostile_app:app",
            ],
            tmp_path,
            expect_trouble=True,
        )
        started.append(one)
        one.start(3)
        host, port = re.search(r"Status at: http://(\S+):(\d+)", one.log).groups()
        return one, Port((host, int(port)))

    yield start
    for one in started:
        one._kill()


@contextlib.contextmanager
def innocents(count: int):
    """Processes of the workers' user that have nothing to do with the server."""
    user = {"user": NOBODY} if os.getuid() == 0 else {}
    processes = [subprocess.Popen(["sleep", "3600"], **user) for _ in range(count)]
    try:
        yield processes
    finally:
        for one in processes:
            one.kill()
            one.wait()


class Load(threading.Thread):
    """A client that goes on whatever happens to its requests."""

    def __init__(self, one: Server) -> None:
        super().__init__(daemon=True)
        self.one = one
        self.served = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.002):
            with contextlib.suppress(OSError, AssertionError):
                self.served += self.one.request().status == 200


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def look(port: Port) -> None:
    """All that the status port answers is what it is to be."""
    assert port.text("/live") == "live\n"
    assert port.get("/ready")[0] in (200, 503)
    figures = port.figures()
    assert all(value >= 0 for value in figures.values())
    assert 3 <= figures["gunicorn_workers_wanted", None] <= MOST_WORKERS
    for worker in json.loads(port.text("/workers"))["workers"]:
        for request in worker.get("requests", ()):
            assert 0 <= request["seconds"] and isinstance(request["path"], str)


def attack(one: Server, until: float) -> None:
    """Have one of the workers begin; it may be stuck or aborted for what others did to it."""
    seconds = min(1, until - time.monotonic())
    with contextlib.suppress(OSError, AssertionError):
        with one.connect() as client:
            client.send(render(target=f"/attack?seconds={seconds:.2f}"))


class Stacks(threading.Thread):
    """Asks for stacks, which may take as long as it wants, and keeps nobody."""

    def __init__(self, port: Port) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.stopped = False
        self.unclean: list[str] = []

    def run(self) -> None:
        while not self.stopped:
            with contextlib.suppress(OSError):  # it goes on when the test is over
                text = self.port.get("/workers/0/stack")[1]
                self.unclean += [c for c in text if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_a_worker_writes_over_all_that_it_shares(server, kind):
    one, port = server(kind, "--workers-max", str(MOST_WORKERS), "--scale-down-idle", "1")
    load = [Load(one) for _ in range(3)]
    with innocents(3) as others:
        for client in load:
            client.start()
        began, cpu = time.monotonic(), cpu_seconds(one.pid)
        stacks = Stacks(port)
        stacks.start()
        while time.monotonic() < began + SECONDS:
            attack(one, began + SECONDS)
            look(port)
        took = time.monotonic() - began
        if not SANITIZED:
            assert cpu_seconds(one.pid) - cpu < MASTER_CPU * took + 0.2
        for client in load:  # one may wait for an answer that the attack has cost it
            client.stopped.set()
        assert [process.poll() for process in others] == [None] * 3
        stacks.stopped = True
    assert not stacks.unclean
    assert sum(client.served for client in load) > 10
    # The attack is over: new workers have nothing of it.
    one.kill(1)
    wait_until(lambda: serves(one, port), lambda: f"it serves\n{one.log[-3000:]}", 60)
    for _ in range(20):
        assert one.request().status == 200
    assert one.stop() == 0
    assert not CRASH.search(one.log), one.log
    # What a hostile sibling sends is logged by each worker now and then, not for each message.
    most = one.log.count("Booting worker") * (1 + took / 10)
    assert one.log.count("Cannot go on with a request from another worker") <= most


def serves(one: Server, port: Port) -> bool:
    workers = port.workers()
    phases = {worker["phase"] for worker in workers}
    return phases == {"ready"} and len(workers) == 3 and {w["generation"] for w in workers} == {1}
