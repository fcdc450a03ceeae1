"""The tests over all worker classes that the asgi worker runs, too: patterns of their names.

The others look at WSGI itself, or at parts of the engine that do not know the kind of application.
"""

from __future__ import annotations

import fnmatch

RUN = (
    "test_frameworks.py::*[[]asgi-starlette*",
    "test_frameworks.py::*[[]asgi-fastapi*",
    "test_frameworks.py::*[[]asgi-django*",
)

#: With the asgi worker alone.
ALONE = ("test_frameworks.py::*starlette*", "test_frameworks.py::*fastapi*")


def fits(worker: str, name: str) -> bool:
    """Whether a test is run with a worker class."""
    if _matches(name, ALONE) and worker != "asgi":
        return False
    return worker != "asgi" or _matches(name, RUN)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
