"""Certificates of clients and of the server, and the hook that chooses them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import ssl
import stat
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from helpers.http2 import Http2
from helpers.tls import NAME, Authority, look, reload, serve_tls
from helpers.tls_records import RecordClient
from helpers.wire import STEP_TIMEOUT, render, wait_until


@pytest.fixture
def server(shared, pair, client):
    """A server that tests share."""
    return serve_tls(shared("secure", *pair.args), client)


# ---- certificates of clients ----

CERTIFICATE_VARIABLES = {
    "SSL_CLIENT_VERIFY": "SUCCESS",
    "SSL_CLIENT_S_DN_CN": "Jane",
    "SSL_CLIENT_S_DN": None,
    "SSL_CLIENT_I_DN": None,
    "SSL_CLIENT_CERT": None,
    "SSL_CLIENT_M_SERIAL": None,
    "SSL_CLIENT_V_START": None,
    "SSL_CLIENT_V_END": None,
}


@pytest.fixture(scope="module")
def jane(authority):
    return authority.issue("jane@example.com", file="jane", subject="Jane")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_client_certificate(secure, authority, jane, version):
    server = secure("--cert-reqs", "2", "--ca-certs", str(authority.cafile))
    context = authority.client(jane, version)
    environ = serve_tls(server, context).json("GET", "/shown")
    for name, value in CERTIFICATE_VARIABLES.items():
        assert environ[name] if value is None else environ[name] == value
    assert environ["SSL_CLIENT_S_DN"].startswith("CN=Jane,")
    assert "O=Monoceros\\, Tests" in environ["SSL_CLIENT_S_DN"]
    own = jane.certfile.read_text()
    assert environ["SSL_CLIENT_CERT"].strip() == own[: own.index("-----END")].strip() + (
        "\n-----END CERTIFICATE-----"
    )
    facts = look(server, context=context)
    assert bytes.fromhex(facts["der"]) == ssl.PEM_cert_to_DER_cert(environ["SSL_CLIENT_CERT"])
    subject = dict(pair for part in facts["certificate"]["subject"] for pair in part)
    assert subject["commonName"] == "Jane"
    assert facts["certificate"]["serialNumber"] == environ["SSL_CLIENT_M_SERIAL"]


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_required_certificate_is_missing(secure, authority, version):
    server = secure("--cert-reqs", "2", "--ca-certs", str(authority.cafile))
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        look(server, context=authority.client(version=version))


def test_optional_certificate(secure, authority, jane):
    server = secure("--cert-reqs", "1", "--ca-certs", str(authority.cafile))
    environ = server.json("GET", "/shown")
    assert environ["SSL_CLIENT_VERIFY"] == "NONE"
    assert "SSL_CLIENT_CERT" not in environ
    assert look(server)["certificate"] is None
    assert look(server, context=authority.client(jane))["certificate"] is not None


@pytest.mark.parametrize(
    ("days", "said"), [((-20, -10), "was valid until"), ((10, 20), "is not valid before")]
)
def test_certificate_out_of_its_time_is_warned_of(secure, authority, days, said):
    start, end = (datetime.now(timezone.utc) + timedelta(days=n) for n in days)
    stale = authority.issue(file="stale", not_before=start, not_after=end)
    server = secure(use=stale)
    assert f"[WARNING] certfile: {str(stale.certfile)!r} {said} " in server.log
    with pytest.raises(ssl.SSLError):
        server.connect()


@pytest.mark.parametrize("mode", ["1", "2"])
def test_certificate_of_another_authority(secure, authority, tmp_path, mode):
    server = secure("--cert-reqs", mode, "--ca-certs", str(authority.cafile))
    stranger = Authority(tmp_path, name="other").issue("jane@example.com", file="x", subject="Jane")
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        look(server, context=authority.client(stranger))


def test_certificate_without_authorities_is_warned_of(secure):
    server = secure("--cert-reqs", "2", expect_trouble=True)
    assert "ca_certs names nobody" in server.log


# ---- certificates of the server ----


def test_chain(gunicorn, tmp_path, authority):
    """The intermediate certificate is sent along."""
    middle = Authority(tmp_path, authority, "middle")
    pair = middle.issue(file="chained")
    server = serve_tls(gunicorn("secure", *pair.args), middle.client())
    assert server.request().status == 200


def test_key_in_the_certificates_file(gunicorn, pair, client, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(pair.keyfile.read_bytes() + pair.certfile.read_bytes())
    server = serve_tls(gunicorn("secure", "--certfile", str(both)), client)
    assert server.request().status == 200


def test_ciphers(secure, authority):
    server = secure("--ciphers", "ECDHE+AES256")
    facts = look(server, context=authority.client(version="TLSv1_2"))
    assert "AES256" in facts["cipher"][0]
    client = authority.client(version="TLSv1_2")
    client.set_ciphers("ECDHE+AES128")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.connect(context=client)


def shown_certificate(server):
    with server.connect() as connection:
        return connection.sock.getpeercert(True)


def test_reload_uses_the_new_certificate(secure, authority):
    pair = authority.issue(file="renewed")
    server = secure(use=pair)
    before = shown_certificate(server)
    with server.connect() as kept:
        kept.request()
        authority.issue(file="renewed")
        reload(server)
    after = shown_certificate(server)
    assert after != before
    assert server.request().status == 200


@pytest.mark.parametrize("damage", ["cut", "other-key", "gone"])
def test_reload_with_a_broken_certificate(secure, authority, damage):
    """The old one stays in use, and the new workers serve."""
    pair = authority.issue(file=f"broken-{damage}")
    server = secure(use=pair, expect_trouble=True)
    before = shown_certificate(server)
    if damage == "cut":
        pair.certfile.write_bytes(pair.certfile.read_bytes()[:300])
    elif damage == "gone":
        pair.keyfile.unlink()
    else:
        pair.keyfile.write_bytes(authority.issue(file="other").keyfile.read_bytes())
    reload(server)
    assert re.search(r"\[ERROR\] The old certificate stays in use: (cert|key)file: ", server.log)
    assert shown_certificate(server) == before
    assert server.request().status == 200


def test_reload_with_a_bad_setting(gunicorn, pair, client, tmp_path):
    config = tmp_path / "conf.py"
    config.write_text("")
    server = gunicorn("secure", *pair.args, "-c", str(config), expect_trouble=True)
    serve_tls(server, client)
    old = set(server.worker_pids())
    config.write_text("ciphers = 'BOGUS'\n")
    server.kill(signal.SIGHUP)
    server.wait_for_log("The reload failed, everything stays as it was: ciphers: ")
    assert set(server.worker_pids()) == old
    assert server.request().status == 200


@pytest.mark.slow
def test_renewed_on_disk(secure, authority, worker):
    """New files are used without a signal; halfway renewed ones are not.

    A connection of HTTP/2, which may last for days, ends with the old one.
    """
    if worker not in ("sync", "gevent"):
        pytest.skip("the same for all")
    pair = authority.issue(file="by-itself")
    server = secure("--http-protocols=h2,h1", "--keep-alive=60", use=pair, expect_trouble=True)
    old = Http2(server.address, authority.client())
    before = shown_certificate(server)
    server.request()
    other = authority.issue(file="by-itself-2")
    shutil.copy(other.certfile, pair.certfile)  # and its key is still to come
    await_log(server, "The certificate's files have changed, the old one stays in use: keyfile: ")
    assert shown_certificate(server) == before
    shutil.copy(other.keyfile, pair.keyfile)
    await_log(server, "The certificate's files have changed: new connections use the new one")
    assert shown_certificate(server) != before
    assert server.log.count("stays in use") == 1
    assert server.request().status == 200
    assert old.request().status == 200
    old.wait_closed()
    assert old.goaway == (1, 0)


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up rights")
def test_key_that_workers_may_not_read(gunicorn, authority, worker, tmp_path):
    """They tell once, and a reload has the master read it."""
    if worker != "sync":
        pytest.skip("the same for all")
    import pwd

    if not all(path.stat().st_mode & stat.S_IXOTH for path in Path(os.__file__).resolve().parents):
        pytest.skip("nobody else may read the modules of this Python")
    hidden = tmp_path / "hidden"
    hidden.mkdir(0o700)
    own = Authority(hidden)
    user = str(pwd.getpwnam("nobody").pw_uid)
    server = gunicorn("secure", *own.issue().args, "--user", user, "--preload")
    serve_tls(server, own.client())
    before = shown_certificate(server)
    own.issue()
    await_log(server, "This process may not look at ")
    assert shown_certificate(server) == before
    reload(server)
    assert shown_certificate(server) != before


def await_log(server, text, timeout=60):
    """Until the log has it, with requests meanwhile."""

    def logged():
        server.request()
        return text in server.log

    wait_until(logged, f"{text!r}\n{server.log}", timeout, 0.5)


# ---- the hook ----

HOOK = """
import ssl
import stat

