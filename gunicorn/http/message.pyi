from typing import Any

class Request:
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
    def __init__(
        self,
        method: str,
        uri: str,
        path: str,
        query: str,
        version: tuple[int, int],
        headers: list[tuple[str, str]],
        peer: tuple[str, int] | str,
        https: bool,
        number: int,
        body: Any,
    ) -> None: ...
    def should_close(self) -> bool: ...

Message = Request
