"""The answers of the control socket as text for a terminal."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

MIB = 2**20


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows below their titles, each column as wide as it needs to be."""
    cells = [list(titles), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def harmless(text: str) -> str:
    """Return `text` without characters that steer a terminal: workers can write to it."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


WORKER_TITLES = ("SLOT", "PID", "AGE", "BOOTED", "PHASE", "REQUESTS", "RUNNING", "RSS", "LAST_BEAT")


def worker_row(worker: dict[str, Any]) -> tuple[Any, ...]:
    """Return the cells of a worker below WORKER_TITLES."""
    beat = worker.get("last_heartbeat")
    memory = worker.get("resident_memory")
    return (
        _or_dash(worker.get("slot")),
        worker.get("pid", "?"),
        worker.get("age", "?"),
        "yes" if worker.get("booted") else "no",
        worker.get("phase", "-"),
        _or_dash(worker.get("requests")),
        _or_dash(worker.get("running")),
        f"{memory / MIB:.1f}M" if memory and memory > 0 else "-",
        "idle" if beat is None else f"{beat:.1f}s ago",
    )


def _or_dash(value: Any) -> Any:
    return "-" if value is None else value


def _all(data: dict[str, Any]) -> str:
    master = f"master {data['arbiter']['pid']}\n\n"
    dirty = data.get("dirty_workers") or []
    more = f"\n\n{_dirty_table(dirty)}" if dirty else ""
    return master + _workers({"workers": data["web_workers"]}) + more


def _workers(data: dict[str, Any]) -> str:
    workers = data["workers"]
    if not workers:
        return "no workers"
    return table(WORKER_TITLES, map(worker_row, workers)) + f"\n\n{len(workers)} workers"


def _dirty(data: dict[str, Any]) -> str:
    if not data.get("enabled"):
        return "no dirty workers are configured"
    if data["pid"] is None:
        return "no dirty arbiter runs: it is about to be started again"
    lines = [f"dirty arbiter {data['pid']}", "", _dirty_table(data["workers"]), ""]
    for app in data["apps"]:
        limit = app.get("worker_count")
        wanted = "all" if limit is None else limit
        lines.append(f"{app['import_path']}: {app['current_workers']} workers, wants {wanted}")
    return "\n".join(lines)


DIRTY_TITLES = ("PID", "AGE", "PHASE", "CALLS", "RUNNING", "APPS")


def _dirty_table(workers: list[dict[str, Any]]) -> str:
    rows = [_dirty_row(worker) for worker in workers]
    return table(DIRTY_TITLES, rows) + f"\n\n{len(rows)} dirty workers"


def _dirty_row(worker: dict[str, Any]) -> tuple[Any, ...]:
    """Return the cells of a dirty worker; gunicorn's have no phase and no calls."""
    booted = "ready" if worker.get("booted") else "booting"
    return (
        worker["pid"],
        worker["age"],
        worker.get("phase", booted),
        _or_dash(worker.get("calls")),
        _or_dash(worker.get("running")),
        ", ".join(worker.get("apps", [])),
    )


def _values(data: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {_value(data[name])}" for name in sorted(data))


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


STATS = {
    "uptime": "up",
    "pid": "pid",
    "workers_current": "workers now",
    "workers_target": "workers wanted",
    "workers_spawned": "workers forked",
    "workers_killed": "workers stopped",
    "reloads": "reloads",
}


def _stats(data: dict[str, Any]) -> str:
    values = {**data, "uptime": _duration(data.get("uptime"))}
    return "\n".join(f"{text:<16} {values.get(name, '?')}" for name, text in STATS.items())


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _listeners(data: dict[str, Any]) -> str:
    rows = [(one["address"], one.get("type"), _or_dash(one["fd"])) for one in data["listeners"]]
    return table(("ADDRESS", "TYPE", "FD"), rows) if rows else "no listeners"


def _help(data: dict[str, Any]) -> str:
    commands = data["commands"]
    width = max(map(len, commands))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in commands.items())


def _stack(data: dict[str, Any]) -> str:
    return str(data["stack"]).rstrip("\n")


def _check(data: dict[str, Any]) -> str:
    rows = [(one["name"], one["now"], one["then"]) for one in data["changes"]]
    text = table(("SETTING", "NOW", "AFTER A RELOAD"), rows) if rows else "a reload changes nothing"
    return "\n".join([*data["warnings"], text])


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {
    "show all": _all,
    "show workers": _workers,
    "show dirty": _dirty,
    "show config": _values,
    "show stats": _stats,
    "show listeners": _listeners,
    "stack": _stack,
    "config check": _check,
    "help": _help,
}


def text_of(command: str, data: dict[str, Any]) -> str:
    """Return the answer to a command as text; an answer in another form than ours as JSON."""
    words = command.lower().split()
    names = (" ".join(words[:count]) for count in (2, 1))
    name = next((name for name in names if name in FORMATS), "")
    try:
        text = FORMATS.get(name, _values)(data)
    except (AttributeError, KeyError, TypeError, ValueError):
        text = json.dumps(data, indent=2)
    return harmless(text)
