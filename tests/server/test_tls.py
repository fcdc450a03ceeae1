"""TLS, as clients and applications see it."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
from pathlib import Path

import pytest
from helpers.tls import NAME, Authority, TlsConnection, serve_tls
from helpers.wire import Connection, render, wait_until

RELOAD_TIMEOUT = 20.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue()


@pytest.fixture
def client(authority):
    return authority.client()


@pytest.fixture
def secure(gunicorn, pair, client):
    """secure(*args): a server of this test's own, whose methods speak TLS."""

    def start(*args, app="secure", use=pair, context=client, **options):
        return serve_tls(gunicorn(app, *use.args, *args, **options), context)

    return start


@pytest.fixture
def server(shared, pair, client):
    """A server that tests share."""
    return serve_tls(shared("secure", *pair.args), client)


def look(server, **options):
    """What the application sees of one connection."""
    with server.connect(**options) as connection:
        return json.loads(connection.request("GET", "/look").body)


# ---- requests ----


def test_hello(server):
    assert re.search(r"Listening at: https://127\.0\.0\.1:\d+ ", server.log)
    response = server.request()
    assert response.status == 200
    assert response.body == b"ok"


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_versions(server, authority, version):
    facts = look(server, context=authority.client(version=version))
    assert facts["version"] == version.replace("_", ".")
    name, _, bits = facts["cipher"]
    assert bits >= 128 and name
    assert facts["server_side"] is True
    assert facts["name"] == NAME
    assert facts["certificate"] is None and facts["der"] == ""


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_are_refused(server, authority):
    context = authority.client()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.connect(context=context)
    assert server.request().status == 200


def test_environ(server):
    with server.connect() as connection:
        environ = json.loads(connection.request("GET", "/shown").body)
        assert environ["wsgi.url_scheme"] == "https"
        assert environ["HTTPS"] == "on"
        assert environ["SSL_PROTOCOL"] == connection.sock.version()
        assert environ["SSL_CIPHER"] == connection.sock.cipher()[0]
        assert environ["SSL_TLS_SNI"] == NAME
        assert environ["SSL_SESSION_RESUMED"] == "Initial"
    assert not [name for name in environ if name.startswith("SSL_CLIENT_")]


def test_scheme_of_a_trusted_proxy(secure):
    server = secure("--forwarded-allow-ips", "127.0.0.1")
    environ = server.json("GET", "/shown", [("X-Forwarded-Proto", "http")])
    assert environ["wsgi.url_scheme"] == "http"


def test_client_without_a_name(server, client):
    client.check_hostname = False
    with server.connect(server_hostname=None) as connection:
        environ = json.loads(connection.request("GET", "/shown").body)
    assert "SSL_TLS_SNI" not in environ


def test_kept_alive(server):
    with server.connect() as connection:
        for _ in range(20):
            assert connection.request().body == b"ok"


def test_pipelined(server):
    with server.connect() as connection:
        connection.send(render() * 50 + render(headers=[("Connection", "close")]))
        for _ in range(51):
            assert connection.read_response().body == b"ok"
        connection.expect_closed()


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_in_pieces(server, size):
    with server.connect() as connection:
        data = render("POST", "/echo", body=b"0123456789")
        connection.send_in_pieces(data, size)
        assert connection.read_response().body == b"0123456789"


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_large_bodies(server, authority, version):
    """Far more than any buffer of a connection holds, both ways."""
    body = random.Random(1).randbytes(3_000_000)
    with server.connect(context=authority.client(version=version)) as connection:
        for _ in range(2):
            assert connection.request("POST", "/echo", body=body).body == body


def test_chunked_upload(server):
    body = random.Random(2).randbytes(400_000)
    with server.connect() as connection:
        connection.send(render("POST", "/streamed", [("Transfer-Encoding", "chunked")]))
        for at in range(0, len(body), 50_000):
            connection.send(b"%x\r\n%b\r\n" % (50_000, body[at : at + 50_000]))
        connection.send(b"0\r\n\r\n")
        assert connection.read_response().body == body


def test_expect_continue(server):
    with server.connect() as connection:
        headers = [("Expect", "100-continue"), ("Content-Length", "5")]
        connection.send(render("POST", "/echo", headers))
        assert connection.read_head().status == 100
        connection.send(b"hello")
        assert connection.read_response().body == b"hello"


@pytest.mark.parametrize("flags", [(), ("--no-sendfile",)], ids=["sendfile", "no-sendfile"])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("size", [0, 1, 16384, 3_000_001])
def test_file(shared, pair, authority, tmp_path, flags, version, size):
    server = serve_tls(shared("secure", *pair.args, *flags), authority.client(version=version))
    path = tmp_path / "file"
    path.write_bytes(content := random.Random(size).randbytes(size))
    with server.connect() as connection:
        for _ in range(2):
            response = connection.request("GET", "/sent_file", [("X-File", str(path))])
            assert response.body == content


