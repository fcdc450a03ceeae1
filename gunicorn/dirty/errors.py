"""The errors of calls to dirty applications. They cross the wire as plain dicts."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RAW_SHOWN = 100  # bytes of a broken message that its error shows


class DirtyError(Exception):
    """A call to a dirty application failed. `details` is a dict of plain values."""

    message: str
    details: dict[str, Any]

    def __init__(self, message: str, details: dict[str, Any] | None = None) -> None:
        self.message = message
        self.details = details or {}
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message}: {self.details}" if self.details else self.message

    def to_dict(self) -> dict[str, Any]:
        """Return the error as it crosses the wire."""
        return {
            "error_type": type(self).__name__,
            "message": self.message,
            "details": self.details,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DirtyError:
        """Return the error that `to_dict()` described; of an unknown type: a DirtyError."""
        kind = _CLASSES.get(data.get("error_type", ""), DirtyError)
        message, details = data.get("message"), data.get("details")
        error = kind.__new__(kind)
        DirtyError.__init__(
            error,
            message if isinstance(message, str) else "Unknown error",
            details if isinstance(details, dict) else None,
        )
        for name in _ATTRIBUTES.get(kind, ()):
            setattr(error, name, error.details.get(name))
        return error


def _given(**details: Any) -> dict[str, Any]:
    return {name: value for name, value in details.items() if value}


class DirtyTimeoutError(DirtyError):
    """A call took too long. `timeout` is in seconds."""

    def __init__(self, message: str = "Operation timed out", timeout: float | None = None) -> None:
        super().__init__(message, _given(timeout=timeout))
        self.timeout = timeout


class DirtyConnectionError(DirtyError):
    """The dirty arbiter cannot be reached, or has gone in the middle of a call."""

    def __init__(self, message: str = "Connection failed", socket_path: str | None = None) -> None:
        super().__init__(message, _given(socket_path=socket_path))
        self.socket_path = socket_path


class DirtyWorkerError(DirtyError):
    """A dirty worker died while it ran the call. `worker_id` is its pid."""

    def __init__(
        self, message: str, worker_id: int | None = None, traceback: str | None = None
    ) -> None:
        super().__init__(message, _given(worker_id=worker_id, traceback=traceback))
        self.worker_id = worker_id
        self.traceback = traceback


class DirtyAppError(DirtyError):
    """A dirty application has raised an exception. `traceback` is its text."""

    def __init__(
        self,
        message: str,
        app_path: str | None = None,
        action: str | None = None,
        traceback: str | None = None,
    ) -> None:
        super().__init__(message, _given(app_path=app_path, action=action, traceback=traceback))
        self.app_path = app_path
        self.action = action
        self.traceback = traceback


class DirtyAppNotFoundError(DirtyAppError):
    """No dirty application has this name."""

    def __init__(self, app_path: str) -> None:
        super().__init__(f"Dirty app not found: {app_path}", app_path=app_path)


class DirtyNoWorkersAvailableError(DirtyError):
    """No worker has loaded the application, and the last one that tried has failed."""

    def __init__(self, app_path: str, message: str | None = None) -> None:
        text = message or f"No workers available for app: {app_path}"
        super().__init__(text, {"app_path": app_path})
        self.app_path = app_path


class DirtyProtocolError(DirtyError):
    """A message is broken or too large. `raw_data` is its beginning."""

    def __init__(self, message: str = "Protocol error", raw_data: Any = None) -> None:
        shown = bytes(raw_data[:RAW_SHOWN]).hex() if isinstance(raw_data, bytes) else raw_data
        details = {} if raw_data is None else {"raw_data": str(shown)[: 2 * RAW_SHOWN]}
        super().__init__(message, details)


_CLASSES: dict[str, type[DirtyError]] = {
    kind.__name__: kind
    for kind in (
        DirtyError, DirtyTimeoutError, DirtyConnectionError, DirtyWorkerError, DirtyAppError,
        DirtyAppNotFoundError, DirtyNoWorkersAvailableError, DirtyProtocolError,
    )
}  # fmt: skip

_APP = ("app_path", "action", "traceback")
_ATTRIBUTES: dict[type[DirtyError], tuple[str, ...]] = {
    DirtyTimeoutError: ("timeout",),
    DirtyConnectionError: ("socket_path",),
    DirtyWorkerError: ("worker_id", "traceback"),
    DirtyAppError: _APP,
    DirtyAppNotFoundError: _APP,
    DirtyNoWorkersAvailableError: ("app_path",),
}
