"""Random signals, kills, reloads and upgrades under load, for as long as wanted.

    python tests/process/soak.py --seconds 3600 [-k gthread] [--tls] [--seed 1]

The time is shared by the worker classes, and for each there are three equal parts: all that may
happen to a server; the same without upgrades, so that one master lives through it; and nothing but
the clients, so that the same workers do. Prints what was done and lost, and memory and descriptors
at both ends of the second and third part. Ends with status 1 if a request was lost that no SIGKILL
of a worker explains, if descriptors or the memory in use grew, if a worker had to be aborted at its
end that never stood still, or if a process is left over.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]

from helpers.server import FATAL, WORKER_ARGS, Server  # noqa: E402
from helpers.tls import Authority  # noqa: E402
from helpers.wrapped import name_wrapped  # noqa: E402
from process.crowd import APP, IN_USE, Crowd, Loss  # noqa: E402

RECYCLING = "max_requests = 2000\nmax_requests_jitter = 500\n"
GOOD = """
import gc, in_use
pidfile = 'pid'
raw_env = ['ROUND=%d']
keepalive = 30
header_timeout = 5

def on_reload(server):
    gc.collect()
    with open('master.used', 'w') as file:
        file.write(in_use.now())
"""
WORKERS = 3
ABORTED = "Fatal Python error: Aborted"
LATE = re.compile(r"Worker \(pid:(\d+)\) was asked to stop and did not within graceful_timeout")
AFTER_KILL = 4.0  # seconds within which a client notices that a worker was killed
SETTLED = 30.0  # seconds after which memory is at its usual size
WATCHED = 20.0  # seconds in which a worker is without large bodies for once
#: What may be in use at the end of a part beyond what was at its begin. What the system counts says
#: little of it: malloc keeps what was freed, in a gthread worker in two heaps, and the mark of the
#: largest bodies that ever met in one of them rises for as long as it runs. So malloc and Python
#: are asked what is in use when a worker has the least to do: that grows by what leaks.
SPARE = {"KiB in use": 1024, "objects": 4096}


def children(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def send_to(worker: int, number: int) -> None:
    """To a worker that may have gone meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, number)


