"""Methods in a subclass of our workers that was written for gunicorn's."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from gunicorn.glogging import Logger
    from gunicorn.workers.base import Worker

    _Method = TypeVar("_Method", bound=Callable[..., object])

#: Methods about accepting and reading, which the engine does: nothing calls them.
UNCALLED: frozenset[str] = frozenset(
    ("accept", "enqueue_req", "finish_request", "get_thread_pool", "handle", "is_parent_alive",
     "notify", "run_for_multiple", "run_for_one", "timeout_ctx")
)  # fmt: skip

_plain: list[Any] = []


def plain(method: _Method) -> _Method:
    """Mark a method of ours that only repeats the engine's own behaviour."""
    _plain.append(method)
    return method


def has_own(worker: Worker, name: str) -> bool:
    """Return whether a method is not ours: overridden, or replaced in the class or the object."""
    places = [vars(worker), *map(vars, type(worker).__mro__)]
    method = next((place[name] for place in places if name in place), None)
    return method is not None and all(method is not one for one in _plain)


def warn(worker_class: type[Worker], log: Logger) -> None:
    """Log which methods of a subclass are never called."""
    if getattr(worker_class, "uses_engine", False) and _is_ours(worker_class.run):
        _warn(worker_class, log)


def warn_of_wrapped(worker: Worker) -> None:
    """Log the same of a worker whose own `run()` has called ours: it was not known before.

    The first worker of a master speaks for all.
    """
    if worker.age == 1 and not _is_ours(type(worker).run):
        _warn(type(worker), worker.log)


def _is_ours(method) -> bool:
    return method.__module__.startswith("gunicorn.")


def _warn(worker_class, log) -> None:
    own = [cls for cls in worker_class.__mro__ if not cls.__module__.startswith("gunicorn.")]
    names = sorted({name for cls in own for name in vars(cls)} & UNCALLED)
    if names:
        log.warning(
            "worker_class: %s.%s has %s, which nothing calls: the engine accepts and reads. "
            "handle_request() is called for each request.",
            *(worker_class.__module__, worker_class.__qualname__),
            " and ".join(f"{name}()" for name in names),
        )