def test_slow_reader(server, tmp_path):
    """Others are served while one does not read; it gets its answer all the same."""
    path = tmp_path / "file"
    path.write_bytes(content := random.Random(3).randbytes(6_000_000))
    with server.connect(receive_buffer=4096) as slow:
        slow.send(render("GET", "/sent_file", [("X-File", str(path))]))
        for _ in range(5):
            assert server.request().status == 200
        assert slow.read_response().body == content


def test_bad_request(server):
    response = server.raw(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
    assert response.status == 400


def test_alpn(server, authority):
    context = authority.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with server.connect(context=context) as connection:
        assert connection.sock.selected_alpn_protocol() == "http/1.1"
        assert json.loads(connection.request("GET", "/look").body)["alpn"] == "http/1.1"


def test_alpn_without_http_1(server, authority):
    """Whoever offers other protocols only is not turned away for it."""
    context = authority.client()
    context.set_alpn_protocols(["h2"])
    with server.connect(context=context) as connection:
        assert connection.sock.selected_alpn_protocol() is None
        assert connection.request().body == b"ok"


def test_http2_is_not_promised(secure, authority):
    server = secure("--http-protocols", "h2,h1")
    context = authority.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with server.connect(context=context) as connection:
        assert connection.sock.selected_alpn_protocol() == "http/1.1"


def test_unix_socket(gunicorn, pair, client, tmp_path):
    server = gunicorn("secure", *pair.args, bind=[f"unix:{tmp_path}/s"])
    with TlsConnection(server.address, client) as connection:
        environ = json.loads(connection.request("GET", "/shown").body)
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["SERVER_PORT"] == "443"


# ---- what is not TLS, or stops being it ----


def test_plain_http(server):
    """Whoever mistakes the port is told so."""
    with Connection(server.address) as connection:
        connection.send(render())
        response = connection.read_response()
        connection.expect_closed()
    assert response.status == 400
    assert b"https" in response.body.lower()
    assert server.request().status == 200


@pytest.mark.parametrize(
    "data", [b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 100, b"SSH-2.0-x\r\n"]
)
def test_garbage(server, data):
    with Connection(server.address) as connection:
        connection.send(data)
        try:
            connection.end_of_input()
        except OSError:
            pass
        connection.read_to_end()
    assert server.request().status == 200


def test_garbage_after_the_handshake(server):
    with server.connect() as connection:
        assert connection.request().body == b"ok"
        socket.socket.send(connection.sock, b"\x17\x03\x03\x00\x20" + b"y" * 32)
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            connection.read_response()
    assert server.request().status == 200


def test_stalled_handshakes(secure, client):
    """Two hundred that stop inside the handshake delay nobody."""
    server = secure()
    hello = first_flight(client)
    stalled = []
    try:
        for number in range(200):
            connection = Connection(server.address)
            connection.send(hello[: [0, 1, 5, 100, len(hello)][number % 5]])
            stalled.append(connection)
        for _ in range(10):
            assert server.request().status == 200
    finally:
        for connection in stalled:
            connection.close()


def first_flight(context) -> bytes:
    """What a client sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    side = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        side.do_handshake()
    return outgoing.read()


def test_header_timeout_bounds_the_handshake(secure, client):
    server = secure("--header-timeout", "1")
    with Connection(server.address) as connection:
        connection.send(first_flight(client)[:20])
        connection.expect_closed_in_time = None
        connection.read_to_end()
    assert server.request().status == 200


@pytest.mark.parametrize(
    "state", ["hello", "handshake", "idle", "head", "body", "running", "answer"]
)
def test_reset_at_each_state(server, client, gate, state):
    for _ in range(3):
        reset_at(server, client, gate, state)
    assert server.request().status == 200


def reset_at(server, client, gate, state):
    if state in ("hello", "handshake"):
        connection = Connection(server.address)
        flight = first_flight(client)
        connection.send(flight if state == "handshake" else flight[:50])
        if state == "handshake":
            connection.sock.recv(1)
        connection.abort()
        return
    connection = server.connect()
    if state == "head":
        connection.send(b"GET / HTTP/1.1\r\n")
    elif state == "body":
        connection.send(render("POST", "/echo", [("Content-Length", "100000")]) + b"x" * 50_000)
    elif state == "running":
        connection.send(render("GET", "/gated", [("X-Gate", gate.path)]))
        gate.wait()
    elif state == "answer":
        connection.send(render("POST", "/echo", body=b"x" * 900_000) * 2)
        connection.sock.recv(1)
    connection.abort()
    if state == "running":
        gate.open()


def test_half_closed(server):
    """A client that closes its direction after the request gets the answer."""
    with server.connect() as connection:
        connection.send(render(headers=[("Connection", "close")]))
        connection.end_of_input()
        assert connection.read_response().body == b"ok"


def test_clients_goodbye(server):
    """close_notify after a request: the answer comes, then the server's own."""
    with server.connect() as connection:
        connection.send(render("POST", "/echo", body=b"x" * 10))
        assert connection.read_response().body == b"x" * 10
        connection.sock.settimeout(10)
        connection.sock.unwrap()


def test_renegotiation_is_refused(server, pair, tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl command")
    host, port = server.address
    done = subprocess.run(
        [openssl, "s_client", "-connect", f"{host}:{port}", "-tls1_2", "-legacy_renegotiation"],
        input="R\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        capture_output=True,
        text=True,
        timeout=30,
    )
    output = done.stdout + done.stderr
    assert "RENEGOTIATING" in output
    assert "200 OK" not in output
    assert re.search("no renegotiation|handshake failure|unexpected message", output), output[
        -2000:
    ]
    assert server.request().status == 200


# ---- programs of others ----


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl(server, authority, version):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")
    port = server.address[1]
    command = [curl, "-sS", "-i", "--cacert", authority.root.cafile, "--http1.1"]
    command += [f"--tlsv{version}", "--tls-max", version]
    done = subprocess.run(
        [*command, *[f"https://localhost:{port}/pid"] * 3],
        capture_output=True,
        text=True,
        timeout=30,
        env={k: v for k, v in os.environ.items() if k != "LD_PRELOAD"},  # a sanitizer's library
    )
    assert done.stdout.count("HTTP/1.1 200") == 3, done.stderr


def test_httpx(server, client):
    httpx = pytest.importorskip("httpx")
    body = random.Random(4).randbytes(500_000)
    with httpx.Client(verify=client, trust_env=False) as session:
        for _ in range(5):
            answer = session.post(f"https://localhost:{server.address[1]}/echo", content=body)
            assert answer.content == body


# ---- sessions ----


def resume(server, context, tries=30):
    """Connect again and again with the session before; (pid, resumed) of each time."""
    session, seen = None, []
    for _ in range(tries):
        with server.connect(context=context, session=session) as connection:
            facts = json.loads(connection.request("GET", "/look").body)
            assert facts["reused"] == connection.sock.session_reused
            seen.append((facts["pid"], facts["reused"]))
            session = connection.sock.session
    return seen


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_sessions_are_resumed_by_every_worker(secure, authority, version):
    server = secure(workers=2)
    context = authority.client(version=version)
    seen = resume(server, context)
    assert not seen[0][1]
    assert all(reused for _, reused in seen[1:]), seen


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_sessions_outlive_a_reload(secure, authority, version):
    server = secure()
    context = authority.client(version=version)
    with server.connect(context=context) as connection:
        connection.request()
        session = connection.sock.session
    reload(server)
    with server.connect(context=context, session=session) as connection:
        assert json.loads(connection.request("GET", "/look").body)["reused"]
    environ = None
    with server.connect(context=context, session=session) as connection:
        environ = json.loads(connection.request("GET", "/shown").body)
    assert environ["SSL_SESSION_RESUMED"] == "Resumed"


def reload(server):
    """HUP, and wait until the old workers are gone."""
    old = set(server.worker_pids())
    server.kill(signal.SIGHUP)
    wait_until(
        lambda: server.worker_pids() and not old & set(server.worker_pids()),
        f"new workers\n{server.log}",
        RELOAD_TIMEOUT,
    )


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
    """New files are used without a signal; halfway renewed ones are not."""
    if worker not in ("sync", "gevent"):
        pytest.skip("the same for all")
    pair = authority.issue(file="by-itself")
    server = secure(use=pair, expect_trouble=True)
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


# ---- applications that talk on the socket ----


def test_take_over(server):
    with server.connect() as connection:
        connection.send(render("GET", "/lines"))
        assert connection.read_head().status == 101
        for _ in range(3):
            connection.send(b"hello\n")
            assert connection.read(6) == b"HELLO\n"
        large = bytes(random.Random(5).choices(range(65, 91), k=700_000)) + b"\n"
        connection.send(large)
        assert connection.read(len(large)) == large
        connection.send(b"bye\n")
        connection.expect_closed()


def test_take_over_with_a_time_limit(server):
    with server.connect() as connection:
        connection.send(render("GET", "/timed"))
        response = connection.read_response()
        assert response.body == b"timed out"


# ---- the end ----


def test_stop_finishes_requests(secure, gate):
    server = secure()
    with server.connect() as connection, server.connect() as idle:
        idle.request()
        connection.send(render("GET", "/gated", [("X-Gate", gate.path)]))
        gate.wait()
        server.kill(signal.SIGTERM)
        server.wait_for_log("Handling signal: term")
        gate.open()
        assert connection.read_response().body == b"ok"
        connection.expect_closed()
        idle.expect_closed()
    assert server.wait() == 0


def test_no_leak(secure, worker):
    """Connections leave neither descriptors nor memory behind."""
    server = secure()
    (pid,) = server.worker_pids()

    def descriptors():
        return len(os.listdir(f"/proc/{pid}/fd"))

    for _ in range(5):
        server.request()
    before = descriptors()
    for _ in range(50):
        server.request()
        with Connection(server.address) as plain:
            plain.send(render())
            plain.read_to_end()
    wait_until(lambda: descriptors() <= before, f"{descriptors()} descriptors, {before} before")
