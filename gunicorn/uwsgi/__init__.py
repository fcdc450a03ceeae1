"""Packets of uwsgi from bytes, by the engine's own parser: for tests, and for workers that read
themselves. Servers do not come here."""

from gunicorn.uwsgi.errors import (
    ForbiddenUWSGIRequest,
    InvalidUWSGIHeader,
    UnsupportedModifier,
    UWSGIParseException,
)
from gunicorn.uwsgi.message import UWSGIRequest
from gunicorn.uwsgi.parser import UWSGIParser

__all__ = [
    "ForbiddenUWSGIRequest",
    "InvalidUWSGIHeader",
    "UWSGIParseException",
    "UWSGIParser",
    "UWSGIRequest",
    "UnsupportedModifier",
]
