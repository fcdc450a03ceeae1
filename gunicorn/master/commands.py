"""The commands of the control socket, which the master's loop answers.

Nothing here waits for a worker. Commands that change the whole server are signals to this process,
so they run after the answer has been sent, and as if the operator had sent them by `kill`.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import time

from gunicorn.master import check
from gunicorn.master import dirty as dirty_arbiters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MOST_WORKERS = 4096  # slots of the scoreboard

#: The settings that `show config` reports.
SETTINGS = (
    "bind", "workers", "worker_class", "threads", "timeout", "graceful_timeout", "keepalive",
    "max_requests", "max_requests_jitter", "worker_connections", "preload_app", "daemon", "pidfile",
    "proc_name", "reload", "dirty_workers", "dirty_apps", "dirty_timeout", "control_socket",
    "control_socket_disable",
)  # fmt: skip

NO_DIRTY = {"success": False, "error": "no dirty workers are configured"}
DIRTY_DOWN = {"success": False, "error": "no dirty arbiter runs: it is about to be started again"}


NO_FD = -1


class StackOf(Exception):
    """The answer to a command is the stacks of the worker with this pid: the loop adds them."""


class OutputOf(Exception):
    """The answer to a command comes from a child: the loop reads it at this descriptor."""


def answer(arbiter, request: bytes) -> tuple[bytes, int, int]:
    """Return the answer to a request, 0, and -1. Both are JSON objects.

    If the command asks for the stacks of a worker, return the beginning of the answer, and the pid
    in place of 0. The loop adds the members of `data`, and the ends of both objects.

    If the answer comes from a child, return no bytes, and a descriptor in place of -1. The loop
    reads it to its end, and passes the text to `collected()`.

    A request has `command`, and may have `args` and `id`. An answer has its `id`, `status` ("ok" or
    "error"), and `data` or `error`.
    """
    request_id: Any = 0
    try:
        message = _parse(request)
        request_id = _plain_id(message)
        return _ok(request_id, _run(arbiter, _words(message))), 0, NO_FD
    except StackOf as stack:
        return _beginning(request_id), stack.args[0], NO_FD
    except OutputOf as output:
        arbiter._check.request_id = request_id
        return b"", 0, output.args[0]
    except ValueError as exc:
        return _error(request_id, str(exc)), 0, NO_FD
    except Exception as exc:
        arbiter.log.exception("A command of the control socket failed")
        return _error(request_id, f"the command failed: {exc}"), 0, NO_FD


def collected(arbiter, text: bytes, complete: bool) -> bytes:
    """Return the answer to a command by the text of its child.

    Not `complete`: the child took too long or wrote too much, or the client has left.
    """
    request_id, data = check.end(arbiter, text, complete)
    return _ok(request_id, data)


def _ok(request_id, data: dict) -> bytes:
    return json.dumps({"id": request_id, "status": "ok", "data": data}).encode()


def _error(request_id, reason: str) -> bytes:
    return json.dumps({"id": request_id, "status": "error", "error": reason}).encode()


def _beginning(request_id) -> bytes:
    return f'{{"id": {json.dumps(request_id)}, "status": "ok", "data": {{'.encode()


def _parse(request: bytes) -> dict:
    try:
        message = json.loads(request)
    except (ValueError, RecursionError):
        raise ValueError("the request is not valid JSON") from None
    if not isinstance(message, dict):
        raise ValueError("the request is not a JSON object")
    return message


def _plain_id(message: dict):
    """Return the number of a request. Nothing in it can keep the answer from being written."""
    request_id = message.get("id", 0)
    if not isinstance(request_id, (int, float, str, type(None))):
        raise ValueError("id has to be a number or a text")
    return request_id


def _words(message: dict) -> list[str]:
    command, args = message.get("command"), message.get("args") or []
    if not isinstance(command, str) or not isinstance(args, list):
        raise ValueError("command has to be a text, and args a list")
    if not all(isinstance(word, (int, float, str)) for word in args):
        raise ValueError("args has to have texts and numbers")
    words = shlex.split(command) + [str(word) for word in args]
    if not words:
        raise ValueError("there is no command")
    return words


def _run(arbiter, words: list[str]) -> dict:
    """Run the command of the longest name that begins `words`. Raises ValueError."""
    for count in (2, 1):
        command = COMMANDS.get(" ".join(words[:count]).lower())
        if command is not None and len(words) >= count:
            function, form, most, _ = command
            rest = words[count:]
            if len(rest) > most:
                raise ValueError(f"too many arguments: {shlex.join(rest[most:])}")
            if not rest and form.isupper() and "[" not in form:
                raise ValueError(f"{' '.join(words[:count])} needs {form}")
            return function(arbiter, *rest)
    raise ValueError(f"unknown command: {shlex.join(words)}; see help")


# ---- show ----


def show_all(arbiter) -> dict:
    """The master and its workers."""
    workers = [{"type": "web", **worker} for worker in _workers(arbiter)]
    dirty = dirty_arbiters.describe(arbiter)
    return {
        "arbiter": {"pid": arbiter.pid, "type": "arbiter", "role": "master"},
        "web_workers": workers,
        "web_worker_count": len(workers),
        "dirty_arbiter": _dirty_arbiter(dirty["pid"]),
        "dirty_workers": dirty["workers"],
        "dirty_worker_count": len(dirty["workers"]),
    }


def _dirty_arbiter(pid: int | None) -> dict | None:
    if pid is None:
        return None
    return {"pid": pid, "type": "dirty_arbiter", "role": "dirty master"}


def show_workers(arbiter) -> dict:
    """The workers, the oldest first."""
    workers = _workers(arbiter)
    return {"workers": workers, "count": len(workers)}


def _workers(arbiter) -> list[dict]:
    """The report of the status port, with gunicorn's names beside."""
    return [_with_names(one) for one in json.loads(arbiter._core.workers())["workers"]]