def private_kib(pid: int) -> int:
    """Memory of a process that is its own, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise AssertionError("no RssAnon")


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


class Soak:
    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.master = server.pid
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.kills: dict[int, tuple[float, float]] = {}  # between which a worker got SIGKILL
        self.frozen: set[int] = set()  # workers that stood still once
        self.round = 0
        self.recycling = RECYCLING

    def send(self, number: int) -> None:
        os.kill(self.master, number)

    def workers(self) -> list[int]:
        return [pid for pid in children(self.master) if alive(pid)]

    def write_config(self, more: str = "") -> None:
        text = GOOD % self.round + self.recycling + more
        (self.server.cwd / "gunicorn.conf.py").write_text(text)

    # What may happen

    def reload(self) -> None:
        self.round += 1
        self.write_config()
        self.send(signal.SIGHUP)

    def broken_reload(self) -> None:
        self.write_config("1 / 0\n")
        self.send(signal.SIGHUP)
        time.sleep(0.5)
        self.write_config()

    def broken_boot(self) -> None:
        self.write_config("def post_worker_init(worker):\n    1 / 0\n")
        self.send(signal.SIGHUP)
        time.sleep(1.5)
        self.write_config()

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
            worker = self.random.choice(workers)
            before = time.monotonic()
            send_to(worker, signal.SIGKILL)
            self.kills[worker] = (before, time.monotonic())

    def stop_worker(self) -> None:
        if workers := self.workers():
            send_to(self.random.choice(workers), signal.SIGTERM)

    def freeze_worker(self) -> None:
        """A worker that stands still for a while, as in a debugger or for want of memory."""
        if workers := self.workers():
            worker = self.random.choice(workers)
            self.frozen.add(worker)
            send_to(worker, signal.SIGSTOP)
            time.sleep(self.random.uniform(0.1, 2))
            send_to(worker, signal.SIGCONT)

    def upgrade(self) -> None:
        second = self.server.cwd / "pid.2"
        self.send(signal.SIGUSR2)
        if not self._wait(lambda: second.exists() and second.read_text().strip(), 20):
            raise AssertionError("no second master")
        new, old = int(second.read_text()), self.master
        if not self._wait(lambda: len(children(new)) >= 1, 20):
            raise AssertionError("the second master has no workers")
        time.sleep(1)
        os.kill(old, signal.SIGTERM)
        if not self._wait(lambda: not alive(old), 40):
            raise AssertionError("the first master stays")
        self.server.process.poll()
        self.master = new
        if not self._wait(lambda: not second.exists(), 20):
            raise AssertionError("no promotion")

    def rollback(self) -> None:
        second = self.server.cwd / "pid.2"
        self.send(signal.SIGUSR2)
        if not self._wait(lambda: second.exists() and second.read_text().strip(), 20):
            raise AssertionError("no second master")
        new = int(second.read_text())
        time.sleep(1)
        os.kill(new, signal.SIGTERM)
        if not self._wait(lambda: not alive(new), 40):
            raise AssertionError("the second master stays")
        time.sleep(0.3)

    def _wait(self, condition, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    # The three parts

    def everything(self, seconds: float) -> None:
        self._steps(seconds, {self.upgrade: 1, self.rollback: 1})

    def one_master(self, seconds: float) -> None:
        self._steps(seconds, {})

    def only_clients(self, seconds: float) -> None:
        time.sleep(seconds)

    def _steps(self, seconds: float, more: dict) -> None:
        weights = {
            self.reload: 4, self.broken_reload: 1, self.broken_boot: 1, self.more: 4,
            self.fewer: 4, self.reopen: 2, self.storm: 1, self.kill_worker: 4,
            self.stop_worker: 3, self.freeze_worker: 2, **more,
        }  # fmt: skip
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            action = self.random.choices([*weights], [*weights.values()])[0]
            self.done[action.__name__] += 1
            action()
            time.sleep(self.random.uniform(0.1, 2.5))

    def calm(self, recycling: str) -> None:
        """As many workers as configured, all of them new, and nothing else going on."""
        self.recycling = recycling
        before = set(self.workers())
        self.reload()
        if not self._wait(
            lambda: len(self.workers()) == WORKERS and not before & set(self.workers()), 60
        ):
            raise AssertionError(f"workers {self.workers()}, those before {before}")
        time.sleep(SETTLED)

    def sizes(self, crowd: Crowd) -> dict[str, list[int]]:
        """What the master and the workers have, of the workers the least first."""
        crowd.least.clear()
        time.sleep(WATCHED)
        # A worker that recycles itself may live for less than that; one of them has answered.
        if not self._wait(lambda: set(self.workers()) & set(crowd.least), 60):
            raise AssertionError("no worker answers")
        workers = set(self.workers()) & set(crowd.least)
        used = [crowd.least[pid] for pid in workers]
        master = [int(word) for word in (self.server.cwd / "master.used").read_text().split()]
        return {
            "master KiB": [private_kib(self.master)],
            "master KiB in use": master[:1],
            "master objects": master[1:],
            "master descriptors": [descriptors(self.master)],
            "workers KiB": sorted(private_kib(pid) for pid in workers),
            "workers KiB in use": sorted(kib for kib, _ in used),
            "workers objects": sorted(objects for _, objects in used),
            "workers descriptors": sorted(descriptors(pid) for pid in workers),
        }

    def stop(self) -> list[int]:
        """Ends the master; whatever of the session still lives after it."""
        session = self.server.pid
        if alive(self.master):
            self.send(signal.SIGTERM)
            self._wait(lambda: not alive(self.master), 60)
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


def explained(loss: Loss, kills: dict[int, tuple[float, float]]) -> bool:
    """Whether a SIGKILL of a worker took the answer away.

    A connection that was handed over belongs to another worker than that of its last answer, and a
    new one to any: its client notices at once. A worker that has answered may be dead before the
    client has read that answer.
    """
    return any(
        (loss.worker == worker and loss.asked <= after and before <= loss.at)
        or (loss.good <= after and before <= loss.at <= after + AFTER_KILL)
        for worker, (before, after) in kills.items()
    )


def grown(name: str, first: list[int], last: list[int]) -> bool:
    who, _, what = name.partition(" ")
    if what == "KiB":
        return False  # see SPARE
    if what == "descriptors":  # those of a worker are its clients'; the crowd does not grow
        return max(last) > max(first) + (0 if who == "master" else 2 * 64)
    return max(last) > max(first) + SPARE[what]


class Report:
    """Printed line by line; `bad` when something is not as it should be."""

    def __init__(self) -> None:
        self.bad = False

    def say(self, line: str, bad: bool = False) -> None:
        self.bad = self.bad or bad
        print(("TROUBLE: " if bad else "") + line, flush=True)


def soak(kind: str, seconds: float, options) -> bool:
    """One worker class; whether all went well."""
    report = Report()
    with tempfile.TemporaryDirectory() as directory:
        cwd, tls, arguments = Path(directory), None, list(WORKER_ARGS[kind])
        if options.tls:
            authority = Authority(cwd)
            tls, arguments = authority.client(), arguments + authority.issue().args
        (cwd / "in_use.py").write_text(IN_USE)
        (cwd / "crowded.py").write_text(APP)
        (cwd / "gunicorn.conf.py").write_text(GOOD % 0 + RECYCLING)
        arguments += ["-w", str(WORKERS), "--no-control-socket"]
        arguments.append(name_wrapped("crowded:app") if kind == "asgi" else "crowded:app")
        server = Server(arguments, cwd, expect_trouble=True).start(WORKERS)
        one = Soak(server, options.seed)
        report.say(f"{kind}{' with TLS' * bool(tls)}, {seconds:.0f} s, seed {options.seed}")
        with Crowd(server.address, options.clients, options.seed, tls) as crowd:
            try:
                play(one, crowd, seconds, report)
            except (AssertionError, OSError) as exc:
                report.say(f"{type(exc).__name__}: {exc}", bad=True)
        left = one.stop()
        tell_of_aborts(one, server.log, report)
        for line in server.log.splitlines():
            if line != ABORTED and (FATAL.search(line) or "Unhandled exception" in line):
                report.say(line, bad=True)
        report.say(f"processes left over: {left}", bad=bool(left))
        tell(one, crowd, report)
        if report.bad:
            kept = Path(tempfile.gettempdir()) / f"soak-{kind}-{options.seed}.log"
            kept.write_text(server.log)
            report.say(f"the server's log: {kept}")
    return not report.bad


def tell_of_aborts(one: Soak, log: str, report: Report) -> None:
    """A worker that stood still when it was told to end, or was to end, is late by that time."""
    late = {int(pid) for pid in LATE.findall(log)}
    aborted = log.splitlines().count(ABORTED)
    report.say(
        f"aborted: {aborted}, for being late: {late}, and never frozen: {late - one.frozen}",
        bad=aborted > len(late) or bool(late - one.frozen),
    )


def play(one: Soak, crowd: Crowd, seconds: float, report: Report) -> None:
    one.everything(seconds / 3)
    for part, recycling in [(one.one_master, RECYCLING), (one.only_clients, "")]:
        one.calm(recycling)
        first = one.sizes(crowd)
        part(max(seconds / 3 - 2 * (SETTLED + WATCHED), 1))
        if part == one.one_master:
            one.calm(recycling)
        last = one.sizes(crowd)
        for name in first:
            report.say(
                f"{part.__name__}: {name} {first[name]} -> {last[name]}",
                bad=grown(name, first[name], last[name]),
            )


def tell(one: Soak, crowd: Crowd, report: Report) -> None:
    unexplained = [loss for loss in crowd.losses if not explained(loss, one.kills)]
    report.say(f"done: {dict(one.done)}")
    report.say(f"answers {sum(crowd.answers.values())}: {dict(crowd.answers)}")
    report.say(f"mischief {sum(crowd.mischief.values())}: {dict(crowd.mischief)}")
    theirs = sum(loss.worker in one.kills for loss in crowd.losses)
    report.say(
        f"lost {len(crowd.losses)} in {len(one.kills)} SIGKILLs of a worker, {theirs} of them on"
        f" connections where a killed worker had answered: "
        f"{dict(Counter(f'{loss.role}: {loss.error}' for loss in crowd.losses))}"
    )
    roles = dict(Counter(f"{loss.role}: {loss.error}" for loss in unexplained))
    report.say(f"lost without such a SIGKILL: {len(unexplained)}: {roles}", bad=bool(unexplained))
    since_boot = time.time() - time.monotonic()
    for loss in unexplained[:40]:
        report.say(f"{datetime.fromtimestamp(since_boot + loss.at)}: {loss}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--clients", type=int, default=4, help="of each kind")
    parser.add_argument(
        "-k", dest="kinds", action="append", choices=WORKER_ARGS, help="default: sync, gthread"
    )
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    kinds = options.kinds or ["sync", "gthread"]
    return 0 if all([soak(kind, options.seconds / len(kinds), options) for kind in kinds]) else 1


if __name__ == "__main__":
    sys.exit(main())
