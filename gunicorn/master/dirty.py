"""The dirty arbiters: forked, watched, replaced at a reload, stopped.

The master keeps their listener, so it stays the same for web workers, and calls wait there while
there is no arbiter. A new arbiter takes calls before the one that it replaces has to stop.
The master asks each arbiter for signs of life, and kills one that gives none.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import sys

from gunicorn import _dirty_socket
from gunicorn._dirty import (
    ASKED,
    BOOTED,
    LAST,
    LEAVES,
    REPORTED,
    SIGNS,
    SOCKET_VARIABLE,
    TAKES_CALLS,
    TARGET,
    WAITING,
    Board,
)
from gunicorn.errors import HaltServer
from gunicorn.master import ending, exchanges, titles, worker_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any

MOST = 4096  # dirty workers that an operator may ask for
WORD, SIGNED_WORD = 2**64 - 1, 2**63 - 1
BACKLOG = 1024  # callers that wait until they are accepted


class Dirty:
    """The dirty arbiters of a master, and their listener; `path` is None without one."""

    def __init__(self) -> None:
        self.path: str | None = None
        self.listener: socket.socket | None = None
        self._lock: int | None = None  # on the directory of the listener
        self._stash: IO[bytes] | None = None  # the tables of the stash, while they are handed on
        self.boards: dict[int, Board] = {}  # by the pid of the arbiter
        self.told = False  # they are to stop
        self.age = 0
        self._ready: set[int] = set()
        self._spare: list[Board] = []

    def open(self, cfg) -> None:
        """Listen in a directory of our own. Raises OSError."""
        import tempfile

        _dirty_socket.remove_dead(cfg.uid)
        self.path, self._lock = _dirty_socket.make()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._stash = tempfile.TemporaryFile()
            self.listener.bind(self.path)
            os.chmod(self.path, 0o600)
            if os.geteuid() == 0:
                os.chown(self.path, cfg.uid, cfg.gid)
                os.chown(os.path.dirname(self.path), cfg.uid, cfg.gid)
            self.listener.listen(BACKLOG)
            self.listener.setblocking(False)
        except OSError:
            self.close()
            raise
        os.environ[SOCKET_VARIABLE] = self.path

    def close(self) -> None:
        """Stop listening, and remove the directory."""
        path = self.path
        self.leave()
        if path is not None:
            os.environ.pop(SOCKET_VARIABLE, None)
            _dirty_socket.remove(path)

    def leave(self) -> None:
        """In a forked process: close what is the master's."""
        for one in (self.listener, self._stash):
            if one is not None:
                one.close()
        self.unlock()
        for board in self.all_boards():
            board.close()
        self.listener = self.path = self._stash = None
        self.boards, self._spare = {}, []

    def unlock(self) -> None:
        """In a forked process: the lock is the master's."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def place(self, core, board: Board, proves: bool, first: bool) -> dict[str, Any]:
        """Return the arguments of a dirty arbiter's Place."""
        return {
            "listener": self.listener,
            "path": self.path,
            "board": board,
            "master_pipe": core.master_pipe,
            "wake": core.wake,
            "stash": self._stash,
            "proves": proves,
            "first": first,
        }

    def all_boards(self) -> list[Board]:
        """Return the boards, with the counters of arbiters that have ended."""
        return [*self.boards.values(), *self._spare]

    def take_board(self) -> Board:
        """Return a board that no arbiter uses."""
        return self._spare.pop() if self._spare else Board()

    def is_served(self) -> bool:
        """Whether an arbiter takes calls."""
        return any(board.figures[TAKES_CALLS] for board in self.boards.values())

    def has_booted(self) -> bool:
        """Whether a dirty worker has booted since the start."""
        return any(board.figures[BOOTED] for board in self.all_boards())

    def asked(self) -> list[int]:
        """Return the arbiters that were sent SIGTERM by another process, once."""
        pids = [pid for pid, board in self.boards.items() if board.figures[ASKED]]
        for pid in pids:
            self.boards[pid].figures[ASKED] = 0
        return pids

    def newly_ready(self) -> list[int]:
        """Return the arbiters that take calls and did not when this was asked last."""
        pids = [pid for pid, board in self.boards.items() if board.figures[TAKES_CALLS]]
        new = [pid for pid in pids if pid not in self._ready]
        self._ready.update(new)
        return new

    def forget(self, pid: int) -> None:
        """An arbiter is dead."""
        board = self.boards.pop(pid, None)
        self._ready.discard(pid)
        if board is not None:
            board.clear()
            self._spare.append(board)


