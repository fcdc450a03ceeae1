"""Errors that end the server or its start."""


class HaltServer(BaseException):
    """Stops the master with `exit_status`.

    No `Exception`: an application that catches everything must not swallow it.
    """

    def __init__(self, reason: str, exit_status: int = 1) -> None:
        super().__init__(reason, exit_status)
        self.reason = reason
        self.exit_status = exit_status

    def __str__(self) -> str:
        return f"<HaltServer {self.reason!r} {self.exit_status}>"


class RequestTimeout(BaseException):
    """Raised in a request that has been running for `request_timeout`.

    No `Exception`, so that no framework makes an error page of it, nor an application that logs
    and goes on; `finally` and context managers release their resources. An application that
    catches it may answer by itself.
    """

    def __str__(self) -> str:
        return "the request has been running for longer than request_timeout allows"


class ConfigError(Exception):
    """The configuration cannot be used as it is."""


class AppImportError(Exception):
    """The application's module was imported, but no application was found in it."""


class AppModuleNotFound(AppImportError, ModuleNotFoundError):
    """There is no module of the name that the application's is said to have."""
