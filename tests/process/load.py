"""Clients that never stop asking, and count what they lost."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from helpers.wire import wait_until

PAUSE = 0.005  # seconds between two requests of a client
FIRST_BYTE = 0.1  # seconds that a server which stops waits for a connection's first byte
PATIENCE = 20.0  # seconds until an answer counts as lost
STALE = 1.0  # seconds after which a client that was held up itself uses its connection no more
LAG = 0.5  # seconds that the clients' loop is late when the machine holds them up
LAG_LASTS = 3.0  # seconds: more than the server waits for an idle client's next request


class Load:
    """So many clients on kept connections, so many with a connection for each request.

    A refused connection, an end before the whole answer, a status other than 200: each is a loss,
    also on a kept connection that was idle. An answer with `Connection: close` is followed by a new
    connection, as is a pause near the two seconds for which the server keeps an idle one, which a
    busy machine may impose.

    `losses` says at which stage: "connect", "kept" or "new". `held_up` counts connections that the
    server closed without an answer because a busy machine held up the client: its loop had been
    late by LAG, or it took longer than FIRST_BYTE to send the first request of a connection.
    """

    def __init__(
        self, address, kept: int = 64, closing: int = 64, path: str = "/", tls=None
    ) -> None:
        self.address = address
        self.tls = tls  # the client's ssl.SSLContext
        self.kept = kept
        self.closing = closing
        self.path = path
        self.answers = 0
        self.losses: Counter[str] = Counter()
        self.lost_at: list[float] = []  # of time.monotonic()
        self.held_up = 0
        self._ran_at = time.monotonic()
        self._lagged_at = float("-inf")
        self._stop = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *exc) -> None:
        self._stop = True
        self._thread.join()

    def settle(self, more: int = 300, timeout: float = 30.0) -> None:
        """Until so many more answers have come."""
        goal = self.answers + more
        deadline = time.monotonic() + timeout
        while self.answers < goal:
            assert time.monotonic() < deadline, f"{self.answers} of {goal}, lost {self.losses}"
            time.sleep(0.01)

    async def _main(self) -> None:
        clients = [self._client(True) for _ in range(self.kept)]
        clients += [self._client(False) for _ in range(self.closing)]
        await asyncio.gather(self._watch_lag(), *clients)

    async def _watch_lag(self) -> None:
        while not self._stop:
            self._ran_at = time.monotonic()
            await asyncio.sleep(LAG / 10)
            if time.monotonic() - self._ran_at > LAG:
                self._lagged_at = time.monotonic()

    def _is_held_up(self, exc: Exception, late: bool) -> bool:
        now = time.monotonic()
        lags = late or now - self._ran_at > LAG or now - self._lagged_at < LAG_LASTS
        unanswered = isinstance(exc, asyncio.IncompleteReadError) and not exc.partial
        return lags and (unanswered or isinstance(exc, (ConnectionResetError, BrokenPipeError)))

    async def _open(self):
        if isinstance(self.address, str):
            return await asyncio.open_unix_connection(self.address)
        name = None if self.tls is None else "localhost"
        return await asyncio.open_connection(*self.address, ssl=self.tls, server_hostname=name)

    async def _client(self, keep: bool) -> None:
        connection, answered = None, 0.0
        while not self._stop:
            stage = "connect"
            if connection and time.monotonic() - answered > STALE:
                connection[1].close()
                connection = None
            begun, fresh, late = time.monotonic(), connection is None, False
            try:
                connection = connection or await self._open()
                stage = "kept" if keep else "new"
                self._ask(connection[1], keep)
                late = fresh and time.monotonic() - begun > FIRST_BYTE
                reusable = await asyncio.wait_for(self._answer(connection[0], keep), PATIENCE)
                self.answers += 1
                answered = time.monotonic()
            except Exception as exc:
                if self._is_held_up(exc, late):
                    self.held_up += 1
                else:
                    self.losses[f"{stage}: {type(exc).__name__}: {exc}"] += 1
                    self.lost_at.append(time.monotonic())
                reusable = False
                await asyncio.sleep(0.05)
            if not reusable and connection:
                connection[1].close()
                connection = None
            await asyncio.sleep(PAUSE)
        if connection:
            connection[1].close()

    def _ask(self, writer, keep: bool) -> None:
        close = "" if keep else "Connection: close\r\n"
        writer.write(f"GET {self.path} HTTP/1.1\r\nHost: a\r\n{close}\r\n".encode())

    async def _answer(self, reader, keep: bool) -> bool:
        """Read an answer; whether the connection may be used again."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if not head.startswith("http/1.1 200"):
            raise ValueError(head.partition("\r\n")[0])
        length = int(head.partition("content-length:")[2].split()[0])
        await reader.readexactly(length)
        return keep and "connection: close" not in head


def check(load: Load, one) -> None:
    """Nothing was lost, and the server `one` has no complaint."""
    assert not load.losses, f"{dict(load.losses)} of {load.answers}\n{one.log[-3000:]}"
    assert "Traceback" not in one.log


def upgrade_under(load: Load, one, pidfile: Path, more: int) -> None:
    """USR2, and TERM for the old master after so many more answers; the new one ends with this."""
    new = 0
    try:
        with load:
            load.settle()
            one.kill(signal.SIGUSR2)
            second = Path(f"{pidfile}.2")
            wait_until(second.exists, "the second master")
            new = int(second.read_text())
            load.settle(more)
            one.kill(signal.SIGTERM)
            assert one.wait() == 0
            load.settle()
        check(load, one)
    finally:
        if new:
            os.kill(new, signal.SIGTERM)
            one.wait_gone([new])


def reload_under(load: Load, one, times: int = 1) -> None:
    """HUP, so often; each time until no old worker is left."""
    for _ in range(times):
        old = set(one.worker_pids())
        load.settle()
        one.kill(signal.SIGHUP)
        one.wait_gone(old)
    load.settle()