def is_wanted(cfg) -> bool:
    """Whether the configuration asks for dirty workers."""
    return cfg.dirty_workers > 0 and bool(cfg.dirty_apps)


def prepare(arbiter) -> None:
    """Before workers are forked: have a listener, if there are to be dirty workers.

    Raises RuntimeError.
    """
    state = arbiter._dirty
    if not is_wanted(arbiter.cfg) or state.listener is not None:
        return
    try:
        state.open(arbiter.cfg)
    except OSError as exc:
        raise RuntimeError(f"Cannot listen for calls of dirty workers: {exc}") from exc


def settle(arbiter) -> None:
    """After a reload: close the listener if there are no dirty workers any more."""
    if not is_wanted(arbiter.cfg):
        arbiter._dirty.close()


def spawn(arbiter) -> None:
    """Fork a dirty arbiter."""
    state = arbiter._dirty
    state.age += 1
    board, proves = state.take_board(), state.is_served()
    first = _is_first(arbiter)
    arbiter._forks = True
    try:
        pid = arbiter._core.fork_dirty(state.age)
    except OSError as exc:
        pause = arbiter._core.dirty_fork_failed()
        arbiter.log.error("Cannot fork a dirty arbiter: %s. The next try is in %.1f s.", exc, pause)
        return
    finally:
        arbiter._forks = False
    if pid == 0:
        worker_process.forked(arbiter, functools.partial(_live, arbiter, board, proves, first))
    state.boards[pid] = board
    arbiter.log.info("Spawned dirty arbiter (pid: %s) at %s", pid, state.path)


def _is_first(arbiter) -> bool:
    """Whether a dirty worker that does not boot ends the server, as the first web worker would."""
    return arbiter._stats["reloads"] == 0 and not arbiter._dirty.has_booted()


def look(arbiter) -> None:
    """After each sleep of the loop: report those that take calls now to the C core.

    An arbiter that was sent SIGTERM by another process than the master is replaced.
    """
    for pid in arbiter._dirty.newly_ready():
        arbiter._core.dirty_ready(pid)
    for pid in arbiter._dirty.asked():
        if not arbiter._stopping:
            with contextlib.suppress(OSError):  # it is to go already
                arbiter._core.retire(pid)


def sign(arbiter, pid: int) -> int:
    """Return how many signs of life an arbiter has given."""
    board = arbiter._dirty.boards.get(pid)
    return board.figures[SIGNS] & SIGNED_WORD if board is not None else 0


def timed_out(arbiter, pid: int, silent: float) -> None:
    """An arbiter is silent: it is aborted, and killed if it does not end by that."""
    arbiter.log.critical("DIRTY ARBITER TIMEOUT (pid:%s)", pid)
    arbiter.log.critical(
        "Dirty arbiter (pid:%s) has given no sign of life for %.1f s: it is killed, and its calls"
        " fail",
        pid,
        silent,
    )
    kill(arbiter, pid, signal.SIGABRT)
    kill(arbiter, pid, signal.SIGCONT)  # if it is stopped, it ends at once


def ready(arbiter, pid: int, generation: int) -> None:
    """A dirty arbiter takes calls; the one before it has to stop."""
    arbiter.log.debug("The dirty arbiter (pid:%s) takes calls", pid)


def died(arbiter, pid: int, status: int, phase: str, pause: float) -> None:
    """A dirty arbiter died; the C core has another forked."""
    first = _is_first(arbiter)
    arbiter._dirty.forget(pid)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGTERM:
        arbiter.log.info("Dirty arbiter (pid:%s) was sent SIGTERM", pid)
    elif code < 0:
        arbiter.log.warning("Dirty arbiter (pid:%s) killed by signal %s", pid, -code)
    elif code:
        arbiter.log.error("Dirty arbiter (pid:%s) exited with code %s", pid, code)
    else:
        arbiter.log.info("Dirty arbiter (pid:%s) exited", pid)
    if phase == "booting" and arbiter._dirty.is_served():
        arbiter.log.error("The dirty workers stay as they were: their successors did not boot")
    if pause:
        arbiter.log.error("Dirty arbiters die as soon as they start. The next is in %.2f s", pause)
    if arbiter._stopping:
        _refuse_calls(arbiter)
    elif first and code in (arbiter.WORKER_BOOT_ERROR, arbiter.APP_LOAD_ERROR):
        raise HaltServer("Dirty worker failed to boot.", code)


def _refuse_calls(arbiter) -> None:
    """The server stops: without an arbiter, calls of the web workers fail at once."""
    if not arbiter._dirty.boards:
        arbiter._dirty.close()


