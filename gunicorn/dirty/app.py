"""Dirty applications: their base class, their names, and how they are found."""

from __future__ import annotations

from gunicorn import util
from gunicorn._dirty import parse_spec
from gunicorn.errors import AppModuleNotFound

from .errors import DirtyAppError, DirtyAppNotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_METHODS = ("init", "__call__", "close")


class DirtyApp:
    """A base of dirty applications: an object that lives as long as its dirty worker.

    Its public methods are the actions that web workers call by name. With `dirty_threads` above 1
    several run at a time.
    """

    #: How many workers load it; None: all. `MODULE:CLASS:N` in `dirty_apps` takes precedence.
    workers: int | None = None

    #: Tables of the stash that are there before the application is loaded.
    stashes: Iterable[str] = ()

    def init(self) -> None:
        """Load the resources. Called once in each worker, before its first call."""

    def __call__(self, action: str, *args: Any, **kwargs: Any) -> Any:
        """Run an action; a generator is streamed. Raises ValueError for an unknown one."""
        method = None if action.startswith("_") else getattr(self, action, None)
        if method is None:
            raise ValueError(f"Unknown action: {action}")
        return method(*args, **kwargs)

    def close(self) -> None:
        """Release the resources. Called when the worker ends."""


def parse_dirty_app_spec(spec: str) -> tuple[str, int | None]:
    """Return `MODULE:CLASS` and N, or None, of an item of `dirty_apps`. Raises DirtyAppError."""
    try:
        return parse_spec(spec)
    except ValueError as exc:
        raise DirtyAppError(str(exc), spec) from None


def find_class(import_path: str) -> type:
    """Import the class of `MODULE:CLASS`. Raises DirtyAppError, or what the module raises.

    DirtyAppNotFoundError has the reason as its cause.
    """
    module_name, _, class_name = import_path.partition(":")
    if not module_name or not class_name:
        raise DirtyAppError(f"Invalid import path: {import_path}; MODULE:CLASS is expected")
    try:
        module = util.import_named(module_name, class_name)
    except AppModuleNotFound as exc:
        raise DirtyAppNotFoundError(import_path) from exc
    try:
        found = getattr(module, class_name)
    except AttributeError as exc:
        raise DirtyAppNotFoundError(import_path) from exc
    if not isinstance(found, type):
        raise DirtyAppError(f"{import_path} is not a class", import_path)
    return found


def load_dirty_app(import_path: str) -> Any:
    """Return a new object of the class of `MODULE:CLASS`. Raises DirtyAppError."""
    kind = find_class(import_path)
    try:
        app = kind()
    except Exception as exc:
        raise DirtyAppError(f"Failed to instantiate {import_path}: {exc}", import_path) from exc
    for name in _METHODS:
        if not callable(getattr(app, name, None)):
            raise DirtyAppError(f"{import_path} has no method {name}()", import_path)
    return app


def load_dirty_apps(import_paths: Iterable[str]) -> dict[str, Any]:
    """Return a new object for each path. Raises DirtyAppError."""
    return {path: load_dirty_app(path) for path in import_paths}


def get_app_workers_attribute(import_path: str) -> int | None:
    """Return how many workers want to load the class; None: all. Raises DirtyAppError."""
    return getattr(find_class(import_path), "workers", None)