def ssl_context(config, default_ssl_context_factory):
    context = default_ssl_context_factory()
    {body}
    return context
"""


@pytest.fixture
def hooked(gunicorn, pair, client, tmp_path):
    def start(body, *args, **options):
        (tmp_path / "hook.py").write_text(HOOK.format(body=body.replace("\n", "\n    ")))
        arguments = [*pair.args, "-c", str(tmp_path / "hook.py"), *args]
        return serve_tls(gunicorn("secure", *arguments, **options), client)

    return start


def test_hook(hooked, authority):
    server = hooked("context.minimum_version = ssl.TLSVersion.TLSv1_3")
    assert look(server)["version"] == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        server.connect(context=authority.client(version="TLSv1_2"))


SNI = """
other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
other.load_cert_chain({cert!r}, {key!r})
def choose(handshake, name, ctx):
    assert ctx is context and handshake.server_hostname == name
    if name == "other.example":
        handshake.context = other
    elif name == "refused.example":
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    elif name == "fails.example":
        raise RuntimeError("as it has to")
context.sni_callback = choose
"""


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_sni(hooked, authority, version):
    other = authority.issue("other.example", file="other-name")
    server = hooked(
        SNI.format(cert=str(other.certfile), key=str(other.keyfile)), expect_trouble=True
    )
    context = authority.client(version=version)
    assert look(server, context=context)["name"] == NAME
    assert look(server, context=context, server_hostname="other.example")["name"] == "other.example"
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        server.connect(context=context, server_hostname="refused.example")
    with pytest.raises(ssl.SSLError, match="(?i)handshake.failure"):
        server.connect(context=context, server_hostname="fails.example")
    assert "as it has to" in server.log
    context.check_hostname = False
    assert look(server, context=context, server_hostname=None)["name"] is None


def test_sni_that_is_no_text(hooked, authority):
    """The handshake is refused as ssl does; the log says why, without a traceback."""
    server = hooked("context.sni_callback = lambda *args: None")
    context = authority.client()
    context.check_hostname = False
    with pytest.raises(ssl.SSLError, match="(?i)internal.error"):
        RecordClient(server.address, context, "m\xfcller".encode("latin-1"), STEP_TIMEOUT)
    server.wait_for_log(
        r"handshake refused: the server name b'm\\xfcller' of a client is not ASCII"
    )
    assert "Exception ignored" not in server.log
    assert server.request().status == 200


PSK = """
context.set_ciphers("DEFAULT:PSK")
def find(identity):
    if identity == "fails":
        raise RuntimeError("as it has to")
    return b"secret" if identity == "jane" else b""