def _with_names(one: dict) -> dict:
    busy = one.get("busy", 0)
    return {
        "pid": one["pid"],
        "age": one["number"],
        "booted": one["phase"] != "booting",
        "aborted": one["phase"] in ("aborted", "killed"),
        "last_heartbeat": busy if busy > 0 else None,  # None: it has nothing to do
        "requests": one.get("served", 0),
        "phase": one["phase"],
        "slot": one.get("slot"),
        "generation": one["generation"],
        "seconds": one["age"],
        "resident_memory": one["resident_memory"],
        "threads": one.get("threads"),
        "running": one.get("running", 0),
        "queued": one.get("queued", 0),
        "in_flight": one.get("requests", []),
        "wait": one.get("wait", []),
    }


def show_dirty(arbiter) -> dict:
    """The dirty arbiter, its workers and its applications."""
    return dirty_arbiters.describe(arbiter)


def show_config(arbiter) -> dict:
    """The settings that operators ask for most."""
    values = {name: getattr(arbiter.cfg, name) for name in SETTINGS}
    values["worker_class"] = arbiter.cfg.worker_class_str
    return {name: _plain(value) for name, value in values.items()}


def _plain(value):
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def show_stats(arbiter) -> dict:
    """The server's counters since its start."""
    stats = arbiter._stats
    started = stats["start_time"]
    return {
        "uptime": round(time.time() - started, 2) if started else None,
        "pid": arbiter.pid,
        "workers_current": len(arbiter.WORKERS),
        "workers_target": arbiter._core.target,
        "workers_least": arbiter.num_workers,
        "workers_spawned": stats["workers_spawned"],
        "workers_killed": stats["workers_killed"],
        "reloads": stats["reloads"],
        "dirty_arbiter_pid": dirty_arbiters.describe(arbiter)["pid"],
    }


def show_listeners(arbiter) -> dict:
    """The listening sockets. With reuse_port each worker has its own: `fd` is None then."""
    listeners = [
        {"address": str(one), "fd": one.fileno(), "type": _type_of(one.cfg_addr)}
        for one in arbiter.LISTENERS
    ]
    if arbiter.cfg.reuse_port:
        listeners = [
            {"address": _text_of(one), "fd": None, "type": _type_of(one)}
            for one in arbiter.cfg.address
        ]
    return {"listeners": listeners, "count": len(listeners)}


def _text_of(address) -> str:
    return address if isinstance(address, str) else f"{address[0]}:{address[1]}"


def _type_of(address) -> str:
    if isinstance(address, (str, bytes)):
        return "unix"
    if isinstance(address, tuple):
        return "tcp6" if ":" in address[0] else "tcp"
    return "fd"


# ---- workers ----


def worker_add(arbiter, text: str = "1") -> dict:
    """More workers, as TTIN."""
    count, before = _count(text), _goal(arbiter)
    if before + count > MOST_WORKERS:
        raise ValueError(f"there can be {MOST_WORKERS} workers at most")
    arbiter.num_workers = before + count
    return {"added": count, "previous": before, "total": arbiter.num_workers}


def worker_remove(arbiter, text: str = "1") -> dict:
    """Fewer workers, down to one, as TTOU."""
    count, before = _count(text), _goal(arbiter)
    total = max(min(1, before), before - count)
    if total != before:
        arbiter.num_workers = total
    return {"removed": before - total, "previous": before, "total": total}


def _goal(arbiter) -> int:
    _check_serving(arbiter)
    return arbiter.num_workers


def _check_serving(arbiter) -> None:
    """Raise ValueError while the server stops: these commands would have no effect."""
    if arbiter._stopping:
        raise ValueError("the server is stopping")


def worker_kill(arbiter, text: str) -> dict:
    """Stop one worker by TERM; another takes its place."""
    pid = _number(text, "a pid")
    if pid not in arbiter.WORKERS:
        return {"success": False, "error": f"{pid} is no worker of this server"}
    arbiter.kill_worker(pid, signal.SIGTERM)
    return {"success": True, "killed": pid}


def drain(arbiter, text: str) -> dict:
    """Replace the worker of a slot without a gap: it serves until its successor is ready."""
    _check_serving(arbiter)
    pid = _pid_in(arbiter, text)
    try:
        arbiter._core.retire(pid)
    except OSError:
        return {"success": False, "error": f"worker {pid} boots, or is being replaced already"}
    arbiter.log.info("Worker (pid:%s) is to be replaced: gunicornc drain", pid)
    return {"success": True, "pid": pid}


