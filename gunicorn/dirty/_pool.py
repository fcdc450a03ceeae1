"""The dirty workers as their arbiter sees them, and the calls that wait for one.

The arbiter forks, signals and reads; this only decides. A call waits in one queue for all workers
that have its application, so none waits for a busy worker while another is idle.
"""

from __future__ import annotations

import asyncio
import collections
import itertools

from .errors import DirtyAppNotFoundError, DirtyNoWorkersAvailableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ._relay import Line
    from .worker import DirtyWorker

#: The life of a worker. LEAVING: it finishes its calls and takes no other. STOPPING: it was told to
#: stop. Any may die, and is GONE then.
BOOTING, READY, LEAVING, STOPPING, GONE = "booting", "ready", "leaving", "stopping", "gone"


class Seat:
    """A thread of a worker that runs one call at a time."""

    def __init__(self, member: Member, line: Line) -> None:
        self.member = member
        self.line = line


class Member:
    """A worker."""

    def __init__(self, worker: DirtyWorker, control: Any) -> None:
        self.worker = worker
        self.control = control
        self.phase = BOOTING
        self.apps: list[str] = list(worker.app_paths)
        self.seats: set[Seat] = set()
        self.idle: list[Seat] = []
        self.stuck: set[Seat] = set()  # their calls took too long
        self.lost: collections.deque[float] = collections.deque()  # when seats were dropped
        self.calls = 0  # begun
        self.born_big = False  # it was beyond a limit of memory when it had booted
        self.verdict = ""  # why it is ended; its callers see it
        self.broken = False  # it has done what it may not, and is killed
        self.death: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        """Its process."""
        return int(self.worker.pid)

    @property
    def serves(self) -> bool:
        """Whether it takes calls, or is going to."""
        return self.phase in (BOOTING, READY)

    @property
    def running(self) -> int:
        """How many calls it runs that nobody has given up."""
        return len(self.seats) - len(self.idle) - len(self.stuck)


class Waiter:
    """A call that waits for a seat."""

    def __init__(self, number: int, app: str, line: Line) -> None:
        self.number = number
        self.app = app
        self.line = line
        self.seat: asyncio.Future[Seat] = asyncio.get_running_loop().create_future()

    def give_up(self, reason: Exception) -> None:
        """Have the call wait no longer."""
        if not self.seat.done():
            self.seat.set_exception(reason)


