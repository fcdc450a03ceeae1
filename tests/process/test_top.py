"""The live table of `gunicornc top` on screens of many sizes, with workers that come and go."""

from __future__ import annotations

import curses

import pytest

from gunicorn.ctl import top

KEYS = {"up": curses.KEY_UP, "down": curses.KEY_DOWN, "resize": curses.KEY_RESIZE, "tick": -1}


class Screen:
    """A screen of curses; `script` has the keys, and functions that are called between two."""

    def __init__(self, height, width, script):
        self.size = (height, width)
        self.script = [*script, "q"]
        self.cells: list[tuple[str, bool]] = []

    def getmaxyx(self):
        return self.size

    def timeout(self, ms):
        pass

    def erase(self):
        self.cells = []

    def refresh(self):
        pass

    def addnstr(self, row, column, text, width, style):
        assert row == len(self.cells) < self.size[0] and column == 0
        self.cells.append((text[:width], style == curses.A_REVERSE))

    def getch(self):
        while callable(step := self.script.pop(0)):
            step(self)
        return KEYS.get(step, ord(step[0]))

    def marked(self):
        """The pid under the cursor."""
        (line,) = [text for text, reverse in self.cells if reverse]
        return int(line.split()[1])

    def pids(self):
        return [int(text.split()[1]) for text, _ in self.cells[1:-2] if text.strip()]


class Server:
    """Workers with the pids 1000, 1001 …, and stacks of 30 lines."""

    def __init__(self, count):
        self.workers = [
            {"slot": slot, "pid": 1000 + slot, "phase": "ready"} for slot in range(count)
        ]

    def send_command(self, command):
        if command == "show workers":
            return {"workers": [dict(one) for one in self.workers]}
        return {"stack": "\n".join(f"{command} line {number}" for number in range(30))}


def run(server, *script, height=24, width=100):
    top.View(Screen(height, width, script), server).run()


def test_the_cursor_stays_on_the_screen():
    def is_at_its_end(screen):
        assert screen.marked() == 1063
        assert screen.pids() == list(range(1043, 1064))
        assert "q quit" in screen.cells[-1][0]

    def is_at_its_begin(screen):
        assert screen.marked() == 1000
        assert screen.pids() == list(range(1000, 1021))

    run(Server(64), is_at_its_begin, *["down"] * 70, is_at_its_end, *["up"] * 70, is_at_its_begin)


def test_a_screen_that_becomes_small_and_large_again():
    def shrink(screen):
        screen.size = (8, 20)

    def grow(screen):
        screen.size = (100, 200)

    def is_small(screen):
        assert screen.marked() == 1030
        assert len(screen.pids()) == 5

    def is_large(screen):
        assert screen.marked() == 1030
        assert len(screen.pids()) == 64

    run(Server(64), *["down"] * 30, shrink, "resize", is_small, grow, "resize", is_large)


@pytest.mark.parametrize("height,width", [(1, 1), (2, 10), (3, 80), (4, 5)])
def test_hardly_any_screen(height, width):
    run(Server(3), "down", "tick", "s", "down", "x", "o", height=height, width=width)


def test_a_worker_that_dies_under_the_cursor():
    server = Server(10)

    def die(screen):
        assert screen.marked() == 1004
        server.workers = [one for one in server.workers if one["pid"] != 1004]

    def is_on_the_next(screen):
        assert screen.marked() == 1005

    def all_die(screen):
        server.workers = []

    run(server, *["down"] * 4, die, "tick", is_on_the_next, all_die, "tick", "down", "s", "tick")


def test_a_long_stack_scrolls():
    def shows(first):
        def check(screen):
            assert screen.cells[0][0] == f"stack 0 line {first}"
            assert screen.cells[-1][0] == top.STACK_KEYS

        return check

    def is_back(screen):
        assert screen.marked() == 1000

    keys = ["s", shows(0), "down", "down", shows(2), *["down"] * 40, shows(24), "up", shows(23)]
    run(Server(2), *keys, "x", is_back, height=9)


def test_a_stack_is_whole_on_a_narrow_screen():
    def is_wrapped(screen):
        lines = [text for text, _ in screen.cells[:-2]]
        assert lines[:4] == ["stack 0 li", "ne 0", "stack 0 li", "ne 1"]

    def is_wide(screen):
        assert screen.cells[1][0] == "stack 0 line 1"

    def grow(screen):
        screen.size = (20, 100)

    run(Server(1), "s", is_wrapped, grow, "resize", is_wide, "x", height=20, width=10)