def kill(arbiter, pid: int, sig: int) -> None:
    """Send a signal to a dirty arbiter."""
    board = arbiter._dirty.boards.get(pid)
    if board is not None and sig == signal.SIGTERM:
        board.figures[LEAVES] = 1
    with contextlib.suppress(ProcessLookupError):
        arbiter._core.kill(pid, sig)


def kill_all(arbiter, sig: int) -> None:
    """Send a signal to the dirty arbiters."""
    for pid in list(arbiter._dirty.boards):
        kill(arbiter, pid, sig)


def stop_last(arbiter) -> None:
    """While the server stops: have the dirty arbiters stop after the last web worker."""
    if not arbiter.WORKERS and not arbiter._dirty.told:
        arbiter._dirty.told = True
        for board in arbiter._dirty.boards.values():
            board.figures[LAST] = 1
        kill_all(arbiter, signal.SIGTERM)


# ---- for operators ----


def figures(arbiter) -> tuple[int, ...]:
    """Return the figures of struct dirty_figures; an empty tuple if there are no dirty workers."""
    boards = arbiter._dirty.all_boards()
    return tuple(sum(board.figures[one] for board in boards) & WORD for one in REPORTED if boards)


def describe(arbiter) -> dict[str, Any]:
    """Return the dirty arbiter that takes calls, its workers and its applications."""
    pid, board = _present(arbiter)
    if board is None:
        return {"enabled": is_wanted(arbiter.cfg), "pid": None, "workers": [], "apps": []}
    shown = board.description()
    workers, limits = shown.get("workers", []), shown.get("limits", {})
    return {
        "enabled": True,
        "pid": pid,
        "workers": workers,
        "target": shown.get("target"),
        "waiting": board.figures[WAITING],
        "apps": [_app(path, limit, workers) for path, limit in limits.items()],
    }


def _present(arbiter) -> tuple[int, Board] | tuple[None, None]:
    """Return the youngest arbiter that takes calls, else the youngest, with its board."""
    boards = arbiter._dirty.boards
    serving = {pid: board for pid, board in boards.items() if board.figures[TAKES_CALLS]}
    for pid, board in reversed((serving or boards).items()):
        return pid, board
    return None, None


def _app(path: str, limit: int | None, workers: list[dict[str, Any]]) -> dict[str, Any]:
    pids = [one["pid"] for one in workers if path in one["apps"]]
    return {
        "import_path": path,
        "worker_count": limit,
        "current_workers": len(pids),
        "worker_pids": pids,
    }


def change(arbiter, change: int) -> dict[str, Any] | None:
    """Have more dirty workers, or fewer, until a reload. None: no arbiter runs.

    One that has just been forked looks at the board when it takes signals.
    """
    pid, board = _present(arbiter)
    if pid is None or board is None:
        return None
    shown = board.description()
    before = board.figures[TARGET] or shown.get("target", arbiter.cfg.dirty_workers)
    target = min(max(shown.get("floor", 1), before + change), MOST)
    board.figures[TARGET] = target
    os.kill(pid, signal.SIGTTIN)
    return {"previous": before, "target_workers": target}


# ---- in the new process ----


def _live(arbiter, board: Board, proves: bool, first: bool) -> None:
    """Be a dirty arbiter, or one of the workers that it forks. Raises SystemExit."""
    try:
        _become(arbiter)
        _serve(arbiter, board, proves, first)
        sys.exit(0)
    except SystemExit:
        raise
    except BaseException:
        arbiter.log.exception("Exception in dirty arbiter process")
        sys.exit(-1)
    finally:
        name = f"Dirty process (pid:{os.getpid()})"
        ending.guard(arbiter.log, name, arbiter.cfg.dirty_graceful_timeout)


def _become(arbiter) -> None:
    """Release the master's resources."""
    ending.forget_processes()
    arbiter._status.close(unlink=False)
    arbiter._control.leave()
    arbiter._dirty.unlock()
    if arbiter._reloading is not None:
        arbiter._reloading.close_in_worker(arbiter)
    arbiter._shared = exchanges.NOBODYS  # requests are not for it
    for listener in arbiter.LISTENERS:
        listener.close()
    titles.show(arbiter, "dirty-arbiter")


def _serve(arbiter, board: Board, proves: bool, first: bool) -> None:
    from gunicorn.dirty.arbiter import DirtyArbiter, Place

    place = Place(**arbiter._dirty.place(arbiter._core, board, proves, first))
    worker = DirtyArbiter(arbiter.cfg, arbiter.log, place).run()
    if worker is not None:
        titles.show(arbiter, "dirty-worker")
        worker.live()
