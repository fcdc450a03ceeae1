"""The standard output of a command."""

from __future__ import annotations

import contextlib
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

BROKEN_PIPE = 141  # 128 + SIGPIPE


@contextlib.contextmanager
def piped() -> Iterator[None]:
    """Exit with the status 141, silently, if the reader of the output has left (`| head`)."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # Python writes the rest of its buffer at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE) from None