def stack(arbiter, text: str) -> dict:
    """The Python stacks of the worker in a slot."""
    raise StackOf(_pid_in(arbiter, text))


def _pid_in(arbiter, text: str) -> int:
    slot = _number(text, "a slot")
    for worker in _workers(arbiter):
        if worker["slot"] == slot:
            pid: int = worker["pid"]
            return pid
    raise ValueError(f"no worker has slot {slot}; see show workers")


def _count(text: str) -> int:
    count = _number(text, "a count")
    if count < 1:
        raise ValueError("a count is 1 or greater")
    return count


def _number(text: str, kind: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{text!r} is not {kind}")
    return int(text)


def dirty_add(arbiter, text: str = "1") -> dict:
    """More dirty workers, until a reload."""
    count = _count(text)
    _check_serving(arbiter)
    changed = dirty_arbiters.change(arbiter, count)
    if changed is None:
        return _why_no_dirty(arbiter)
    spawned = changed["target_workers"] - changed["previous"]
    return {"success": True, "operation": "add", "requested": count, "spawned": spawned, **changed}


def dirty_remove(arbiter, text: str = "1") -> dict:
    """Fewer dirty workers, until a reload, down to the number that the applications need."""
    count = _count(text)
    _check_serving(arbiter)
    changed = dirty_arbiters.change(arbiter, -count)
    if changed is None:
        return _why_no_dirty(arbiter)
    gone = changed["previous"] - changed["target_workers"]
    return {"success": True, "operation": "remove", "requested": count, "removed": gone, **changed}


def _why_no_dirty(arbiter) -> dict:
    return DIRTY_DOWN if dirty_arbiters.is_wanted(arbiter.cfg) else NO_DIRTY


# ---- the server ----


def reload(arbiter) -> dict:
    """As HUP."""
    _check_serving(arbiter)
    return _signal("HUP", "reloading")


def reopen(arbiter) -> dict:
    """As USR1."""
    _check_serving(arbiter)
    return _signal("USR1", "reopening")


def shutdown(arbiter, mode: str = "graceful") -> dict:
    """As TERM, or as INT when it is `quick`."""
    names = {"graceful": "TERM", "quick": "INT"}
    if mode not in names:
        raise ValueError(f"shutdown is graceful or quick, not {mode!r}")
    return {**_signal(names[mode], "shutting_down"), "mode": mode}


def log_level(arbiter, level: str) -> dict:
    """Change the level of the error log, until the next reload."""
    arbiter._log_level.set(arbiter, level)
    arbiter.log.info("Log level: %s, by gunicornc, until the next reload", level.lower())
    return {"level": level.lower()}


def config_check(arbiter, path: str = "") -> dict:
    """The changes that a reload would make. A child reads the configuration."""
    _check_serving(arbiter)
    raise OutputOf(check.begin(arbiter, path))


def _signal(name: str, status: str) -> dict:
    os.kill(os.getpid(), getattr(signal, f"SIG{name}"))
    return {"status": status}


def list_commands(arbiter) -> dict:
    """The commands, with a line about each."""
    return {
        "commands": {
            f"{name} {form}".rstrip(): text for name, (_, form, _, text) in COMMANDS.items()
        }
    }


#: Of each command: its function, the form of its arguments, how many there may be, and its help.
COMMANDS: dict[str, tuple[Callable[..., dict[str, Any]], str, int, str]] = {
    "show all": (show_all, "", 0, "the master and its workers"),
    "show workers": (show_workers, "", 0, "the workers"),
    "show dirty": (show_dirty, "", 0, "the dirty workers"),
    "show config": (show_config, "", 0, "the settings that are in force"),
    "show stats": (show_stats, "", 0, "counters since the start"),
    "show listeners": (show_listeners, "", 0, "the listening sockets"),
    "worker add": (worker_add, "[N]", 1, "N workers more (TTIN)"),
    "worker remove": (worker_remove, "[N]", 1, "N workers fewer, down to one (TTOU)"),
    "worker kill": (worker_kill, "PID", 1, "stop one worker gracefully; another replaces it"),
    "drain": (drain, "SLOT", 1, "replace one worker; it serves until its successor is ready"),
    "stack": (stack, "SLOT", 1, "the Python stacks of one worker"),
    "dirty add": (dirty_add, "[N]", 1, "N dirty workers more"),
    "dirty remove": (dirty_remove, "[N]", 1, "N dirty workers fewer"),
    "reload": (reload, "", 0, "read the configuration again, replace the workers (HUP)"),
    "reopen": (reopen, "", 0, "open the log files anew (USR1)"),
    "log level": (log_level, "LEVEL", 1, "the level of the error log, until the next reload"),
    "config check": (config_check, "[FILE]", 1, "say what a reload would change"),
    "shutdown": (shutdown, "[graceful|quick]", 1, "stop the server (TERM, INT)"),
    "help": (list_commands, "", 0, "this list"),
}
