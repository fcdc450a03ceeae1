"""The memory of dirty workers, and its limits. It is looked at while calls run."""

from __future__ import annotations

from gunicorn import _core

from ._pool import LEAVING, READY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._pool import Member
    from .arbiter import DirtyArbiter

LOOK = 1.0  # seconds between two looks


class Memory:
    """Looks at the workers of an arbiter. A limit of 0 is none."""

    def __init__(self, arbiter: DirtyArbiter) -> None:
        self._arbiter = arbiter
        self._soft = arbiter.cfg.dirty_max_rss
        self._hard = arbiter.cfg.dirty_max_rss_hard
        self._looks = False  # a look is due

    def booted(self, member: Member) -> None:
        """A worker has booted: one that is beyond a limit already is not held to them."""
        size = _core.memory_of(int(member.pid))
        member.born_big = self._is_beyond(size, self._soft) or self._is_beyond(size, self._hard)
        if member.born_big:
            self._arbiter.log.warning(
                "Dirty worker (pid:%s) occupies %s before its first call, more than dirty_max_rss"
                " or dirty_max_rss_hard allows. Replacing it would not help: it is not held to"
                " them.",
                member.pid,
                size_of(size),
            )

    def look_soon(self) -> None:
        """A call begins."""
        if not self._looks and (self._soft or self._hard):
            self._looks = True
            self._arbiter.later(LOOK, self._look)

    def _look(self) -> None:
        self._looks = False
        for member in list(self._arbiter.pool.members.values()):
            self._weigh(member)
        if any(member.running for member in self._arbiter.pool.members.values()):
            self.look_soon()

    def _weigh(self, member: Member) -> None:
        if member.born_big or member.phase not in (READY, LEAVING):
            return
        size = _core.memory_of(int(member.pid))
        if self._is_beyond(size, self._hard):
            self._arbiter.too_big(member, _beyond(size, "dirty_max_rss_hard", self._hard))
        elif member.phase == READY and self._is_beyond(size, self._soft):
            self._arbiter.log.info(
                "Dirty worker (pid:%s) %s: it is replaced when its calls are done",
                member.pid,
                _beyond(size, "dirty_max_rss", self._soft),
            )
            self._arbiter.retire(member)

    @staticmethod
    def _is_beyond(size: int, limit: int) -> bool:
        return 0 < limit < size


def size_of(count: int) -> str:
    """Return a number of bytes as it is written in the configuration: 512.0M."""
    return f"{count / 2**20:.1f}M"


def _beyond(size: int, name: str, limit: int) -> str:
    return f"occupies {size_of(size)}, more than {name} ({size_of(limit)})"
