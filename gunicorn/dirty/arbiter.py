"""The dirty arbiter: the process that forks the dirty workers and hands them calls.

It runs no code of an application, and decodes no more of a call than its names. It forks between
two runs of its event loop, so a worker begins without one. Its listener is the master's, and stays
the same when an arbiter is replaced: a call that comes meanwhile waits there.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import selectors
import signal
import socket
import sys

from gunicorn import _dirty_socket
from gunicorn._dirty import (
    ASKED,
    BOOTED,
    DEATHS,
    LAST,
    LEAVES,
    SIGNS,
    TAKES_CALLS,
    TARGET,
    WORKERS,
)

from ._call import Again
from ._callers import Caller
from ._control import Control
from ._memory import Memory
from ._pool import BOOTING, GONE, LEAVING, READY, STOPPING, Member, Pool
from ._tables import Tables
from .app import parse_dirty_app_spec
from .worker import BOOT_ERROR, LOAD_ERROR, SIGNALS, DirtyWorker, dump_stacks_on_abort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO, Any

    from gunicorn._dirty import Board
    from gunicorn.config import Config
    from gunicorn.glogging import Logger

    from ._pool import Seat, Waiter
    from ._relay import Line

ACCEPTS = 64  # callers accepted in one turn of the loop
ABORT_PAUSE = 1.0  # seconds from SIGABRT to SIGKILL
QUICK_PAUSE = 2.0  # seconds that workers have to stop after SIGQUIT
SILENCE = 1.0  # seconds in which a worker dies that has closed its control connection
LEAVE_PAUSE = 0.2  # seconds in which SIGTERM for all processes has reached each
SHOW_PAUSE = 0.05  # seconds between two descriptions on the board
SWEEP = 1.0  # seconds between two looks for callers that have left the queue
FIRST_PAUSE, LAST_PAUSE = 0.25, 30.0  # seconds before a worker is forked again that did not boot


class Place:
    """The values that the master gives to an arbiter.

    Callers connect to `listener`, at `path`; `master_pipe` ends with the master; `wake` has the
    master look at the board. All arbiters of the master have the file `stash`. `proves`: an older
    arbiter takes the calls until this one can. `first`: no dirty worker has booted since the start,
    so one that does not boot ends the server.
    """

    def __init__(
        self,
        listener: socket.socket,
        path: str,
        board: Board,
        master_pipe: int,
        wake: Callable[[], None],
        stash: IO[bytes],
        proves: bool,
        first: bool,
    ) -> None:
        self.listener = listener
        self.path = path
        self.board = board
        self.master_pipe = master_pipe
        self.wake = wake
        self.stash = stash
        self.proves = proves
        self.first = first


class DirtyArbiter:
    """A dirty arbiter. Hooks use `pid`, `cfg`, `log`, `num_workers`, `workers` (pid to worker)."""

    def __init__(self, cfg: Config, log: Logger, place: Place) -> None:
        self.cfg = cfg
        self.log = log
        self.pid = os.getpid()
        self.ppid = os.getppid()
        self.board = place.board
        self.socket_path = place.path
        self.tables = Tables(place.stash.fileno(), log)
        self.leaving = False  # no new callers; those that are there have their calls answered
        self.worker_age = 0
        self._place = place
        self._exit_status = 0
        self._asked = False  # by SIGTERM of another process than the master
        self._orphaned = False  # the master is gone
        self._failures = 0  # of boots, in a row
        self._showing = False  # the board is about to be written
        self._sweeping = False  # it is going to look for callers that have left the queue
        self._paused = False  # until the next try
        self._callers: dict[Caller, asyncio.Task[None]] = {}
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._signal_pipe = os.pipe()
        self._memory = Memory(self)
        self.pool: Pool
        self._changed: asyncio.Event

    @property
    def workers(self) -> dict[int, DirtyWorker]:
        """The workers, by their pids."""
        return {pid: member.worker for pid, member in self.pool.members.items()}

    @property
    def num_workers(self) -> int:
        """How many workers there should be."""
        return self.pool.target

    # ---- the loop ----

    def run(self) -> DirtyWorker | None:
        """Be the arbiter. Returns None at its end, and the worker in each process it forks.

        Raises SystemExit if it has failed.
        """
        self.log.info("Dirty arbiter starting (pid: %s)", self.pid)
        dump_stacks_on_abort(self.log)
        self.cfg.on_dirty_starting(self)
        self._loop.run_until_complete(self._begin())
        while not self._is_over():
            if self._may_fork():
                worker = self._fork()
                if worker is not None:
                    return worker
            self._loop.run_until_complete(self._change())
        self._loop.run_until_complete(_end_tasks())
        self._loop.close()
        if self._orphaned:
            _dirty_socket.remove(self.socket_path)
        self.log.info("Dirty arbiter exiting (pid: %s)", self.pid)
        if self._exit_status:
            sys.exit(self._exit_status)
        return None

    async def _begin(self) -> None:
        limits = dict(map(parse_dirty_app_spec, self.cfg.dirty_apps))
        self.pool = Pool(limits, self.cfg.dirty_workers)
        self._changed = asyncio.Event()
        self._take_signals()
        self._give_sign()
        self._loop.add_reader(self._place.master_pipe, self._master_gone)
        if self.board.figures[TARGET]:
            self._take_target()  # SIGTTIN, too
        self._show()
        if self.board.figures[LAST]:
            self._leave()  # the signal came before it could be heard
        elif not self._place.proves:
            self._listen()

    async def _change(self) -> None:
        """Wait until there is something to fork, or the end."""
        await self._changed.wait()
        self._changed.clear()

    def changed(self) -> None:
        """A worker has changed: see whether one is to be forked or stopped, and show it."""
        while not self.leaving and (member := self.pool.surplus()):
            self.retire(member)
        if self._place.proves and not self.leaving and self._is_complete():
            self._listen()
        self._show_soon()
        self._changed.set()

    def _is_complete(self) -> bool:
        return not (self.pool.missing() or self.pool.booting())

    def _is_over(self) -> bool:
        return self.leaving and not self.pool.members and not self._callers

    def _listen(self) -> None:
        """Take calls from now on."""
        self._place.proves = False
        self._loop.add_reader(self._place.listener, self._accept)
        self.log.info("Dirty arbiter listening on %s", self.socket_path)
        self.board.figures[TAKES_CALLS] = 1
        self._place.wake()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Act after some seconds."""
        self._loop.call_later(seconds, act)

    # ---- callers ----

    def _accept(self) -> None:
        for _ in range(0 if self.leaving else ACCEPTS):
            try:
                sock, _ = self._place.listener.accept()
            except BlockingIOError:
                return
            except OSError as exc:
                self._stop_accepting(exc)
                return
            caller = Caller(self, sock)
            self._callers[caller] = self._loop.create_task(caller.serve())
            self._callers[caller].add_done_callback(functools.partial(self._left, caller))

    def _stop_accepting(self, exc: OSError) -> None:
        """There are no descriptors: callers wait in the queue of the listener."""
        self.log.error("The dirty arbiter cannot accept: %s. It tries again in %s s", exc, SWEEP)
        self._loop.remove_reader(self._place.listener)
        self._loop.call_later(SWEEP, self._go_on_accepting)

    def _go_on_accepting(self) -> None:
        if not self.leaving:
            self._loop.add_reader(self._place.listener, self._accept)

    def _left(self, caller: Caller, task: asyncio.Task[None]) -> None:
        del self._callers[caller]
        if not task.cancelled() and task.exception() is not None:
            self.log.error("A call failed in the dirty arbiter", exc_info=task.exception())
        if self.leaving and not self._callers:
            self._stop_workers()

    def wait(self, app: str, line: Line) -> Waiter:
        """Return a place in the queue for a seat."""
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(SWEEP, self._sweep)
        return self.pool.wait(app, line)

    def _sweep(self) -> None:
        """Forget calls in the queue whose callers have left."""
        waiting = list(self.pool.waiting())
        for waiter in waiting:
            if waiter.line.is_closed():
                waiter.seat.cancel()
        self._sweeping = bool(waiting)
        if waiting:
            self._loop.call_later(SWEEP, self._sweep)

    @contextlib.contextmanager
    def counted(self, gauge: int) -> Iterator[None]:
        """Count a call in a gauge meanwhile."""
        self.board.figures[gauge] += 1
        self._show_soon()
        self._memory.look_soon()
        try:
            yield
        finally:
            self.board.figures[gauge] -= 1
            self._show_soon()

    # ---- calls ----

    def done(self, seat: Seat) -> None:
        """A call has been answered."""
        self.pool.give_back(seat)
        self._settle(seat.member)

    def timed_out(self, seat: Seat, name: str) -> None:
        """A call took too long: its worker is aborted when its other threads have answered."""
        self.log.critical("DIRTY WORKER TIMEOUT (pid:%s)", seat.member.pid)
        self.log.critical("It ran %s for longer than dirty_timeout", name)
        seat.member.stuck.add(seat)
        seat.member.worker.aborted = True
        self.retire(seat.member)
        self._settle(seat.member)

    def drop(self, seat: Seat) -> None:
        """Close a seat. Its thread offers another, or its worker is aborted after dirty_timeout."""
        self.pool.drop(seat)
        self._settle(seat.member)
        if self.cfg.dirty_timeout:
            self._loop.call_later(self.cfg.dirty_timeout, self._look_for_lost, seat.member)

    def _look_for_lost(self, member: Member) -> None:
        limit = self._loop.time() - self.cfg.dirty_timeout
        if member.lost and member.lost[0] <= limit and member.serves:
            self.log.critical("DIRTY WORKER TIMEOUT (pid:%s)", member.pid)
            self.log.critical("A thread runs on for dirty_timeout after its caller has left")
            member.worker.aborted = True
            self.retire(member)

    def broken(self, member: Member, exc: Exception | str) -> None:
        """A worker has broken the protocol."""
        if not member.broken:
            self.log.error("Dirty worker (pid:%s) is killed: %s", member.pid, exc)
        member.broken = True
        self.kill(member, signal.SIGKILL)

    def too_big(self, member: Member, verdict: str) -> None:
        """A worker is beyond the hard limit of memory: it is aborted, and its calls fail."""
        if member.phase in (BOOTING, READY, LEAVING):
            self.log.error("Dirty worker (pid:%s) %s: it is aborted", member.pid, verdict)
            member.verdict = f"was ended, as it {verdict},"
            member.worker.aborted = True
            member.phase = STOPPING
            self._abort(member)
            self._changed.set()

    def fell_silent(self, member: Member) -> None:
        """A worker has closed its control connection: its death follows, or it is killed."""
        self._loop.call_later(SILENCE, self._kill_silent, member)

    def _kill_silent(self, member: Member) -> None:
        if member.apps and member.phase in (BOOTING, READY, LEAVING):
            self.broken(member, "it has closed its connection with the arbiter")

    def retire(self, member: Member) -> None:
        """Have a worker stop after its present calls."""
        if member.phase == BOOTING:
            member.phase = STOPPING
            self.kill(member, signal.SIGTERM)
            self._loop.call_later(ABORT_PAUSE, self.kill, member, signal.SIGKILL)
        elif member.phase == READY:
            member.phase = LEAVING
            self._settle(member)
        self._changed.set()

    def wants_to_leave(self, member: Member) -> None:
        """A worker was sent SIGTERM. If all processes of the server were, it serves to the end."""
        self._loop.call_later(LEAVE_PAUSE, self._let_leave, member)

    def _let_leave(self, member: Member) -> None:
        if not self._asked:
            self.retire(member)

    def _settle(self, member: Member) -> None:
        """Stop a worker that is to stop and has no call to finish."""
        if member.phase != LEAVING or member.running:
            return
        member.phase = STOPPING
        if member.worker.aborted:
            self._abort(member)
        else:
            member.control.close()
            self._loop.call_later(self.cfg.dirty_graceful_timeout, self._abort, member)

    def _abort(self, member: Member) -> None:
        self.kill(member, signal.SIGABRT)
        self._loop.call_later(ABORT_PAUSE, self.kill, member, signal.SIGKILL)

    def kill(self, member: Member, signo: int) -> None:
        """Send a signal to a worker that lives."""
        if self.pool.members.get(member.pid) is member:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signo)

    # ---- workers ----

    def _may_fork(self) -> bool:
        return not self.leaving and not self._paused and self.pool.missing()

    def _fork(self) -> DirtyWorker | None:
        """Fork a worker. Returns it in its process, else None."""
        pair = self._try_to_pair()
        if pair is None:
            return None
        ours, theirs = pair
        self.worker_age += 1
        worker = DirtyWorker(
            self.worker_age, self.pid, self.pool.plan(), self.cfg, self.log, theirs
        )
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        pid = self._try_to_fork()
        if pid == 0:
            self._become(worker, ours)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if pid == 0:
            return worker
        theirs.close()
        if pid < 0:
            ours.close()
            return None
        worker.pid = pid
        self._loop.run_until_complete(self._watch(worker, ours))
        self._call_hook("dirty_post_fork", worker)
        self.log.info("Spawned dirty worker (pid: %s) with apps: %s", pid, worker.app_paths)
        self.changed()
        return None

    def _try_to_pair(self) -> tuple[socket.socket, socket.socket] | None:
        try:
            return socket.socketpair()
        except OSError as exc:
            self._cannot_fork(exc)
            return None

    def _try_to_fork(self) -> int:
        try:
            return os.fork()
        except OSError as exc:
            self._cannot_fork(exc)
            return -1

    def _cannot_fork(self, exc: OSError) -> None:
        self.log.error("Cannot fork a dirty worker: %s", exc)
        self._pause()

    async def _watch(self, worker: DirtyWorker, sock: socket.socket) -> None:
        member = Member(worker, Control(self, sock))
        self.pool.add(member)
        member.control.begin(member)
        if self.cfg.dirty_timeout:
            self._loop.call_later(self.cfg.dirty_timeout, self._boot_too_long, member)

    def _become(self, worker: DirtyWorker, ours: socket.socket) -> None:
        """In a worker: close all that is the arbiter's.

        The worker keeps the arbiter, whose coroutines would act if they were freed.
        """
        worker.keep(self)
        signal.set_wakeup_fd(-1)
        worker.init_signals()
        self._selector.close()
        for name in ("_ssock", "_csock"):  # the loop's own pipe
            with contextlib.suppress(AttributeError):
                getattr(self._loop, name).close()
        for one in (*self._signal_pipe, self._place.master_pipe):
            os.close(one)
        self._place.stash.close()
        self._place.listener.close()
        self.board.close()
        for caller in self._callers:
            caller.line.sock.close()
        for member in self.pool.members.values():
            member.control.sock.close()
            for seat in member.seats:
                seat.line.sock.close()
        ours.close()

    def _boot_too_long(self, member: Member) -> None:
        if member.phase == BOOTING:
            limit = self.cfg.dirty_timeout
            self.log.critical("DIRTY WORKER TIMEOUT (pid:%s)", member.pid)
            self.log.critical("It loaded its applications for longer than dirty_timeout %s", limit)
            self._abort(member)

    def booted(self, member: Member) -> None:
        """A worker has loaded its applications."""
        self._failures = 0
        self._place.first = False
        self.board.figures[BOOTED] = 1
        self._memory.booted(member)
        self.pool.booted(member)
        self.changed()

    def _reap(self) -> None:
        for member in list(self.pool.members.values()):
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(member.pid, os.WNOHANG)
                if pid:
                    self._died(member, os.waitstatus_to_exitcode(status))

    def _died(self, member: Member, code: int) -> None:
        expected = member.phase == STOPPING
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"exited with status {code}"
        self._log_death(member, code)
        if member.phase == BOOTING and member.apps and code != -signal.SIGTERM:
            self._boot_failed(code)
        self.board.figures[DEATHS] += not expected
        self.pool.remove(member)
        member.phase = GONE
        member.death.set_result(member.verdict or how)
        member.control.close()
        for seat in list(member.seats):
            seat.line.close()
        self._call_hook("dirty_worker_exit", member.worker)
        self.changed()

    def _call_hook(self, name: str, worker: DirtyWorker) -> None:
        """Call a hook. If it fails, no call and no worker are lost by that."""
        try:
            getattr(self.cfg, name)(self, worker)
        except Exception:
            self.log.exception("The hook %s failed for dirty worker (pid:%s)", name, worker.pid)
        self._give_sign()  # the next hook may be slow, too

    def _log_death(self, member: Member, code: int) -> None:
        if code < 0 and -code != signal.SIGTERM:
            name = _signal_name(-code)
            self.log.warning("Dirty worker (pid:%s) killed by signal %s", member.pid, name)
        elif code in (BOOT_ERROR, LOAD_ERROR) and member.phase == BOOTING:
            self.log.error("Dirty worker failed to boot (pid:%s)", member.pid)
        elif code > 0:
            self.log.error("Dirty worker (pid:%s) exited with code %s", member.pid, code)
        self.log.info("Dirty worker exited (pid:%s)", member.pid)

    def _boot_failed(self, code: int) -> None:
        """Give up, if an older arbiter takes the calls or none ever has; else try again."""
        failed = code in (BOOT_ERROR, LOAD_ERROR)
        if self._place.proves or (self._place.first and failed):
            self._exit_status = code if failed else BOOT_ERROR
            self._quit()
        else:
            self._pause()

    def _pause(self) -> None:
        pause = min(FIRST_PAUSE * 2**self._failures, LAST_PAUSE)
        self._failures += 1
        self._paused = True
        self.log.error("The next try to start a dirty worker is in %.2f s", pause)
        self._loop.call_later(pause, self._try_again)

    def _try_again(self) -> None:
        self._paused = False
        self._changed.set()

    # ---- signals, and the end ----

    def _take_signals(self) -> None:
        for fd in self._signal_pipe:
            os.set_blocking(fd, False)
        for signo in SIGNALS:
            if signo != signal.SIGABRT:
                signal.signal(signo, _ignore)
        signal.signal(signal.SIGWINCH, _ignore)
        signal.set_wakeup_fd(self._signal_pipe[1], warn_on_full_buffer=False)
        self._loop.add_reader(self._signal_pipe[0], self._hear_signals)

    def _hear_signals(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for signo in os.read(self._signal_pipe[0], 4096):
                self._signalled(signo)

    def _signalled(self, signo: int) -> None:
        if signo == signal.SIGCHLD:
            self._reap()
        elif signo == signal.SIGWINCH:
            self._give_sign()
        elif signo == signal.SIGTERM:
            self._terminated()
        elif signo in (signal.SIGQUIT, signal.SIGINT):
            self._quit()
        elif signo == signal.SIGUSR1:
            self._reopen_logs()
        elif signo == signal.SIGTTIN:
            self._take_target()
        elif signo == signal.SIGTTOU:
            self.set_target(self.pool.target - 1)

    def _take_target(self) -> None:
        """Have as many workers as the master has put on the board, or one more."""
        wanted, self.board.figures[TARGET] = self.board.figures[TARGET], 0
        self.set_target(wanted or self.pool.target + 1)

    def set_target(self, target: int) -> None:
        """Have another number of workers, not below what the limits of applications need."""
        floor = self.pool.floor()
        if target < floor:
            self.log.warning(
                "There are no fewer than %s dirty workers: applications need them", floor
            )
        self.pool.target = max(target, floor)
        self.changed()

    def _reopen_logs(self) -> None:
        self.log.reopen_files()
        for member in list(self.pool.members.values()):
            self.kill(member, signal.SIGUSR1)

    def _give_sign(self) -> None:
        """The master asks for a sign of life."""
        self.board.figures[SIGNS] += 1

    def _terminated(self) -> None:
        """Leave if the master says so; else have it start another arbiter first.

        If SIGTERM was for all processes of the server, the last web workers still have calls.
        """
        if self.board.figures[LEAVES] or not self.board.figures[TAKES_CALLS]:
            self._leave()
        elif not self._asked:
            self._asked = True
            self.board.figures[ASKED] = 1
            self._place.wake()

    def _leave(self) -> None:
        """Answer the calls that are there, stop the workers, and end."""
        if self.leaving:
            return
        self._close_door()
        if self.has_successor():
            self.tables.hand_on()
            for waiter in self.pool.waiting():
                waiter.give_up(Again())
        for caller in list(self._callers):
            caller.leave()
        if not self._callers:
            self._stop_workers()
        self._loop.call_later(self.cfg.dirty_graceful_timeout, self._quit)

    def has_successor(self) -> bool:
        """Whether another arbiter takes the calls now."""
        return self.leaving and not self.board.figures[LAST]

    def _close_door(self) -> None:
        self.leaving = True
        self._loop.remove_reader(self._place.listener)
        self.board.figures[TAKES_CALLS] = 0
        self._changed.set()

    def _stop_workers(self) -> None:
        for member in list(self.pool.members.values()):
            self.retire(member)
        self._changed.set()

    def _quit(self) -> None:
        """End at once."""
        self._close_door()
        for task in self._callers.values():
            task.cancel()
        for member in list(self.pool.members.values()):
            member.phase = STOPPING
            self.kill(member, signal.SIGQUIT)
            self._loop.call_later(QUICK_PAUSE, self.kill, member, signal.SIGKILL)

    def _master_gone(self) -> None:
        self._loop.remove_reader(self._place.master_pipe)
        self._orphaned = True
        self.log.warning("The master is gone: the dirty arbiter stops (pid: %s)", self.pid)
        self._quit()

    # ---- its figures ----

    def status(self) -> dict[str, Any]:
        """Return the figures of its workers and applications, as plain values."""
        members = list(self.pool.members.values())
        return {
            "arbiter_pid": self.pid,
            "workers": [_described(member) for member in members],
            "worker_count": len(members),
            "apps": list(self.pool.limits),
        }

    def _show_soon(self) -> None:
        if not self._showing:
            self._showing = True
            self._loop.call_later(SHOW_PAUSE, self._show)

    def _show(self) -> None:
        self._showing = False
        members = self.pool.members.values()
        self.board.figures[WORKERS] = sum(member.phase == READY for member in members)
        self.board.describe(
            {
                "pid": self.pid,
                "target": self.pool.target,
                "floor": self.pool.floor(),
                "workers": [_described(member) for member in members],
                "limits": self.pool.limits,
            }
        )


def _described(member: Member) -> dict[str, Any]:
    return {
        "pid": member.pid,
        "age": member.worker.age,
        "apps": member.apps,
        "booted": member.phase != BOOTING,
        "phase": member.phase,
        "calls": member.calls,
        "running": member.running,
        "last_heartbeat": None,
    }


async def _end_tasks() -> None:
    """End the calls that still wait: no arbiter is left for them."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _signal_name(signo: int) -> str:
    try:
        return signal.Signals(signo).name
    except ValueError:
        return f"signal {signo}"


def _ignore(signo: int, frame: Any) -> None:
    """The number of the signal goes to the pipe."""
