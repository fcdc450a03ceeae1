"""A part of the tests that are there once for each worker class: `--workers 3`.

Each of them runs with gthread and with others that its name decides, so that all tests together
cover all worker classes; another version of Python has other ones.
"""

from __future__ import annotations

import sys
import zlib
from collections import defaultdict

from helpers.server import WORKER_ARGS


def _parts(item) -> list[str]:
    """The test's name, and those of its parameters."""
    path, _, parameters = item.nodeid.partition("[")
    return [path, *parameters.rstrip("]").split("-")]


def _class_of(item) -> str | None:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    classes = [value for value in parameters if isinstance(value, str) and value in WORKER_ARGS]
    return classes[0] if len(classes) == 1 and classes[0] in _parts(item) else None


def _without(item, worker: str) -> str:
    """The test's name, the same for all worker classes."""
    parts = _parts(item)
    parts.remove(worker)
    return "-".join(parts)


def _rank(name: str, worker: str) -> tuple[bool, int]:
    salted = f"{name} {worker} {sys.version_info[:2]}"
    return worker != "gthread", zlib.crc32(salted.encode())


def part_of(items: list, most: int) -> tuple[list, list]:
    """The tests to run, at most `most` worker classes each, and the others."""
    classes = defaultdict(list)
    named = [(item, _class_of(item)) for item in items]
    for item, worker in named:
        if worker:
            classes[_without(item, worker)].append(worker)
    chosen, others = [], []
    for item, worker in named:
        name = _without(item, worker) if worker else ""
        first = sorted(classes[name], key=lambda one: _rank(name, one))[:most] if worker else ()
        (others if worker and worker not in first else chosen).append(item)
    return chosen, others
