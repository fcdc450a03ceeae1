"""A server that runs apps/planned.py, and conversations with it."""

from __future__ import annotations

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from helpers import plans
from helpers.server import FATAL, Server
from helpers.wire import wait_until

#: Plans are long.
OPTIONS = ("--limit-request-field_size", "0")
#: References to constants that may come or go by what Python itself keeps.
REFERENCES_MAX = 200


class Planned:
    """The server runs planned:app with OPTIONS, in one worker."""

    def __init__(self, server: Server):
        self.server = server
        self.pids = server.worker_pids()
        self.before = None

    def converse(self, count: int, number: int | None = None) -> None:
        """So many conversations; without a number they are the same ones each time."""

        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            derandomize=number is None,
            suppress_health_check=list(HealthCheck),
        )
        @given(plans.conversations(), st.booleans())
        def conversation(requests, pipelined):
            with self.server.connect() as connection:
                plans.converse(connection, requests, pipelined)

        (conversation if number is None else seed(number)(conversation))()
        self.check()

    def check(self) -> None:
        """Look at what the requests left behind."""
        report = wait_until(self._settled, lambda: f"all is freed: {self._report()}")
        assert not report["wrong"], report["wrong"]
        assert self.server.worker_pids() == self.pids == [report["pid"]]
        self.before = self.before or report
        pairs = zip(self.before["references"], report["references"], strict=True)
        grown = [after - before for before, after in pairs]
        assert all(abs(n) < REFERENCES_MAX for n in grown), f"references: {grown}"

    def _report(self):
        return self.server.json(target="/report")

    def _settled(self):
        """The application's report once every request has ended; the reporting one has no plan."""
        report = self._report()
        return report if report["made"] == report["closed"] and not report["alive"] else None

    def forget_log(self) -> None:
        """The server appends to its log: it may be emptied while it runs."""
        fatal = [line for line in self.server.log.splitlines() if FATAL.search(line)]
        assert not fatal, "\n".join(fatal)
        self.server.stderr_path.open("w").close()
