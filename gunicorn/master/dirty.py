"""The dirty arbiters: forked, watched, replaced at a reload, stopped.

The master keeps their listener, so it stays the same for web workers, and calls wait there while
there is no arbiter. A new arbiter takes calls before the one that it replaces has to stop.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import sys

from gunicorn._dirty import LAST, REPORTED, SOCKET_VARIABLE, TAKES_CALLS, TARGET, WAITING, Board
from gunicorn.master import ending, exchanges, titles, worker_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any

MOST = 4096  # dirty workers that an operator may ask for
WORD = 2**64 - 1
BACKLOG = 1024  # callers that wait until they are accepted


class Dirty:
    """The dirty arbiters of a master, and their listener; `path` is None without one."""

    def __init__(self) -> None:
        self.path: str | None = None
        self.listener: socket.socket | None = None
        self._stash: IO[bytes] | None = None  # the tables of the stash, while they are handed on
        self.boards: dict[int, Board] = {}  # by the pid of the arbiter
        self.told = False  # they are to stop
        self.age = 0
        self._ready: set[int] = set()
        self._spare: list[Board] = []

    def open(self, cfg) -> None:
        """Listen in a directory of our own. Raises OSError."""
        import tempfile

        directory = tempfile.mkdtemp(prefix="gunicorn-dirty-")
        self.path = os.path.join(directory, "arbiter.sock")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stash = tempfile.TemporaryFile()
        try:
            self.listener.bind(self.path)
            os.chmod(self.path, 0o600)
            if os.geteuid() == 0:
                os.chown(self.path, cfg.uid, cfg.gid)
                os.chown(directory, cfg.uid, cfg.gid)
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
            with contextlib.suppress(OSError):
                os.unlink(path)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(path))

    def leave(self) -> None:
        """In a forked process: close what is the master's."""
        for one in (self.listener, self._stash):
            if one is not None:
                one.close()
        for board in self.all_boards():
            board.close()
        self.listener = self.path = self._stash = None
        self.boards, self._spare = {}, []

    def place(self, core, board: Board, proves: bool) -> dict[str, Any]:
        """Return the arguments of a dirty arbiter's Place."""
        return {
            "listener": self.listener,
            "path": self.path,
            "board": board,
            "master_pipe": core.master_pipe,
            "wake": core.wake,
            "stash": self._stash,
            "proves": proves,
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
        worker_process.forked(arbiter, functools.partial(_live, arbiter, board, proves))
    state.boards[pid] = board
    arbiter.log.info("Spawned dirty arbiter (pid: %s) at %s", pid, state.path)


def look(arbiter) -> None:
    """After each sleep of the loop: report those that take calls now to the C core."""
    for pid in arbiter._dirty.newly_ready():
        arbiter._core.dirty_ready(pid)


def ready(arbiter, pid: int, generation: int) -> None:
    """A dirty arbiter takes calls; the one before it has to stop."""
    arbiter.log.debug("The dirty arbiter (pid:%s) takes calls", pid)


def died(arbiter, pid: int, status: int, phase: str, pause: float) -> None:
    """A dirty arbiter died; the C core has another forked."""
    arbiter._dirty.forget(pid)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        arbiter.log.warning("Dirty arbiter (pid:%s) killed by signal %s", pid, -code)
    elif code:
        arbiter.log.error("Dirty arbiter (pid:%s) exited with code %s", pid, code)
    else:
        arbiter.log.info("Dirty arbiter (pid:%s) exited", pid)
    if phase == "booting" and arbiter._dirty.is_served():
        arbiter.log.error("The dirty workers stay as they were: their successors did not boot")
    if pause:
        arbiter.log.error("Dirty arbiters die as soon as they start. The next is in %.2f s", pause)


def kill(arbiter, sig: int) -> None:
    """Send a signal to the dirty arbiters."""
    for pid in list(arbiter._dirty.boards):
        with contextlib.suppress(ProcessLookupError):
            arbiter._core.kill(pid, sig)


def stop_last(arbiter) -> None:
    """While the server stops: have the dirty arbiters stop after the last web worker."""
    if not arbiter.WORKERS and not arbiter._dirty.told:
        arbiter._dirty.told = True
        for board in arbiter._dirty.boards.values():
            board.figures[LAST] = 1
        kill(arbiter, signal.SIGTERM)


# ---- for operators ----


def figures(arbiter) -> tuple[int, ...]:
    """Return the figures of struct dirty_figures; an empty tuple if there are no dirty workers."""
    boards = arbiter._dirty.all_boards()
    return tuple(sum(board.figures[one] for board in boards) & WORD for one in REPORTED if boards)


def describe(arbiter) -> dict[str, Any]:
    """Return the dirty arbiter that takes calls, its workers and its applications."""
    pid, board = _present(arbiter)
    if board is None:
        return {"enabled": False, "pid": None, "workers": [], "apps": []}
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
    """Have more dirty workers, or fewer, until a reload. None: there are none."""
    pid, board = _present(arbiter)
    shown = board.description() if board is not None else {}
    if pid is None or board is None or "target" not in shown:
        return None
    before = board.figures[TARGET] or shown["target"]
    target = min(max(shown["floor"], before + change), MOST)
    board.figures[TARGET] = target
    os.kill(pid, signal.SIGTTIN)
    return {"previous": before, "target_workers": target}


# ---- in the new process ----


def _live(arbiter, board: Board, proves: bool) -> None:
    """Be a dirty arbiter, or one of the workers that it forks. Raises SystemExit."""
    try:
        _become(arbiter)
        _serve(arbiter, board, proves)
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
    if arbiter._reloading is not None:
        arbiter._reloading.close_in_worker(arbiter)
    arbiter._shared = exchanges.NOBODYS  # requests are not for it
    for listener in arbiter.LISTENERS:
        listener.close()
    titles.show(arbiter, "dirty-arbiter")


def _serve(arbiter, board: Board, proves: bool) -> None:
    from gunicorn.dirty.arbiter import DirtyArbiter, Place

    place = Place(**arbiter._dirty.place(arbiter._core, board, proves))
    worker = DirtyArbiter(arbiter.cfg, arbiter.log, place).run()
    if worker is not None:
        titles.show(arbiter, "dirty-worker")
        worker.live()