context.set_psk_server_callback(find)
"""


@pytest.mark.skipif(sys.version_info < (3, 13), reason="ssl knows shared keys from Python 3.13 on")
def test_shared_keys(hooked, authority):
    """TLS-PSK beside certificates, with the version for which ssl supports it."""
    server = hooked(PSK, expect_trouble=True)

    def client(identity, key):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # that trusts no certificate
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.set_ciphers("PSK")
        context.set_psk_client_callback(lambda hint: (identity, key))
        return context

    def serves(**options):
        with server.connect(**options) as connection:
            assert connection.request().body == b"ok"
            return connection.sock.session

    for _ in range(3):
        serves(context=client("jane", b"secret"))
    for identity, key in (("jane", b"guess"), ("john", b"secret"), ("fails", b"secret")):
        with pytest.raises(ssl.SSLError):
            server.connect(context=client(identity, key))
    server.wait_for_log("as it has to")
    for version in ("TLSv1_2", "TLSv1_3"):
        context = authority.client(version=version)
        session = serves(context=context)
        serves(context=context, session=session)


def test_sni_while_the_application_computes(hooked, authority, gate):
    """The callback waits for a thread that runs Python; others' handshakes go through."""
    server = hooked("context.sni_callback = lambda *args: None")
    with server.connect() as held:
        held.send(render("GET", "/gated", [("X-Gate", gate.path)]))
        gate.wait()
        gate.open()
        assert held.read_response().status == 200
    assert server.request().status == 200


