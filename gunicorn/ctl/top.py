"""`gunicornc top`: the workers at work, a row each, in a terminal or as plain lines."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time

from gunicorn.ctl import formats
from gunicorn.ctl.client import ConnectionLost, ControlClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import curses
    from typing import Any

    from gunicorn.ctl.client import ControlClient

    Waits = dict[float, int]
    Look = tuple[float, int, Waits]  # the moment, the requests begun, the times that they waited

INTERVAL = 1.0  # seconds between two looks at the workers
TITLES = (
    "SLOT", "PID", "PHASE", "AGE", "REQ/S", "RUNNING", "QUEUED", "WAIT p50", "p99", "RSS",
    "REQUEST",
)  # fmt: skip
#: The orders of the rows, by the keys of a worker; the greatest value first, but for the slot.
ORDERS = ("slot", "rate", "running", "p99", "resident_memory")
KEYS = "q quit   up, down choose   s stack   o order by "
STACK_KEYS = "up, down scroll   press a key to go back"


def run(client: ControlClient, args: list[str]) -> int:
    """Show the workers until `q`; without a terminal, print them COUNT times (1). Returns 0.

    Raises ControlClientError.
    """
    if len(args) > 1 or not all(arg.isdigit() and int(arg) > 0 for arg in args):
        raise ControlClientError("top takes a count: how often to print the workers")
    if args or not (sys.stdin.isatty() and sys.stdout.isatty()):
        _print(client, int(args[0]) if args else 1)
        return 0
    _check_terminal()
    import curses

    curses.wrapper(lambda screen: View(screen, client).run())
    return 0


def _check_terminal() -> None:
    """Raise ControlClientError if there is no terminal whose cursor can be moved."""
    name = os.environ.get("TERM", "unknown")
    try:
        import curses

        curses.setupterm(name, sys.stdout.fileno())
        moves = curses.tigetstr("cup") is not None
    except ImportError:
        raise ControlClientError("this Python has no curses; top 1 prints the workers") from None
    except curses.error:
        moves = False
    if not moves:
        raise ControlClientError(
            f"TERM={name} is unknown on this machine, or its cursor cannot be moved;"
            " set TERM, for example to xterm; top 1 prints the workers"
        )


class Meter:
    """The workers of a server, with their figures since the look before.

    `rate`: requests begun a second; `p50` and `p99`: seconds within which so many of 100 requests
    had a thread, the upper bound of a bucket; None if there were none. At the first look the times
    are those since the worker's start.
    """

    def __init__(self, client: ControlClient) -> None:
        self._client = client
        self._before: dict[int, tuple[float, int, Waits]] = {}

    def measure(self) -> list[dict[str, Any]]:
        """Return the workers now. Raises ControlClientError."""
        workers: list[dict[str, Any]] = self._client.send_command("show workers")["workers"]
        now = time.monotonic()
        after = {one["pid"]: (now, one.get("requests", 0), _waits(one)) for one in workers}
        for worker in workers:
            worker |= self._figures(after[worker["pid"]], self._before.get(worker["pid"]))
        self._before = after
        return workers

    def _figures(self, now: Look, then: Look | None) -> dict[str, float | None]:
        """Return the figures of a worker between two looks."""
        seconds, begun, waits = now[0] - then[0] if then else 0, now[1], dict(now[2])
        if then:
            begun -= then[1]
            waits = {bound: count - then[2].get(bound, 0) for bound, count in waits.items()}
        return {
            "rate": begun / seconds if seconds > 0 else 0.0,
            "p50": percentile(waits, 0.50),
            "p99": percentile(waits, 0.99),
        }


def _waits(worker: dict[str, Any]) -> Waits:
    """Return the requests of a worker by the upper bound of the time that they waited."""
    return {math.inf if bound is None else bound: n for bound, n in worker.get("wait", [])}


def percentile(waits: Waits, share: float) -> float | None:
    """Return the bound within which at least that share of the requests is; None without any."""
    total = sum(waits.values())
    below = 0
    for bound in sorted(waits):
        below += waits[bound]
        if total > 0 and below >= share * total:
            return bound
    return None


def _time(seconds: float | None) -> str:
    """Return a bound as in `<5ms`."""
    if seconds is None:
        return "-"
    if math.isinf(seconds):
        return ">60s"
    return f"<{seconds:g}s" if seconds >= 1 else f"<{seconds * 1000:g}ms"


def _row(worker: dict[str, Any]) -> tuple[Any, ...]:
    """Return the cells of a worker below TITLES."""
    memory = worker.get("resident_memory") or 0
    return (
        worker.get("slot", "-"),
        worker["pid"],
        worker.get("phase", "-"),
        f"{worker.get('seconds', 0):.0f}s",
        f"{worker['rate']:.1f}",
        worker.get("running", "-"),
        worker.get("queued", "-"),
        _time(worker["p50"]),
        _time(worker["p99"]),
        f"{memory / formats.MIB:.1f}M",
        _longest(worker.get("in_flight", [])),
    )


def _longest(requests: list[dict[str, Any]]) -> str:
    """Return the request that runs longest, and for how many seconds."""
    if not requests:
        return ""
    one = max(requests, key=lambda request: request["seconds"])
    return f"{one['seconds']:.1f}s {one['method']} {one['path']}"


def _table(workers: list[dict[str, Any]]) -> list[str]:
    return formats.harmless(formats.table(TITLES, map(_row, workers))).split("\n")


def _wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text, those that are wider than the screen in parts."""
    return [
        line[start : start + width]
        for line in text.split("\n")
        for start in range(0, max(1, len(line)), width)
    ]


