"""Code that runs as another user of the machine."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def as_nobody(function: Callable[[], object]) -> str:
    """What `function` returns in a process of another user, as text; or its exception.

    All that it imports has to be imported before: the user may not be able to read this Python.
    """
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            text = str(function())
        except BaseException as exc:
            text = f"{type(exc).__name__}: {exc}"
        os.write(theirs, text.encode())
        os._exit(0)
    os.close(theirs)
    with open(ours) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return text
