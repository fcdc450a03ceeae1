"""Over HTTP/2, no stream is lost either, whichever signal the master gets under load."""

from __future__ import annotations

import signal

import pytest
from helpers.haproxy import HAPROXY, running
from helpers.nginx import NGINX, Nginx
from helpers.server import SANITIZED, WORKER_ARGS, free_port
from helpers.wire import wait_until

pytest.importorskip("h2")

from helpers.http2 import Http2  # noqa: E402
from process.load import check, reload_under, upgrade_under  # noqa: E402
from process.load_http2 import Http2Load  # noqa: E402
from process.test_nothing_lost import APP  # noqa: E402

HTTP2 = ("--http-protocols=h2,h1", "--http2-cleartext=prior-knowledge", "--keep-alive=60")


@pytest.fixture(params=["gthread", "asgi"])
def server(request, master, tmp_path):
    (tmp_path / "hello.py").write_text(APP)

    def start(*args):
        kind = WORKER_ARGS[request.param]
        one = master(*kind, *HTTP2, *args, app="hello:app", workers=2, plain=False)
        one.wait_workers(2)
        return one

    return start


def reload(one, load):
    reload_under(load, one, 2)


def fewer_workers(one, load):
    for number in [signal.SIGTTIN, signal.SIGTTOU] * 3:
        load.settle(100)
        one.kill(number)
    load.settle()


def recycle(one, load):
    first = set(one.worker_pids())
    wait_until(lambda: not first & set(one.worker_pids()), "all workers were recycled", 60)
    load.settle()


@pytest.mark.parametrize("event", [reload, fewer_workers, recycle])
def test_an_event(server, event):
    one = server("--max-requests=300") if event is recycle else server()
    with Http2Load(one.address) as load:
        event(one, load)
    check(load, one)
    assert one.stop() == 0


def test_upgrade(server, tmp_path):
    pidfile = tmp_path / "pid"
    one = server("--pid", str(pidfile))
    upgrade_under(Http2Load(one.address), one, pidfile, 500)


@pytest.mark.skipif(
    SANITIZED, reason="a slow client's first byte comes after the 0.1 s that stopping waits for it"
)
def test_stop(server):
    """Streams that were taken are answered; only then are clients refused."""
    one = server()
    with Http2Load(one.address) as load:
        load.settle(500)
        one.kill(signal.SIGTERM)
        assert one.wait() == 0
    lost = {what: n for what, n in load.losses.items() if not what.startswith("connect:")}
    assert not lost, f"{lost} of {load.answers}\n{one.log[-3000:]}"


def test_a_renewed_certificate(server, pair, authority):
    one = server(*pair.args, "--http2-cleartext=off")
    with Http2Load(one.address, tls=authority.client()) as load:
        for _ in range(2):
            old = set(one.worker_pids())
            load.settle()
            authority.issue()
            one.kill(signal.SIGHUP)
            one.wait_gone(old, timeout=20)
        load.settle()
    check(load, one)
    assert one.stop() == 0


# Behind proxies

GRPC = """
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/grpc")])
    environ["gunicorn.http2.send_trailers"]([("grpc-status", "0"), ("grpc-message", "done")])
    return [body]
"""

HAPROXY_CONF = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  retries 3
  retry-on conn-failure empty-response response-timeout
frontend front
  bind 127.0.0.1:{port} proto h2
  default_backend behind
backend behind
  http-reuse always
  server one {server}
"""


def haproxy(directory, server):
    """HAProxy with HTTP/2 on both sides, a context manager; its address."""
    port = free_port()
    conf = directory / "haproxy.cfg"
    conf.write_text(HAPROXY_CONF.format(port=port, server=server))
    return running(conf, port)


def both_under(address, one):
    """A reload, and recycling goes on meanwhile."""
    with Http2Load(address, connections=4) as load:
        reload_under(load, one, 2)
    check(load, one)


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_behind_nginx(server, tmp_path):
    one = server("--max-requests=400")
    host, port = one.address
    with Nginx(tmp_path) as nginx:
        both_under(nginx.start("grpc", f"{host}:{port}", "off"), one)
    assert one.stop() == 0


@pytest.mark.skipif(not HAPROXY, reason="HAProxy is not installed")
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_behind_haproxy(server, pair, tmp_path, secure):
    tls = (*pair.args, "--http2-cleartext=off") if secure else ()
    one = server("--max-requests=400", *tls)
    host, port = one.address
    way = "ssl verify none alpn h2" if secure else "proto h2"
    with haproxy(tmp_path, f"{host}:{port} {way}") as address:
        both_under(address, one)
    assert one.stop() == 0


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_a_call_of_grpc_by_nginx(master, tmp_path):
    """Frames of messages both ways, and the trailers that end them."""
    (tmp_path / "grpc.py").write_text(GRPC)
    one = master(*WORKER_ARGS["gthread"], *HTTP2, app="grpc:app", plain=False)
    host, port = one.address
    message = b"\0" + (100_000).to_bytes(4, "big") + bytes(100_000)
    headers = [("content-type", "application/grpc"), ("te", "trailers")]
    with Nginx(tmp_path) as nginx:
        with Http2(nginx.start("grpc", f"{host}:{port}", "off")) as client:
            answer = client.request("POST", "/package.Service/Method", headers, message)
    assert (answer.status, answer.body) == (200, message)
    assert answer.trailers == {"grpc-status": "0", "grpc-message": "done"}
    assert one.stop() == 0