def _print(client: ControlClient, count: int) -> None:
    meter = Meter(client)
    meter.measure()
    for _ in range(count):
        time.sleep(INTERVAL)
        print("\n".join(_table(meter.measure())), flush=True)


class View:
    """The live table in a terminal."""

    def __init__(self, screen: curses.window, client: ControlClient) -> None:
        self._screen = screen
        self._client = client
        self._meter = Meter(client)
        self._order = 0
        self._chosen: int | None = None  # the pid under the cursor; None: that of the row
        self._row = 0  # of the cursor
        self._top = 0  # the first row that is shown
        self._workers: list[dict[str, Any]] = []

    def run(self) -> None:
        """Draw each INTERVAL, until `q`. Raises ControlClientError."""
        self._screen.timeout(int(INTERVAL * 1000))
        key = -1
        while key != ord("q"):
            if key == -1 or not self._workers:
                self._workers = self._meter.measure()
            self._sort()
            self._show_table()
            key = self._screen.getch()
            self._act(key)

    def _sort(self) -> None:
        """Order the rows. The cursor stays on its worker, or on its row if the worker is gone."""
        order = ORDERS[self._order]
        sign = 1 if order == "slot" else -1
        self._workers.sort(key=lambda one: (sign * (one.get(order) or 0), one["pid"]))
        pids = [worker["pid"] for worker in self._workers]
        if self._chosen in pids:
            self._row = pids.index(self._chosen)
        else:
            self._chosen = None
        self._row = max(0, min(self._row, len(pids) - 1))

    def _show_table(self) -> None:
        title, *rows = _table(self._workers)
        end = KEYS + ORDERS[self._order]
        room = self._room()
        self._top = max(self._row - room + 1, min(self._top, self._row, len(rows) - room), 0)
        shown = rows[self._top : self._top + room]
        self._draw([title, *shown, "", end], self._row - self._top + 1)

    def _room(self) -> int:
        """Return for how many rows there is room between the title and the last two lines."""
        return max(1, self._screen.getmaxyx()[0] - 3)

    def _act(self, key: int) -> None:
        import curses

        if key in (curses.KEY_UP, curses.KEY_DOWN) and self._workers:
            row = self._row + (1 if key == curses.KEY_DOWN else -1)
            self._row = max(0, min(row, len(self._workers) - 1))
            self._chosen = self._workers[self._row]["pid"]
        elif key == ord("o"):
            self._order = (self._order + 1) % len(ORDERS)
        elif key == ord("s") and self._workers:
            self._show_stack(self._workers[self._row])

    def _show_stack(self, worker: dict[str, Any]) -> None:
        """Show the stacks of a worker until a key is pressed; up and down scroll."""
        import curses

        try:
            text = self._client.send_command(f"stack {worker.get('slot')}")["stack"]
        except ConnectionLost:
            raise
        except ControlClientError as exc:
            text = str(exc)
        text, top = formats.harmless(text), 0
        self._screen.timeout(-1)
        key = curses.KEY_RESIZE
        while key in (curses.KEY_UP, curses.KEY_DOWN, curses.KEY_RESIZE):
            room, lines = self._room(), _wrapped(text, self._screen.getmaxyx()[1])
            top += (key == curses.KEY_DOWN) - (key == curses.KEY_UP)
            top = max(0, min(top, len(lines) - room))
            self._draw([*lines[top : top + room], "", STACK_KEYS], -1)
            key = self._screen.getch()
        self._screen.timeout(int(INTERVAL * 1000))

    def _draw(self, lines: list[str], marked: int) -> None:
        """Draw as many lines as there is room for, one of them in reverse."""
        import curses

        height, width = self._screen.getmaxyx()
        self._screen.erase()
        for number, line in enumerate(lines[:height]):
            style = curses.A_REVERSE if number == marked else curses.A_NORMAL
            with contextlib.suppress(curses.error):  # the last cell of the screen
                self._screen.addnstr(number, 0, line, width, style)
        self._screen.refresh()
