"""The reports of the C core to the master. It looks each name up once, at the start.

Each function has the `gunicorn.arbiter.Arbiter` as its first argument; an exception ends the
master's loop. The duties that subclasses override are methods of the arbiter itself.
"""

from gunicorn.master import dirty, notify
from gunicorn.master.deaths import stranger_died, worker_died
from gunicorn.master.dirty import died as dirty_died
from gunicorn.master.dirty import figures as dirty_figures
from gunicorn.master.dirty import kill as kill_dirty
from gunicorn.master.dirty import ready as dirty_ready
from gunicorn.master.dirty import sign as dirty_sign
from gunicorn.master.dirty import spawn as spawn_dirty
from gunicorn.master.dirty import timed_out as dirty_timed_out
from gunicorn.master.exchanges import waiting
from gunicorn.master.scaling import backlog, scaled
from gunicorn.master.shutdown import hurry
from gunicorn.master.signals import handle as signalled
from gunicorn.master.startup import end_stray as strayed
from gunicorn.master.watch import born_big, due, overdue, slow_boot, timed_out, too_big
from gunicorn.master.worker_process import raise_again as forked
from gunicorn.master.workers import counted, ready

__all__ = [
    "backlog",
    "born_big",
    "cannot_answer",
    "collected",
    "commanded",
    "counted",
    "dirty_died",
    "dirty_figures",
    "dirty_ready",
    "dirty_sign",
    "dirty_timed_out",
    "due",
    "forked",
    "hurry",
    "kill_dirty",
    "overdue",
    "ready",
    "scaled",
    "signalled",
    "slow_boot",
    "spawn_dirty",
    "stranger_died",
    "strayed",
    "timed_out",
    "too_big",
    "waiting",
    "woken",
    "worker_died",
]


def woken(arbiter) -> None:
    """After each sleep of the loop."""
    if arbiter.master_pid or arbiter._promoted_pidfile:
        arbiter.maybe_promote_master()
    dirty.look(arbiter)
    notify.alive(arbiter)


def cannot_answer(arbiter, reason: str) -> None:
    """The system refuses a resource for the answer to a client of the status port."""
    arbiter.log.error(
        "Cannot answer a client of the status port, the control socket or --dump: %s", reason
    )


def commanded(arbiter, request: bytes) -> tuple[bytes, int, int]:
    """A client of the control socket asks: return `gunicorn.master.commands.answer()`."""
    from gunicorn.master import commands  # with json, once somebody asks

    return commands.answer(arbiter, request)


def collected(arbiter, text: bytes, complete: bool) -> bytes:
    """A child has answered a command: return `gunicorn.master.commands.collected()`."""
    from gunicorn.master import commands

    return commands.collected(arbiter, text, complete)
