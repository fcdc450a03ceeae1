"""Where workers hand over requests that wait: one exchange for each generation of workers."""

from gunicorn import _core


class Exchanges:
    """The master's hold on the exchanges.

    It holds one as long as a worker of its generation lives, so that a worker that dies takes
    nothing with it that it had sent.
    """

    def __init__(self) -> None:
        self._by_generation = {}  # of _core.Exchange, or None

    def of(self, generation: int, log):
        """Return the exchange of a generation. None where the system has no such thing."""
        if generation not in self._by_generation:
            try:
                self._by_generation[generation] = _core.Exchange()
            except OSError as exc:
                log.warning("Requests stay in the worker that has received them: %s", exc)
                self._by_generation[generation] = None
        return self._by_generation[generation]

    @property
    def waiting(self) -> int:
        """How many requests wait in them: they are in no worker's queue."""
        return sum(exchange.waiting for exchange in self._by_generation.values() if exchange)

    def left(self, age: int, generation: int) -> None:
        """The worker of that number is dead: nobody counts on it."""
        exchange = self._by_generation.get(generation)
        if exchange is not None:
            exchange.left(age)

    def keep(self, generations: set[int]) -> None:
        """Let go of those of all other generations."""
        for old in self._by_generation.keys() - generations:
            del self._by_generation[old]
