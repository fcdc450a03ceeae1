"""Memory that the workers share without `preload_app`: it is the master's until one writes to it.

Pages are copied when a process writes to them. So the master imports before the fork the modules
that each worker is going to import, and its objects are taken out of the garbage collector's lists,
which a collection in a worker would write to.
"""

import contextlib
import gc
import importlib

from gunicorn import _core

#: Modules that each of Flask, Django, Bottle, Pyramid and aiohttp imports, or all but one of them
#: (measured with Python 3.11). None keeps a lock, a socket or a function that waits, so greenlet
#: packages may patch the standard library afterwards.
DATA = (
    "ast", "base64", "bisect", "calendar", "copy", "datetime", "email.message", "email.parser",
    "email.utils", "hashlib", "heapq", "hmac", "http", "inspect", "ipaddress", "json", "locale",
    "mimetypes", "pathlib", "pickle", "random", "struct", "typing", "unicodedata", "urllib.parse",
    "zlib",
)  # fmt: skip

#: The same of modules that wait, or import such (`platform` and `uuid` in Python 3.10): not for
#: workers that patch.
WAITING = ("http.client", "platform", "shutil", "ssl", "subprocess", "tempfile", "uuid")

#: Modules that a worker imports for itself.
OWN = ("faulthandler",)


class Sharing:
    """The preparations of one master for its workers."""

    def __init__(self) -> None:
        self._generation: int | None = None  # of workers that the last freeze was for

    def prepare(self, arbiter, generation: int) -> None:
        """Prepare the fork of workers. Does nothing where it was done for their generation.

        A single worker imports for itself: it would share with nobody but the master. What an
        application has preloaded is for `preload_freeze`.
        """
        if arbiter.cfg.preload_app:
            return
        if max(arbiter.num_workers, arbiter.cfg.workers_max) > 1:
            load(arbiter.worker_class)
        if self._generation == generation:
            return
        if self._generation is not None:  # objects of the configuration before it
            gc.unfreeze()
            gc.collect()
        gc.freeze()
        _core.return_freed()
        self._generation = generation


def modules_for(worker_class) -> tuple[str, ...]:
    """Return the modules that workers of the class have in common."""
    own = getattr(worker_class, "shared_modules", ())
    waiting = () if getattr(worker_class, "patches", False) else WAITING
    return (*OWN, *own, *DATA, *waiting)


def load(worker_class) -> None:
    """Import them; one that this Python was built without is not shared."""
    for name in modules_for(worker_class):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
