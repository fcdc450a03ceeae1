"""nginx in front by uwsgi_pass and fastcgi_pass: over TCP and Unix sockets, buffering or not."""

import hashlib
import json
import os
import signal
import time

import pytest
from helpers.echoed import environ_of
from helpers.nginx import NGINX, Nginx
from helpers.wire import Closed, Connection, render

pytestmark = [
    pytest.mark.skipif(not NGINX, reason="nginx is not installed"),
    pytest.mark.parametrize("worker", ["gthread", "gevent"], indirect=True, scope="session"),
]

KEPT = {"fastcgi": "fastcgi_keep_conn on;", "uwsgi": ""}


@pytest.fixture(
    params=[(kind, local) for kind in KEPT for local in (False, True)],
    ids=lambda one: f"{one[0]}-{'unix' if one[1] else 'tcp'}",
)
def behind_nginx(request, gunicorn, tmp_path):
    """behind_nginx(app): a server, and the address of an nginx in front, which buffers over TCP."""
    kind, local = request.param
    with Nginx(tmp_path) as nginx:

        def start(app, **options):
            unix = f"unix:{tmp_path}/server.sock"
            bind = [unix if local else "127.0.0.1:0"]
            server = gunicorn(app, f"--protocol={kind}", bind=bind, **options)
            upstream = unix if local else f"127.0.0.1:{server.address[1]}"
            return server, nginx.start(kind, upstream, "off" if local else "on", KEPT[kind])

        yield start


def test_requests(behind_nginx, tmp_path):
    server, address = behind_nginx("echo")
    with Connection(address) as client:
        for number in range(5):
            uri = f"/caf%C3%A9%2541/{number}?a=%41"
            environ = environ_of(client.request("GET", uri, [("X-Own", "1")]))
            assert environ["PATH_INFO"] == f"/caf\xc3\xa9%41/{number}"
            assert (environ["RAW_URI"], environ["QUERY_STRING"]) == (uri, "a=%41")
            assert (environ["REMOTE_ADDR"], environ["HTTP_X_OWN"]) == ("127.0.0.1", "1")
            assert environ["SERVER_PORT"] == str(address[1])
        body = os.urandom(3_000_000)
        answer = json.loads(client.request("POST", "/", (), body).body)
        assert answer["sha256"] == hashlib.sha256(body).hexdigest()
        assert client.request("HEAD", "/").status == 200
    server.kill(signal.SIGHUP)
    for _ in range(20):
        with Connection(address) as client:
            assert client.request().status == 200
    assert "[error]" not in (tmp_path / "nginx-error.log").read_text()


def test_answers(behind_nginx):
    _, address = behind_nginx("answers")
    expected = b"".join(bytes([65 + n % 26]) * 70_000 for n in range(9))
    with Connection(address) as client:
        start = time.monotonic()
        for _ in range(3):
            assert client.request("GET", "/large_chunked?9,70000").body == expected
            assert client.request("GET", "/length").status == 200
            assert client.request("GET", "/status?304+Not+Modified").status == 304
        assert time.monotonic() - start < 20, "nginx waited for the end of a connection"


@pytest.mark.parametrize(
    "behind_nginx",
    [("uwsgi", False), ("fastcgi", False)],
    ids=["uwsgi-tcp", "fastcgi-tcp"],
    indirect=True,
)
def test_an_answer_that_is_cut_short(behind_nginx):
    """The client of nginx sees that it is: by the reset, for nginx looks for no other sign."""
    _, address = behind_nginx("answers", expect_trouble=True)
    with Connection(address) as client, pytest.raises(Closed):
        client.request("GET", "/raises_later")


@pytest.mark.parametrize("behind_nginx", [(kind, True) for kind in KEPT], ids=KEPT, indirect=True)
def test_a_stream(behind_nginx, gate):
    _, address = behind_nginx("answers")
    with Connection(address) as client:
        client.send(render("GET", "/items_gated", [("X-Gate", gate.path)]))
        assert client.read_head().status == 200
        assert client.read_chunk() == b"item 0"
        for number in range(1, 4):
            gate.step()
            assert client.read_chunk() == b"item %d" % number
        assert client.read_chunk() == b""
