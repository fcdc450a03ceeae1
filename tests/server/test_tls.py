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
import subprocess

import pytest
from helpers.tls import NAME, TlsConnection, look, reload, serve_tls
from helpers.wire import Connection, render, wait_until


@pytest.fixture
def server(shared, pair, client):
    """A server that tests share."""
    return serve_tls(shared("secure", *pair.args), client)


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
