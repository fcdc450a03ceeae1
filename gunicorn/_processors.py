"""How many processors this process may use: its affinity, and the quotas of its control groups."""

import math
import os

MOUNT = "/sys/fs/cgroup"


class Processors(int):
    """A number of workers, one for each processor; `reason` says where it comes from."""

    reason = ""


def count(most: int, root: str = "") -> Processors:
    """Return the processors that this process may use, rounded up, at least 1.

    most: no more than so many; root: where a test keeps its own /proc and /sys.
    """
    affinity, limit = _affinity(), quota(root)
    usable = min(affinity, math.ceil(limit)) if limit else affinity
    number = Processors(max(1, min(usable, most)))
    number.reason = f"{affinity} by its affinity"
    if limit:
        number.reason += f", {limit:g} by the quota of its control group"
    return number


def available(root: str = "") -> float:
    """Return the same without rounding: seconds of processor time that it may use in a second."""
    limit = quota(root)
    return min(_affinity(), limit) if limit else float(_affinity())


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(root: str = "") -> float:
    """Return the least quota of the control groups, in processors; 0 if there is none."""
    try:
        with open(f"{root}/proc/self/cgroup") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except (OSError, UnicodeError):
        return 0.0
    quotas = [_quota_of(root, *line[1:]) for line in lines if len(line) == 3]
    return min(filter(None, quotas), default=0.0)


def _quota_of(root: str, controllers: str, group: str) -> float:
    """Return the least quota of a group and those above it. Version 2 has no controllers here."""
    if controllers and "cpu" not in controllers.split(","):
        return 0.0
    mount, read = (f"{root}{MOUNT}/{controllers}", _read_v1) if controllers else (
        f"{root}{MOUNT}", _read_v2)  # fmt: skip
    quotas = [read(mount + path) for path in _upwards(group)]
    return min(filter(None, quotas), default=0.0)


def _upwards(group: str) -> list[str]:
    """Return a group's path and those above it. In a container only the last one may be there."""
    parts = [part for part in group.split("/") if part not in ("", "..")]
    return ["".join(f"/{part}" for part in parts[:n]) for n in range(len(parts), -1, -1)]


def _read_v2(directory: str) -> float:
    return _ratio(*_words(f"{directory}/cpu.max")[:2])


def _read_v1(directory: str) -> float:
    return _ratio(
        *_words(f"{directory}/cpu.cfs_quota_us")[:1], *_words(f"{directory}/cpu.cfs_period_us")[:1]
    )


def _words(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.read(100).split()
    except (OSError, UnicodeError):
        return []


def _ratio(*words: str) -> float:
    """Return quota / period; 0 if there is no quota."""
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:
        return 0.0
    return int(words[0]) / int(words[1])
