from typing import Any

from gunicorn.config import Config
from gunicorn.http.unreader import SocketUnreader

class Request:
    cfg: Config
    unreader: SocketUnreader
    method: str
    uri: str
    path: str
    query: str
    fragment: str
    version: tuple[int, int]
    headers: list[tuple[str, str]]
    trailers: list[tuple[str, str]]
    body: Any
    scheme: str
    peer_addr: tuple[str, int] | str
    remote_addr: tuple[str, int] | str
    req_number: int
    proxy_protocol_info: dict[str, Any] | None
    must_close: bool
    waited: float
    limit_request_line: int
    limit_request_fields: int
    limit_request_field_size: int
    max_buffer_headers: int
    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: Any) -> None: ...
    def should_close(self) -> bool: ...
    def force_close(self) -> None: ...

def received(
    cfg: Config,
    peer: tuple[str, int] | str,
    waited: float,
    sock: Any,
    body: Any,
    method: str,
    uri: str,
    path: str,
    query: str,
    version: tuple[int, int],
    headers: list[tuple[str, str]],
    https: bool,
    number: int,
) -> Request: ...
def remember(req: Request) -> None: ...
def is_as_received(req: Request) -> bool: ...

Message = Request
