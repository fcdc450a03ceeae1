"""Where workers hand over requests that wait: one exchange for all on the same listeners."""

from collections import namedtuple

from gunicorn import _core


class Shared(namedtuple("Shared", ["listeners", "exchange"])):
    """An exchange, and the settings that its workers need to have in common.

    `listeners` is a tuple, `exchange` a _core.Exchange, or None where the system has no such thing.

    It lives as long as the master or the object of a worker has it, so that a worker that dies
    takes nothing with it that it had sent.
    """

    __slots__ = ()

    def on(self, listeners: tuple, log) -> "Shared":
        """Return the one for these listeners, which may be this one.

        A resource that the system refused is asked for with each worker; one line reports it.
        """
        if listeners == self.listeners and self.exchange is not None:
            return self
        try:
            return Shared(listeners, _core.Exchange())
        except OSError as exc:
            if listeners != self.listeners:
                log.warning("Requests stay in the worker that has received them: %s", exc)
            return Shared(listeners, None)


NOBODYS = Shared((), None)


# ---- an arbiter's: its `_shared` is that of the workers to come, theirs may be older ----


def in_use(arbiter) -> set:
    """The exchanges of its workers, and of those to come."""
    exchanges = {arbiter._shared.exchange, *(one.exchange for one in arbiter.WORKERS.values())}
    return exchanges - {None}


def waiting(arbiter) -> int:
    """How many requests no worker has taken yet."""
    return sum(exchange.waiting for exchange in in_use(arbiter))


def look_for_another_master(arbiter) -> None:
    """Its workers may be free for new clients when all of ours are stuck."""
    for exchange in in_use(arbiter):
        exchange.set_shared(bool(arbiter.reexec_pid or arbiter.master_pid))


def join(arbiter, worker) -> None:
    """Let `worker`, which is about to be forked, have the exchange of those on its listeners."""
    cfg = arbiter.cfg
    own = cfg.address if cfg.reuse_port else ()  # there are none that they share
    listeners = (cfg.is_ssl, *own, *arbiter.LISTENERS)
    arbiter._shared = arbiter._shared.on(listeners, arbiter.log)
    look_for_another_master(arbiter)
    worker.exchange = arbiter._shared.exchange


def keep_own(arbiter) -> None:
    """In a worker: let go of those that only other workers use."""
    for other in arbiter.WORKERS.values():
        other.exchange = None


def leave(worker) -> None:
    """`worker` is dead: the others count on it no longer."""
    if worker.exchange is not None:
        worker.exchange.left(worker.age)


def replace(arbiter, last_replaced: int) -> None:
    """Workers up to that number leave waiting requests to later ones."""
    if arbiter._shared.exchange is not None:
        arbiter._shared.exchange.replace(last_replaced)


def end(arbiter) -> None:
    """The server stops: no other worker takes the clients of those that end."""
    for exchange in in_use(arbiter):
        exchange.end()
