from collections.abc import Iterable
from typing import Any, TextIO

from gunicorn._core import FileWrapper as FileWrapper
from gunicorn.config import Config
from gunicorn.http.message import Request

__all__ = ["FileWrapper", "Response", "WSGIErrorsWrapper"]

class WSGIErrorsWrapper:
    def __init__(self, cfg: Config) -> None: ...
    @property
    def streams(self) -> list[TextIO]: ...
    def write(self, data: str) -> None: ...
    def writelines(self, lines: Iterable[str]) -> None: ...
    def flush(self) -> None: ...

class Response:
    status: str
    status_code: int
    headers: list[tuple[str, str]]
    sent: int
    chunked: bool
    headers_sent: bool
    response_length: int | None
    must_close: bool
    upgrade: bool
    version: str
    def __init__(
        self,
        status: str,
        headers: Iterable[tuple[str, str]] | None,
        code: int,
        sent: int,
        has_length: bool,
        chunked: bool,
        headers_sent: bool,
    ) -> None: ...

SERVER: str
SERVER_SOFTWARE: str

def base_environ(cfg: Config) -> dict[str, Any]: ...
def default_environ(req: Request, sock: Any, cfg: Config) -> dict[str, Any]: ...
def create(
    req: Request,
    sock: Any,
    client: Any,
    server: Any,
    cfg: Config,
    response_class: type | None = None,
    response_args: tuple[Any, ...] = (),
) -> tuple[Any, dict[str, Any]]: ...
