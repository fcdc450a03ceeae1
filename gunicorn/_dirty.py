"""What the master and a dirty arbiter have in common: the board on which it shows its state.

The board is memory that the master maps before the fork; a dirty worker closes its copy. The master
takes nothing there for granted: a description that is no JSON is none.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SOCKET_VARIABLE = "GUNICORN_DIRTY_SOCKET"  # of the environment: the path of the arbiter's socket

#: The figures, each a word of 8 bytes.
TAKES_CALLS, WORKERS, RUNNING, WAITING, OK, ERRORS, TIMEOUTS, CRASHES, REFUSED, DEATHS = range(10)
# Set by the master: the server stops, and no arbiter follows; the number of workers, with TTIN; the
# arbiter is to leave at SIGTERM.
LAST, TARGET, LEAVES = 10, 11, 12
# Signs of life; SIGTERM came from another process than the master; a worker has booted, ever.
SIGNS, ASKED, BOOTED = 13, 14, 15
FIGURES = 16
GAUGES = (TAKES_CALLS, WORKERS, RUNNING, WAITING, LAST, TARGET, LEAVES, SIGNS, ASKED)
REPORTED = (WORKERS, RUNNING, WAITING, OK, ERRORS, TIMEOUTS, CRASHES, REFUSED, DEATHS)

# Behind the figures: which of two places has the description, their lengths, and the places. It is
# written to the one that is not shown, so the master never reads half of it.
_FIGURES_SIZE = 8 * FIGURES
_PLACES = _FIGURES_SIZE + 8 * 3
TEXT_MAX = 1024 * 1024  # bytes of a description
SIZE = _PLACES + 2 * TEXT_MAX


def parse_spec(spec: str) -> tuple[str, int | None]:
    """Return `MODULE:CLASS` and N, or None, of an item of `dirty_apps`. Raises ValueError."""
    module, _, rest = spec.partition(":")
    name, colon, count = rest.partition(":")
    if not module or not name:
        raise ValueError(f"Invalid import path: {spec}; MODULE:CLASS or MODULE:CLASS:N is expected")
    if not colon:
        return spec, None
    if not (count.isascii() and count.isdigit() and int(count) >= 1):
        raise ValueError(f"Invalid worker count in {spec}: {count!r} is no number above 0")
    return f"{module}:{name}", int(count)


class Board:
    """The board of one dirty arbiter at a time; its counters go on with the next."""

    def __init__(self) -> None:
        import mmap

        self.memory = mmap.mmap(-1, SIZE)
        self._view = memoryview(self.memory)
        self.figures = self._view[:_FIGURES_SIZE].cast("Q")
        self._shown = self._view[_FIGURES_SIZE:_PLACES].cast("Q")

    def clear(self) -> None:
        """Forget the arbiter; its counters stay."""
        for gauge in GAUGES:
            self.figures[gauge] = 0
        self._shown[1] = self._shown[2] = 0

    def describe(self, description: dict[str, Any]) -> None:
        """Show a description; one that is too long is left out."""
        import json

        text = json.dumps(description).encode()
        if len(text) > TEXT_MAX:
            text = b"{}"
        other = 1 - self._shown[0]
        start = _PLACES + other * TEXT_MAX
        self._view[start : start + len(text)] = text
        self._shown[1 + other] = len(text)
        self._shown[0] = other

    def description(self) -> dict[str, Any]:
        """Return the description; an empty one if there is none."""
        import json

        place = self._shown[0] & 1
        start = _PLACES + place * TEXT_MAX
        size = min(self._shown[1 + place], TEXT_MAX)
        try:
            found = json.loads(bytes(self._view[start : start + size]))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def close(self) -> None:
        """Unmap it."""
        self.figures.release()
        self._shown.release()
        self._view.release()
        self.memory.close()
