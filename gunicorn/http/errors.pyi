from typing import Any

class ParseException(Exception): ...

class NoMoreData(OSError):
    buf: bytes | None
    def __init__(self, buf: bytes | None = None) -> None: ...

class ConfigurationProblem(ParseException):
    code: int
    info: str
    def __init__(self, value: str) -> None: ...

class InvalidRequestLine(ParseException):
    code: int
    req: str
    def __init__(self, value: str) -> None: ...

class InvalidRequestMethod(ParseException):
    method: str
    def __init__(self, value: str) -> None: ...

class ExpectationFailed(ParseException):
    code: int
    expect: str
    def __init__(self, value: str) -> None: ...

class InvalidHTTPVersion(ParseException):
    version: Any
    def __init__(self, value: Any) -> None: ...

class ObsoleteFolding(ParseException):
    hdr: str
    def __init__(self, value: str) -> None: ...

class InvalidHeaderName(ParseException):
    hdr: str
    def __init__(self, value: str) -> None: ...

class UnsupportedTransferCoding(ParseException):
    code: int
    hdr: str
    def __init__(self, value: str) -> None: ...

class InvalidChunkSize(ParseException):
    code: int
    data: Any
    def __init__(self, value: Any) -> None: ...

class ChunkMissingTerminator(ParseException):
    code: int
    term: Any
    def __init__(self, value: Any) -> None: ...

class InvalidChunkExtension(ParseException):
    code: int
    reason: str
    def __init__(self, value: str) -> None: ...

class LimitRequestHeaders(ParseException):
    code: int
    msg: str
    def __init__(self, value: str) -> None: ...

class InvalidProxyLine(ParseException):
    code: int
    line: Any
    def __init__(self, value: Any) -> None: ...

class InvalidProxyHeader(ParseException):
    code: int
    msg: str
    def __init__(self, value: str) -> None: ...

class ForbiddenProxyRequest(ParseException):
    code: int
    host: Any
    def __init__(self, value: Any) -> None: ...

class InvalidH2CPreface(ParseException):
    data: Any
    def __init__(self, value: Any) -> None: ...

class InvalidHeader(ParseException):
    hdr: str
    req: Any
    def __init__(self, hdr: str, req: Any = None) -> None: ...

class InvalidResponseHeader(InvalidHeader): ...
class InvalidResponseHeaderName(InvalidHeaderName): ...

class LimitRequestLine(ParseException):
    code: int
    size: Any
    max_size: int | None
    def __init__(self, size: Any, max_size: int | None = None) -> None: ...

class LimitRequestBody(ParseException, OSError):
    code: int
    max_size: int
    def __init__(self, max_size: int) -> None: ...

class InvalidSchemeHeaders(ParseException): ...

def answer_to(exc: BaseException) -> tuple[int, str, str]: ...
