"""`config check` of the control socket: the changes that a reload would make.

A configuration is a program. It is run in a child of the master, so that one which hangs, crashes,
grows or prints does not harm the server. The child writes its findings, JSON, into a pipe.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys

from gunicorn.master import snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

SECONDS = 10  # of the processor; the master's loop waits as long for the answer
MOST_SHOWN = 200  # characters of a value
MOST_WARNINGS = 20
OTHERS = 0o077  # the bits of a mode that let other users connect


class Check:
    """A child that reads a configuration; its `pid` is 0 when it has been collected."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.request_id: Any = 0


def begin(arbiter, path: str) -> int:
    """Fork the child, and return the descriptor of its findings. Raises ValueError, OSError.

    path: a configuration file; empty: that of the server.
    """
    if arbiter._check is not None:
        raise ValueError("another config check runs: try again")
    if path and arbiter.cfg.control_socket_mode & OTHERS:
        # It is run as the user of the master, who may be root.
        raise ValueError("config check FILE needs a control_socket_mode of 0600 or 0700")
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid == 0:
        _be_child(arbiter, path, writer)
    os.close(writer)
    arbiter._check = Check(pid)
    return reader


def end(arbiter, text: bytes, complete: bool) -> tuple[Any, dict]:
    """End the child. Returns the number of the request, and the data of its answer."""
    check, arbiter._check = arbiter._check, None
    if check.pid and not complete:
        with contextlib.suppress(OSError):
            os.killpg(check.pid, signal.SIGKILL)
    data = _parse(text) if complete else None
    if data is None:
        data = _failed(f"the configuration gave no result within {SECONDS} s, or ended its process")
    return check.request_id, data


def _failed(reason: str) -> dict:
    return {"success": False, "error": reason}


def _parse(text: bytes) -> dict | None:
    """Return the findings; None if the child has not written all of them."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


# ---- in the child ----


def _be_child(arbiter, path: str, writer: int) -> None:
    try:
        _limit()
        text = json.dumps(_findings(arbiter, path)).encode()
        while text:
            text = text[os.write(writer, text) :]
    finally:
        os._exit(0)


def _limit() -> None:
    """Have this process die before it harms others. Its group is its own, to be killed whole."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # the first to be killed when there is no more memory
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)


def _findings(arbiter, path: str) -> dict:
    old, said = arbiter.cfg, io.StringIO()
    sys.stdout = sys.stderr = said
    try:
        _load(arbiter, path)
    except BaseException as exc:
        return _failed(_one_line(exc))
    return {
        "valid": True,
        "changes": _changes(old, arbiter.app.cfg),
        "warnings": said.getvalue().splitlines()[:MOST_WARNINGS],
    }


def _load(arbiter, path: str) -> None:
    """Read the configuration, as a reload does, without applying it."""
    app = arbiter.app
    if path:
        if not hasattr(app, "load_config_from_file"):
            raise ValueError("this application has no configuration file")
        app._load_file = lambda *locations: app.load_config_from_file(path)
    snapshot.reset_environ(arbiter.cfg)
    app.do_load_config()
    if hasattr(app, "_check_settings"):
        app._check_settings()


def _one_line(exc: BaseException) -> str:
    """Return the cause of a failure: a mistake in a configuration arrives as SystemExit."""
    if isinstance(exc, SystemExit) and exc.__context__ is not None:
        exc = exc.__context__
    if isinstance(exc, SystemExit):
        return "the configuration ends its process by sys.exit()"
    where = f"{type(exc).__name__}: " if type(exc).__module__ == "builtins" else ""
    return " ".join(f"{where}{exc}".split()) or type(exc).__name__


def _changes(old, new) -> list[dict]:
    """Return the settings that differ, by name, with their values now and after a reload."""
    both = ((name, old.settings.get(name), one) for name, one in sorted(new.settings.items()))
    return [
        {"name": name, "now": _shown(before.get()), "then": _shown(after.get())}
        for name, before, after in both
        if before is not None and not _equal(before.get(), after.get())
    ]


def _shown(value) -> str:
    text = f"<{value.__qualname__}()>" if hasattr(value, "__code__") else repr(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"


def _equal(a, b) -> bool:
    """Whether two values are the same. Each reading of a file makes its functions anew."""
    if hasattr(a, "__code__") and hasattr(b, "__code__"):
        return (
            _essence(a.__code__) == _essence(b.__code__)
            and a.__defaults__ == b.__defaults__
            and all(map(_equal, _enclosed(a), _enclosed(b)))
        )
    if isinstance(a, type) and isinstance(b, type):
        return (a.__module__, a.__qualname__) == (b.__module__, b.__qualname__)
    return bool(a == b)


def _enclosed(function) -> list:
    return [cell.cell_contents for cell in function.__closure__ or ()]


def _essence(code: CodeType) -> tuple:
    """Return the parts of a function's code that do not depend on its place in a file."""
    constants = tuple(
        _essence(one) if isinstance(one, type(code)) else one for one in code.co_consts
    )
    return code.co_code, code.co_names, constants
