"""HTTP/2 without TLS by an upgrade from HTTP/1.1 (RFC 7540 section 3.2): http2_cleartext."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from helpers.server import UNWATCHED
from helpers.wire import render

pytest.importorskip("h2")

from helpers.http2 import Http2  # noqa: E402

EACH = pytest.mark.parametrize(
    "worker", ["sync", "gthread", "gevent", "eventlet", "tornado"], indirect=True, scope="session"
)
UPGRADE = ("--http-protocols=h2,h1", "--http2-cleartext=upgrade")
LOG = ("--access-logfile=-", "--access-logformat=%(r)s|%(H)s|%(s)s|%(b)s")

ASKS = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c")]
VALID = "AAMAAABkAAQCAAAAAAIAAAAA"


def asking(method="GET", target="/ok", body=b"", headers=()):
    fields = [*ASKS, ("HTTP2-Settings", "SETTINGS"), *headers]
    if body:
        fields.append(("Content-Length", str(len(body))))
    return render(method, target, fields) + body


@pytest.fixture
def server(shared):
    return shared("http2", *UPGRADE, *LOG)


@EACH
def test_the_request_is_stream_1(server):
    with Http2(server.address, upgrade=asking(target="/shown?a=1")) as client:
        environ = json.loads(client.answer(1).body)
        assert environ["SERVER_PROTOCOL"] == "HTTP/2.0"
        assert environ["QUERY_STRING"] == "a=1"
        assert environ["HTTP_HOST"] == "example.com"
        assert environ["gunicorn.http2.priority_weight"] == 16
        hidden = {"HTTP_CONNECTION", "HTTP_UPGRADE", "HTTP_HTTP2_SETTINGS"}
        assert not hidden & set(environ)
        numbers = [client.begin(path=f"/big?{n}") for n in (10, 100_000)]
        assert [len(client.answer(number).body) for number in numbers] == [10, 100_000]


@pytest.mark.parametrize("size", [1, 70_000, 3_000_000])
@EACH
def test_bodies(server, size):
    body = b"b" * size
    with Http2(server.address, upgrade=asking("POST", "/echo", body)) as client:
        assert client.answer(1).body == body
        assert client.request().body == b"ok"


@EACH
def test_chunks_head_and_frames_in_haste(server):
    chunked = asking("POST", "/echo", headers=[("Transfer-Encoding", "chunked")])
    with Http2(server.address, upgrade=chunked + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") as client:
        assert client.answer(1).body == b"abcde"
    with Http2(server.address, upgrade=asking("HEAD", "/big?10")) as client:
        answer = client.answer(1)
        assert (answer.headers["content-length"], answer.body) == ("10", b"")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    with server.connect() as connection:
        connection.send(asking().replace(b"SETTINGS", VALID.encode()) + preface)
        assert connection.read_head().status == 101
        while b"ok" not in connection.buffer:
            connection.buffer += connection.sock.recv(65536)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@EACH
def test_curl(server):
    host, port = server.address
    url = f"http://{host}:{port}"
    command = ["curl", "-sv", "--http2", f"{url}/ok", f"{url}/ok", "-d", "x"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True, env=UNWATCHED)
    assert done.stdout == b"okok"
    assert done.stderr.count(b"HTTP/2 200") == 2


@pytest.mark.skipif(not shutil.which("nghttp"), reason="nghttp is not installed")
@EACH
def test_nghttp(server):
    host, port = server.address
    command = ["nghttp", "-u", f"http://{host}:{port}/big?100000"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True, env=UNWATCHED)
    assert len(done.stdout) == 100_000


@pytest.mark.parametrize(
    "fields, line",
    [
        (ASKS, "HTTP2-Settings has to be there once"),
        ([*ASKS, *[("HTTP2-Settings", VALID)] * 2], "HTTP2-Settings has to be there once"),
        (
            [("Connection", "upgrade"), ("Upgrade", "h2c"), ("HTTP2-Settings", VALID)],
            "Connection does not name HTTP2-Settings",
        ),
        ([*ASKS, ("HTTP2-Settings", "AAMAAABkAA")], "the value of HTTP2-Settings"),
        ([*ASKS, ("HTTP2-Settings", "AAMAAAB!")], "the value of HTTP2-Settings"),
        ([*ASKS, ("HTTP2-Settings", "AAIAAAAC")], "the value of HTTP2-Settings"),
        ([*ASKS, ("HTTP2-Settings", "AAQAAAAA" * 40)], "the value of HTTP2-Settings"),
    ],
)
@pytest.mark.parametrize("worker", ["gthread"], indirect=True, scope="session")
def test_mistakes(server, fields, line):
    with server.connect() as connection:
        answer = connection.request(target="/ok", headers=fields)
        assert answer.status == 400
        assert line.encode() in answer.body
    server.wait_for_log(f"Invalid upgrade to h2c: {line}")


@pytest.mark.parametrize(
    "fields, version",
    [
        ([("Upgrade", "h2c"), ("HTTP2-Settings", VALID)], "1.1"),  # a proxy has forwarded it
        ([*ASKS, ("HTTP2-Settings", VALID)], "1.0"),
        ([("Connection", "Upgrade"), ("Upgrade", "h2")], "1.1"),
    ],
)
@pytest.mark.parametrize("worker", ["gthread"], indirect=True, scope="session")
def test_requests_that_ask_for_nothing(server, fields, version):
    with server.connect() as connection:
        connection.send(render(target="/ok", headers=fields, version=version))
        answer = connection.read_response()
        assert (answer.status, answer.body) == (200, b"ok")


@pytest.mark.parametrize("worker", ["gthread"], indirect=True, scope="session")
def test_only_by_the_way_that_is_set(server, shared):
    """Peers that are not trusted, and a listener with prior knowledge alone."""
    with server.connect() as connection:
        connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert connection.read_head().status == 400
    stranger = shared("http2", *UPGRADE, "--forwarded-allow-ips=192.0.2.1")
    fields = [*ASKS, ("HTTP2-Settings", VALID)]
    with stranger.connect() as connection:
        assert connection.request(target="/ok", headers=fields).body == b"ok"


@pytest.mark.parametrize("worker", ["gthread"], indirect=True, scope="session")
def test_a_client_that_says_nothing_after_the_upgrade(gunicorn):
    """Its request is answered, and the connection ends after keepalive."""
    server = gunicorn("http2", *UPGRADE, "--keep-alive=1")
    with server.connect() as connection:
        connection.send(asking().replace(b"SETTINGS", VALID.encode()))
        assert connection.read_head().status == 101
        while data := connection.sock.recv(65536):
            connection.buffer += data
        assert b"ok" in connection.buffer


@pytest.mark.parametrize("worker", ["gthread"], indirect=True, scope="session")
def test_later_on_the_connection(server):
    """A request of HTTP/1 comes before."""
    with server.connect() as connection:
        assert connection.request(target="/ok").body == b"ok"
        connection.send(asking(target="/big?5").replace(b"SETTINGS", VALID.encode()))
        assert connection.read_head().status == 101
        while b"xxxxx" not in connection.buffer:
            connection.buffer += connection.sock.recv(65536)


@pytest.mark.parametrize("worker", ["asgi"], indirect=True, scope="session")
def test_tasks(worker, shared):
    server = shared("asgi_http2:application", *UPGRADE, is_asgi=True)
    with Http2(server.address, upgrade=asking(target="/scope")) as client:
        assert json.loads(client.answer(1).body)["http_version"] == "2"
    body = b"b" * 300_000
    with Http2(server.address, upgrade=asking("POST", "/echo", body)) as client:
        assert client.answer(1).body == body
        assert client.request("POST", "/echo", body=body).body == body
