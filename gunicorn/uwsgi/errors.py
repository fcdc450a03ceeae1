"""Errors of packets of uwsgi. `code` is the status of the answer."""

from __future__ import annotations

from gunicorn.http.errors import ParseException


class UWSGIParseException(ParseException):
    """A packet cannot be understood, or must not be."""


class InvalidUWSGIHeader(UWSGIParseException):
    """A malformed packet, or one with a variable that is not allowed or beyond a limit."""

    def __init__(self, msg: str = "", code: int = 400) -> None:
        super().__init__(msg, code)
        self.msg = msg
        self.code = code

    def __str__(self) -> str:
        return f"Invalid uWSGI header: {self.msg}"


class UnsupportedModifier(UWSGIParseException):
    """A packet that is no request of WSGI: its first byte is not 0."""

    code = 501

    def __init__(self, modifier: int) -> None:
        super().__init__(modifier)
        self.modifier = modifier

    def __str__(self) -> str:
        return f"Unsupported uWSGI modifier1: {self.modifier}"


class ForbiddenUWSGIRequest(UWSGIParseException):
    """A peer that uwsgi_allow_ips does not list."""

    code = 403

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return f"uWSGI request from {self.host!r} not allowed"
