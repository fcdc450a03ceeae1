"""Where workers hand over requests that wait: one exchange for all on the same listeners."""

from typing import NamedTuple

from gunicorn import _core


class Shared(NamedTuple):
    """An exchange, and what the workers need to have in common to understand each other.

    It lives as long as the master or the object of a worker has it, so that a worker that dies
    takes nothing with it that it had sent.
    """

    listeners: tuple
    exchange: object  # a _core.Exchange, or None where the system has no such thing

    def on(self, listeners: tuple, log) -> "Shared":
        """Return the one for these listeners, which may be this one.

        What the system has refused is tried again for each worker, and told once.
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
