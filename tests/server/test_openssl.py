"""TLS where the engine cannot use the OpenSSL that Python's ssl has."""

from __future__ import annotations

import shutil
import ssl

import pytest
from helpers.tls import look, serve_tls

HOOK = """
import os
import ssl

other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
other.load_cert_chain({cert!r}, {key!r}, password="open sesame")
other.set_alpn_protocols(["http/1.1"])

def choose(handshake, name, ctx):
    if name == "other.example":
        handshake.context = other
    elif name == "fresh.example":
        handshake.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        handshake.context.load_cert_chain({plain!r})
        handshake.context.set_alpn_protocols(["http/1.1"])

def ssl_context(config, default_ssl_context_factory):
    context = default_ssl_context_factory()
    with open("authorities.pem") as file:
        context.load_verify_locations(cadata=file.read())
    os.remove("authorities.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET
    context.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384")
    context.set_ecdh_curve("prime256v1")
    context.sni_callback = choose
    return context

def post_worker_init(worker):
    from gunicorn import _core
    worker.log.info("shares OpenSSL: %s", _core.tls_is_shared())
"""


@pytest.fixture
def only_once(worker):
    if worker != "gthread":
        pytest.skip("the same for all")


@pytest.fixture
def system(only_once, gunicorn, pair, authority, client, tmp_path):
    """A server that uses the system's OpenSSL, with contexts of all sorts."""
    locked = authority.issue("other.example", file="locked").encrypted(
        tmp_path / "locked.key", "open sesame"
    )
    fresh = authority.issue("fresh.example", file="fresh")
    (tmp_path / "fresh.pem").write_bytes(fresh.certfile.read_bytes() + fresh.keyfile.read_bytes())
    shutil.copy(authority.cafile, tmp_path / "authorities.pem")
    (tmp_path / "hook.py").write_text(
        HOOK.format(
            cert=str(locked.certfile), key=str(locked.keyfile), plain=str(tmp_path / "fresh.pem")
        )
    )
    server = gunicorn(
        "secure",
        *pair.args,
        *("-c", "hook.py"),
        cwd=tmp_path,
        env={"GUNICORN_OPENSSL": "system"},
        expect_trouble=True,
    )
    return serve_tls(server, client)


def test_contexts_are_made_again(system, authority):
    """All that the settings and the hook have done to contexts holds for the engine's."""
    system.wait_for_log("shares OpenSSL: False")
    jane = authority.client(authority.issue("jane@example.com", file="jane", subject="Jane"))
    jane.set_alpn_protocols(["http/1.1"])
    seen = look(system, context=jane)
    assert seen["version"] == "TLSv1.2"
    assert seen["cipher"][0] == "ECDHE-ECDSA-CHACHA20-POLY1305"
    assert seen["alpn"] == "http/1.1"
    assert dict(pair for (pair,) in seen["certificate"]["subject"])["commonName"] == "Jane"
    with system.connect(context=jane) as connection:
        assert not connection.sock.session.has_ticket
    assert look(system)["certificate"] is None
    with pytest.raises(ssl.SSLError):
        system.connect(context=authority.client(version="TLSv1_3"))
    plain = authority.client()
    plain.set_alpn_protocols(["http/1.1"])
    for name in ("other.example", "fresh.example"):
        seen = look(system, context=plain, server_hostname=name)
        assert (seen["name"], seen["alpn"]) == (name, "http/1.1")
