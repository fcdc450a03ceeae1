"""Packets of the uwsgi protocol, as nginx sends them: its file uwsgi_params, and the fields."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

Pairs = Iterable[tuple[str, str | bytes]]


def _sized(text: str | bytes) -> bytes:
    data = text.encode("latin-1") if isinstance(text, str) else text
    return struct.pack("<H", len(data)) + data


def packet(pairs: Pairs, modifier1: int = 0, modifier2: int = 0) -> bytes:
    """The variables, in their order; names may be repeated."""
    block = b"".join(_sized(name) + _sized(value) for name, value in pairs)
    return struct.pack("<BHB", modifier1, len(block), modifier2) + block


def variables(
    method: str = "GET", uri: str = "/", body: bytes | None = None, **more: str | bytes | None
) -> dict[str, str | bytes]:
    """What nginx sends of a request. `more` replaces some; None leaves one out."""
    path, _, query = uri.partition("?")
    pairs = {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "" if body is None else str(len(body)),
        "REQUEST_URI": uri,
        "PATH_INFO": unquote_to_bytes(path),
        "DOCUMENT_ROOT": "/usr/share/nginx/html",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": "http",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "51234",
        "SERVER_PORT": "8080",
        "SERVER_NAME": "www.example.com",
        "HTTP_HOST": "example.com",
    }
    pairs |= more
    return {name: value for name, value in pairs.items() if value is not None}


def request(method: str = "GET", uri: str = "/", body: bytes | None = None, **more) -> bytes:
    """A packet and the body behind it."""
    return packet(variables(method, uri, body, **more).items()) + (body or b"")
