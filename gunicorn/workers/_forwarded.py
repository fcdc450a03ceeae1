"""The client that X-Forwarded-For names."""

from __future__ import annotations

import ipaddress


def client(text, networks, everybody) -> tuple[str, int] | None:
    """Return the last address of `text` that is no trusted proxy's, or the first of all.

    `everybody`: all are trusted, so the first is taken. None if it is no address.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names[:1] if everybody else names[::-1]:
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return None
        if not any(address in network for network in networks):
            break
    return name, 0
