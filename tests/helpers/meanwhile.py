"""What goes on beside a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeating(function: Callable[[], object], seconds: float = 0.1) -> Iterator[None]:
    """Call a function on a thread of its own, with a pause after each call, until the end."""
    stop = threading.Event()

    def run():
        while not stop.is_set():
            function()
            stop.wait(seconds)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
