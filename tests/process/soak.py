"""Random signals, kills, reloads and upgrades under load, for as long as wanted.

    python tests/process/soak.py --seconds 3600 [-k gthread] [--seed 1]

Prints what was done and lost, and ends with status 1 if a request was lost that no SIGKILL explains
or a process is left over that should not be.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from helpers.server import Server, resident_kib  # noqa: E402
from process.load import Load  # noqa: E402

APP = """
import os
def app(environ, start_response):
    start_response('200 OK', [('Content-Length', '5')])
    return [b'hello']
"""
GOOD = "pidfile = 'pid'\nraw_env = ['ROUND=%d']\nmax_requests = 2000\nmax_requests_jitter = 500\n"
WORKERS = 3
AFTER_KILL = 2.0  # seconds within which a loss counts as a kill's


def children(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except FileNotFoundError:
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Soak:
    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.master = server.pid
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.kills: list[float] = []
        self.round = 0

    def send(self, number: int) -> None:
        os.kill(self.master, number)

    def workers(self) -> list[int]:
        return children(self.master)

    def config(self, text: str) -> None:
        (self.server.cwd / "gunicorn.conf.py").write_text(text)

    # What may happen

    def reload(self) -> None:
        self.round += 1
        self.config(GOOD % self.round)
        self.send(signal.SIGHUP)

    def broken_reload(self) -> None:
        self.config("1 / 0\n")
        self.send(signal.SIGHUP)
        time.sleep(0.5)
        self.config(GOOD % self.round)

    def broken_boot(self) -> None:
        self.config(GOOD % self.round + "def post_worker_init(worker):\n    1 / 0\n")
        self.send(signal.SIGHUP)
        time.sleep(1.5)
        self.config(GOOD % self.round)

    def more(self) -> None:
        self.send(signal.SIGTTIN)

    def fewer(self) -> None:
        self.send(signal.SIGTTOU)

    def reopen(self) -> None:
        self.send(signal.SIGUSR1)

    def storm(self) -> None:
        for _ in range(200):
            self.send(self.random.choice([signal.SIGUSR1, signal.SIGCHLD, signal.SIGWINCH]))

    def kill_worker(self) -> None:
        if workers := self.workers():
            self.kills.append(time.monotonic())
            os.kill(self.random.choice(workers), signal.SIGKILL)

    def stop_worker(self) -> None:
        if workers := self.workers():
            os.kill(self.random.choice(workers), signal.SIGTERM)

    def upgrade(self) -> None:
        second = self.server.cwd / "pid.2"
        self.send(signal.SIGUSR2)
        if not self._wait(lambda: second.exists() and second.read_text().strip(), 10):
            raise AssertionError("no second master")
        new, old = int(second.read_text()), self.master
        if not self._wait(lambda: len(children(new)) >= 1, 10):
            raise AssertionError("the second master has no workers")
        time.sleep(1)
        os.kill(old, signal.SIGTERM)
        if not self._wait(lambda: not alive(old), 30):
            raise AssertionError("the first master stays")
        self.server.process.poll()
        self.master = new
        if not self._wait(lambda: not second.exists(), 10):
            raise AssertionError("no promotion")

    def rollback(self) -> None:
        second = self.server.cwd / "pid.2"
        self.send(signal.SIGUSR2)
        if not self._wait(lambda: second.exists() and second.read_text().strip(), 10):
            raise AssertionError("no second master")
        new = int(second.read_text())
        time.sleep(1)
        os.kill(new, signal.SIGTERM)
        if not self._wait(lambda: not alive(new), 30):
            raise AssertionError("the second master stays")
        time.sleep(0.3)

    def _wait(self, condition, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def step(self) -> None:
        action = self.random.choices(
            [self.reload, self.broken_reload, self.broken_boot, self.more, self.fewer, self.reopen,
             self.storm, self.kill_worker, self.stop_worker, self.upgrade, self.rollback],
            [4, 1, 1, 4, 4, 2, 1, 4, 3, 1, 1],
        )[0]  # fmt: skip
        self.done[action.__name__] += 1
        action()
        time.sleep(self.random.uniform(0.1, 2.5))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--clients", type=int, default=64, help="of each kind")
    parser.add_argument("-k", dest="worker", default="sync")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        cwd = Path(directory)
        (cwd / "hello.py").write_text(APP)
        (cwd / "gunicorn.conf.py").write_text(GOOD % 0)
        arguments = ["-k", options.worker, "--threads", "4" if options.worker == "gthread" else "1"]
        arguments += ["-w", str(WORKERS), "--no-control-socket", "hello:app"]
        server = Server(arguments, cwd, expect_trouble=True).start(WORKERS)
        return report(Soak(server, options.seed), options)


def report(soak: Soak, options) -> int:
    first_kib = resident_kib(soak.master)
    trouble = []
    started = time.monotonic()
    with Load(soak.server.address, options.clients, options.clients) as load:
        try:
            while time.monotonic() - started < options.seconds:
                soak.step()
            time.sleep(AFTER_KILL)
            load.settle()
        except (AssertionError, OSError) as exc:
            trouble.append(f"{type(exc).__name__}: {exc}")
    last_kib = resident_kib(soak.master) if alive(soak.master) else 0
    seconds = time.monotonic() - started
    unexplained = [
        at for at in load.lost_at if not any(0 <= at - kill <= AFTER_KILL for kill in soak.kills)
    ]
    log = soak.server.log
    trouble += [line for line in log.splitlines() if "Unhandled exception" in line]
    leftover = stop(soak)
    print(f"{seconds:.0f} s of {options.worker}, seed {options.seed}: {dict(soak.done)}")
    print(f"answers {load.answers}, lost {len(load.lost_at)}: {dict(load.losses)}")
    print(f"lost without a SIGKILL to explain it: {len(unexplained)}")
    print(f"master {first_kib} -> {last_kib} KiB resident; left over processes: {leftover}")
    for line in trouble:
        print("trouble:", line)
    if unexplained or leftover or trouble:
        print(log[-8000:])
        return 1
    return 0


def stop(soak: Soak) -> list[int]:
    """Ends the master; whatever of the session still lives after it."""
    session = soak.server.pid
    if alive(soak.master):
        soak.send(signal.SIGTERM)
        soak._wait(lambda: not alive(soak.master), 40)
    left = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and alive(int(entry.name)):
            try:
                if os.getsid(int(entry.name)) == session:
                    left.append(int(entry.name))
            except ProcessLookupError:
                pass
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left


if __name__ == "__main__":
    sys.exit(main())