class Pool:
    """The workers of an arbiter. `limits` has the applications: how many workers load each."""

    def __init__(self, limits: dict[str, int | None], target: int) -> None:
        self.limits = limits
        self.target = target
        self.members: dict[int, Member] = {}
        self._learned = all(count is not None for count in limits.values())
        self._failed: set[str] = set()  # applications whose last worker did not boot
        self._queues: dict[str, collections.deque[Waiter]] = {
            path: collections.deque() for path in limits
        }
        self._numbers = itertools.count()

    # ---- which workers there are ----

    def serving(self, app: str | None = None) -> list[Member]:
        """Return the workers that take calls, or are going to, of `app`."""
        members = [one for one in self.members.values() if one.serves]
        return members if app is None else [one for one in members if app in one.apps]

    def plan(self) -> list[str]:
        """Return the applications that one more worker would load."""
        return [app for app in self.limits if self._has_room(app)]

    def _has_room(self, app: str, beside: Member | None = None) -> bool:
        limit = self.limits[app]
        return limit is None or limit > sum(one is not beside for one in self.serving(app))

    def missing(self) -> bool:
        """Whether one more worker is to be forked.

        Until the first has imported the classes, which may have limits, no other is.
        """
        serving = self.serving()
        if serving and not self._learned:
            return False
        return len(serving) < self.target and bool(self.plan())

    def floor(self) -> int:
        """Return how many workers the limits of the applications need at least."""
        return max(1, *(limit or 1 for limit in self.limits.values()))

    def surplus(self) -> Member | None:
        """Return a worker if there are too many, the oldest of the least needed."""
        serving = self.serving()
        return min(serving, key=self._limited) if len(serving) > self.target else None

    def _limited(self, member: Member) -> int:
        return sum(self.limits[app] is not None for app in member.apps)

    def booting(self) -> bool:
        """Whether a worker boots."""
        return any(one.phase == BOOTING for one in self.members.values())

    def add(self, member: Member) -> None:
        """A worker was forked."""
        self.members[member.pid] = member

    def choose(self, member: Member, limits: dict[str, int | None]) -> list[str]:
        """The classes of a worker are imported: return the applications that it is to load."""
        for app, limit in limits.items():
            if app in self.limits and self.limits[app] is None:
                self.limits[app] = limit
        self._learned = True
        member.apps = [app for app in member.apps if self._has_room(app, member)]
        return member.apps

    def booted(self, member: Member) -> None:
        """A worker has loaded its applications."""
        member.phase = READY
        self._failed.difference_update(member.apps)

    def remove(self, member: Member) -> None:
        """A worker is dead. The calls that can be run by no other are refused."""
        self.members.pop(member.pid, None)
        if member.phase == BOOTING:
            self._failed.update(member.apps)
        for app in member.apps:
            if not self._may_run(app):
                self._refuse(app)

    def _refuse(self, app: str) -> None:
        for waiter in self._queues[app]:
            waiter.give_up(DirtyNoWorkersAvailableError(app))
        self._queues[app].clear()

    def _may_run(self, app: str) -> bool:
        return app not in self._failed or any(one.phase == READY for one in self.serving(app))

    # ---- calls ----

    def offer(self, seat: Seat) -> None:
        """A thread waits for calls."""
        if seat.member.lost:
            seat.member.lost.popleft()
        seat.member.seats.add(seat)
        self.give_back(seat)

    def take(self, app: str) -> Seat | None:
        """Return an idle seat of the worker with the fewest calls, or None.

        Raises DirtyAppNotFoundError, and DirtyNoWorkersAvailableError if none can be waited for.
        """
        if app not in self.limits:
            raise DirtyAppNotFoundError(app)
        idle = [one for one in self.serving(app) if one.phase == READY and one.idle]
        if idle:
            return self._begin(min(idle, key=lambda one: (one.running, one.calls)).idle.pop())
        if not self._may_run(app):
            raise DirtyNoWorkersAvailableError(app)
        return None

    def _begin(self, seat: Seat) -> Seat:
        seat.member.calls += 1
        return seat

    def wait(self, app: str, line: Line) -> Waiter:
        """Return a place in the queue for a seat."""
        waiter = Waiter(next(self._numbers), app, line)
        self._queues[app].append(waiter)
        return waiter

    def waiting(self) -> Iterator[Waiter]:
        """Iterate over the calls that wait for a seat."""
        for queue in self._queues.values():
            yield from (waiter for waiter in queue if not waiter.seat.done())

    def give_up(self, waiter: Waiter) -> None:
        """The caller of a call has left."""
        if waiter in self._queues[waiter.app]:
            self._queues[waiter.app].remove(waiter)
        elif waiter.seat.done() and not waiter.seat.cancelled() and not waiter.seat.exception():
            self.give_back(waiter.seat.result())

    def give_back(self, seat: Seat) -> None:
        """A seat is idle: the call that has waited for it for longest has it now."""
        member = seat.member
        waiter = self._next(member) if member.phase == READY else None
        if waiter is None:
            member.idle.append(seat)
        else:
            waiter.seat.set_result(self._begin(seat))

    def _next(self, member: Member) -> Waiter | None:
        """Take the oldest call that a worker can run from the queue."""
        while queues := [self._queues[app] for app in member.apps if self._queues[app]]:
            waiter = min(queues, key=lambda queue: queue[0].number).popleft()
            if not waiter.seat.done():  # else its caller has left
                return waiter
        return None

    def drop(self, seat: Seat) -> None:
        """Close a seat; its thread is going to offer another."""
        seat.member.lost.append(asyncio.get_running_loop().time())
        seat.member.seats.discard(seat)
        seat.member.stuck.discard(seat)
        if seat in seat.member.idle:
            seat.member.idle.remove(seat)
        seat.line.close()