LATE = [
    "sni_callback",
    "keylog_filename",
    "_msg_callback",
    "options",
    "load_cert_chain",
    "set_ciphers",
    "set_servername_callback",
]


@pytest.mark.parametrize("name", LATE)
def test_changes_that_come_too_late(server, name):
    """They are an error, and whoever connects next is served."""
    said = server.json("GET", f"/late?{name}")
    assert "comes too late: connections use this ssl.SSLContext; set it in the hook" in said
    assert server.request().status == 200


IN_WORKER = """
def post_worker_init(worker):
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    other.load_cert_chain({cert!r}, {key!r})
    def choose(handshake, name, context):
        if name == "other.example":
            handshake.context = other
            {choosing}
    worker.tls.context.sni_callback = choose
"""


def serve_by_worker(gunicorn, pair, authority, tmp_path, choosing="pass", **options):
    other = authority.issue("other.example", file="other-name")
    body = IN_WORKER.format(cert=str(other.certfile), key=str(other.keyfile), choosing=choosing)
    (tmp_path / "worker_hook.py").write_text("import ssl\n" + body)
    server = gunicorn("secure", *pair.args, "-c", str(tmp_path / "worker_hook.py"), **options)
    return serve_tls(server, authority.client())


def test_changes_before_the_worker_serves(gunicorn, pair, authority, tmp_path):
    server = serve_by_worker(gunicorn, pair, authority, tmp_path)
    assert look(server)["name"] == NAME
    for _ in range(2):
        assert look(server, server_hostname="other.example")["name"] == "other.example"


def test_key_log_of_a_chosen_context(gunicorn, pair, authority, tmp_path):
    """What was set before does no harm; what is set later is an error."""
    choosing = f"other.keylog_filename = {str(tmp_path / 'keys')!r}"
    server = serve_by_worker(gunicorn, pair, authority, tmp_path, choosing, expect_trouble=True)
    assert look(server, server_hostname="other.example")["name"] == "other.example"
    with pytest.raises(ssl.SSLError, match="(?i)handshake.failure"):
        server.connect(server_hostname="other.example")
    assert "keylog_filename comes too late" in server.log
    assert server.request().status == 200


def test_key_log(hooked, authority, tmp_path):
    """What ssl would write with objects of its own does no harm."""
    server = hooked(f"context.keylog_filename = {str(tmp_path / 'keys')!r}")
    assert server.request().status == 200


def test_encrypted_key_by_the_hook(hooked, pair, tmp_path):
    key = pair.encrypted(tmp_path / "encrypted.key", "sesame").keyfile
    body = (
        "context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
        f"context.load_cert_chain({str(pair.certfile)!r}, {str(key)!r}, 'sesame')"
    )
    assert hooked(body).request().status == 200


def test_hook_without_a_certificate_is_warned_of(gunicorn, tmp_path):
    (tmp_path / "hook.py").write_text(HOOK.format(body=""))
    server = gunicorn("secure", "-c", str(tmp_path / "hook.py"))
    assert "Warning: ssl_context: " in server.log
    assert server.request().status == 200


def test_ssl_version_is_ignored(secure):
    server = secure("--ssl-version", "3")
    assert "`ssl_version` is deprecated" in server.log
    assert server.request().status == 200
