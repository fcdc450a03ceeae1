from collections.abc import Callable
from typing import TypeVar

from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

_Method = TypeVar("_Method", bound=Callable[..., object])

UNCALLED: frozenset[str]

def plain(method: _Method) -> _Method: ...
def has_own(worker: Worker, name: str) -> bool: ...
def warn(worker_class: type[Worker], log: Logger) -> None: ...
def warn_of_wrapped(worker: Worker) -> None: ...
