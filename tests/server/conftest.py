"""Servers that speak TLS."""

from __future__ import annotations

import pytest
from helpers.tls import serve_tls


@pytest.fixture
def client(authority):
    return authority.client()


@pytest.fixture
def secure(gunicorn, pair, client):
    """secure(*args): a server of this test's own, whose methods speak TLS."""

    def start(*args, app="secure", use=pair, context=client, **options):
        return serve_tls(gunicorn(app, *use.args, *args, **options), context)

    return start
