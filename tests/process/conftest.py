"""Masters of the tests: each test starts its own."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from helpers.server import Server
from helpers.status_port import Port
from helpers.wire import Connection, render, wait_until
from helpers.wrapped import name_wrapped
from process.dirty_masters import PATIENCE, client_of, options

PLAIN = ["-k", "process.plain.PlainWorker"]


class Master(Server):
    """A master with plain workers, and what tests ask of it."""

    def get(self, path: str = "/") -> str:
        """The body of the answer to GET `path`."""
        response = self.request(target=path)
        assert response.status == 200, response
        return response.body.decode()

    def ask(self, path: str) -> Connection:
        """A client that has sent GET `path`."""
        client = self.connect()
        client.send(render(target=path))
        return client

    def wait_forked(self, count: int, timeout: float = 30.0) -> list[int]:
        """The workers, once there are exactly so many, whatever they do."""

        def settled():
            pids = self.worker_pids()
            return pids if len(pids) == count else None

        return self._wait_settled(settled, count, timeout)

    def wait_workers(self, count: int, timeout: float = 30.0) -> list[int]:
        """The workers, once there are exactly so many and each has booted: they all listen."""

        def settled():
            pids = self.worker_pids()
            return pids if len(pids) == count and self._are_ready(pids) else None

        return self._wait_settled(settled, count, timeout)

    def _are_ready(self, pids) -> bool:
        try:
            workers = Port.private(self.pid).workers()
        except ConnectionRefusedError:
            return False  # the master is about to make it
        phases = {worker["pid"]: worker["phase"] for worker in workers}
        return all(phases.get(pid) == "ready" for pid in pids)

    def _wait_settled(self, settled, count: int, timeout: float) -> list[int]:
        return wait_until(
            settled, lambda: f"{count} workers: {self.worker_pids()}\n{self.log}", timeout, 0.02
        )

    def wait_gone(self, pids, timeout: float = 20.0) -> None:
        """Until none of these processes lives."""
        wait_until(
            lambda: not any(alive(pid) for pid in pids),
            lambda: f"{pids} are gone\n{self.log}",
            timeout,
        )

    def config(self, text: str) -> None:
        (self.cwd / "gunicorn.conf.py").write_text(text)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.fixture
def master(tmp_path):
    """master(*args, config=..., app=...): a started master; all are stopped at the end."""
    started: list[Master] = []

    def start(
        *args: str,
        config: str | None = None,
        app: str = "process.plain:app",
        workers: int | None = 1,  # None: as the configuration says
        launch: bool = False,
        plain: bool = True,
        control: bool = False,
        **options,
    ) -> Master:
        options.setdefault("expect_trouble", True)
        if "asgi" in args:
            app = name_wrapped(app)
        kind = PLAIN if plain else []
        number = [] if workers is None else ["-w", str(workers)]
        off = [] if control else ["--no-control-socket"]
        one = Master([*kind, *number, *off, *args, app], tmp_path, **options)
        if config is not None:
            one.config(config)
        started.append(one)
        if launch:
            one.launch()
        else:
            one.start(workers or 1)
        return one

    yield start
    for one in started:
        if one.process is not None:
            end(one)


@pytest.fixture
def dirty(master):
    """dirty(...): a master with dirty workers, and a client of theirs."""

    def start(*args, config=None, env=None, timeout=PATIENCE, **others):
        settings = options(**others)
        one = master(*args, *settings, config=config, env=env)
        return one, client_of(one, timeout)

    return start


def end(one: Master) -> None:
    """Whatever a test left behind."""
    one.process.send_signal(signal.SIGQUIT)
    try:
        one.process.wait(5)
    except subprocess.TimeoutExpired:
        pass
    one._kill()
