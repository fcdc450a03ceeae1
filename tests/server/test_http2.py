"""HTTP/2: streams are requests, in each worker class, over TLS and in clear text."""

import json
import shutil
import signal
import subprocess

import httpx
import pytest
from helpers.gate import Gate
from helpers.server import SANITIZED, UNWATCHED
from helpers.wire import wait_until

pytest.importorskip("h2")

from helpers.http2 import Http2  # noqa: E402

EACH = pytest.mark.parametrize(
    "worker", ["sync", "gthread", "gevent", "eventlet", "tornado"], indirect=True, scope="session"
)
CLEAR = ("--http-protocols=h2,h1", "--http2-cleartext=prior-knowledge")
LOG = ("--access-logfile=-", "--access-logformat=%(r)s|%(H)s|%(s)s|%(b)s")

#: Bytes of a body that does not stay in memory, unless a sanitizer makes its client slow.
LARGE = 300_000 if SANITIZED else 3_000_000

CANCEL = 8
ENHANCE_YOUR_CALM = 11
NO_LAST = 2**31 - 1  # of the first of two GOAWAY: the package h2 reads no other


@pytest.fixture
def server(shared):
    return shared("http2", *CLEAR, *LOG)


@pytest.fixture
def client(server):
    with Http2(server.address) as client:
        yield client


# Requests and answers


@EACH
def test_many_on_one_connection(client):
    numbers = [client.begin(path="/big?" + str(1000 * i)) for i in range(50)]
    for i, number in enumerate(numbers):
        assert client.answer(number).body == b"x" * 1000 * i


@EACH
def test_the_environ(client):
    answer = client.request(
        "GET", "/shown?a=1", [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")]
    )
    environ = json.loads(answer.body)
    assert environ["SERVER_PROTOCOL"] == "HTTP/2.0"
    assert environ["HTTP_VERSION"] == "2"
    assert environ["RAW_URI"] == "/shown?a=1"
    assert environ["QUERY_STRING"] == "a=1"
    assert environ["HTTP_HOST"] == "localhost"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["gunicorn.http2.priority_weight"] == 16
    assert "connection" not in answer.headers
    assert answer.headers["server"] == "gunicorn"
    assert answer.headers["date"].endswith("GMT")


@pytest.mark.parametrize("size", [0, 1, 100_000, LARGE])
@EACH
def test_bodies(client, size):
    body = b"b" * size
    assert client.request("POST", "/echo", body=body).body == body


@EACH
def test_answers_of_all_kinds(client):
    assert client.request(path="/items").body == b"".join(b"%d\n" % i for i in range(1000))
    assert client.request(path="/sent_file").body == b"y" * 200_000
    assert client.request(path="/nothing").status == 204
    head = client.request("HEAD", "/big?10")
    assert head.headers["content-length"] == "10"
    assert head.body == b""
    assert client.request(path="/short").reset == 2  # INTERNAL_ERROR
    assert client.request().body == b"ok"


@EACH
def test_trailers_and_hints(client):
    answer = client.request(path="/trailers")
    assert (answer.body, answer.trailers) == (b"ab", {"x-sum": "1", "x-other": "2"})
    assert client.request(path="/hints").interim == [(103, {"link": "</a.css>"})]
    expecting = client.begin("POST", "/echo", [("expect", "100-continue")], ended=False)
    while not client.streams[expecting].interim:
        client.receive()
    client.send(expecting, b"body")
    assert client.answer(expecting).body == b"body"
    assert client.streams[expecting].interim == [(100, {})]


@EACH
def test_a_slow_reader_holds_up_no_other(server):
    with Http2(server.address, reads=False) as slow:
        slow.begin(path="/big?3000000")
        other = slow.begin(path="/ok")
        assert slow.answer(other).body == b"ok"


@EACH
def test_a_stream_cannot_take_the_connection_over(client):
    body = client.request(path="/taken").body
    assert body == b"a stream of HTTP/2 has no connection of its own"
    assert client.request().body == b"ok"


@EACH
def test_the_access_log(server, client):
    client.request("POST", "/echo?logged", body=b"abc")
    wait_until(lambda: "POST /echo?logged HTTP/2.0|HTTP/2.0|200|3" in server.stdout, "its line")


@EACH
def test_refusals_are_those_of_a_stream(server, client):
    assert client.request(path="/ok", headers=[("host", "other")]).status == 400
    server.wait_for_log("Host and :authority differ")
    assert client.request("get").status == 400
    assert client.request(path="/" + "a" * 5000).status == 414
    assert client.request(headers=[("a", "b" * 9000)]).status == 431
    assert client.request(headers=[("connection", "close")]).reset == 1
    assert client.request().body == b"ok"


@EACH
def test_http_1_is_refused_where_http_2_is_expected(server):
    assert server.request().status == 400
    server.wait_for_log("HTTP/2 is expected from this client")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@EACH
def test_curl(server):
    host, port = server.address
    command = ["curl", "-sv", "--http2-prior-knowledge", f"http://{host}:{port}/ok"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True, env=UNWATCHED)
    assert done.stdout == b"ok"
    assert b"HTTP/2 200" in done.stderr


# Streams at the same time


@pytest.mark.parametrize("worker", ["gthread", "gevent"], indirect=True, scope="session")
def test_streams_run_at_the_same_time(gunicorn, worker):
    threads = ["--threads", "3"] if worker == "gthread" else []
    server = gunicorn("http2", *CLEAR, *threads)
    with Gate() as gate, Http2(server.address) as client:
        waiting = [client.begin(path="/gate?" + gate.path) for _ in range(2)]
        gate.wait(2)
        assert client.request().body == b"ok"
        gate.open()
        for number in waiting:
            assert client.answer(number).body == b"through"


# Tasks


@pytest.mark.parametrize("worker", ["asgi"], indirect=True, scope="session")
def test_tasks(worker, shared):
    server = shared("asgi_http2:application", *CLEAR, is_asgi=True)
    with Http2(server.address) as client:
        scope = json.loads(client.request(path="/scope").body)
        assert (scope["http_version"], scope["scheme"]) == ("2", "http")
        body = b"b" * 1_000_000
        assert client.request("POST", "/echo", body=body).body == body
        waiting = client.begin("POST", "/echo", ended=False)
        client.send(waiting, b"part", ended=False)
        while client.streams[waiting].body != b"part":
            client.receive()
        assert client.request(path="/scope").status == 200
        client.send(waiting, b"rest")
        assert client.answer(waiting).body == b"partrest"
        left = client.begin("POST", "/echo", ended=False)
        client.h2.reset_stream(left, CANCEL)
        client.flush()
        assert client.request(path="/left").body == b"1"
        answer = client.request(path="/trailers")
        assert (answer.body, answer.trailers) == (b"ab", {"x-sum": "1", "x-other": "1"})


# The choice of the protocol


@pytest.fixture
def tls(shared, pair):
    return shared("http2", *pair.args, "--http-protocols=h2,h1")


@EACH
def test_alpn(tls, authority):
    context = authority.client()
    with Http2(tls.address, context) as client:
        environ = json.loads(client.request(path="/shown").body)
        assert environ["wsgi.url_scheme"] == "https"
        assert b"no connection of its own" in client.request(path="/taken").body
    with httpx.Client(http2=True, verify=authority.client()) as client:
        host, port = tls.address
        answer = client.post(f"https://localhost:{port}/echo", content=b"x" * 200_000)
        assert answer.http_version == "HTTP/2"
        assert answer.content == b"x" * 200_000
    with httpx.Client(verify=authority.client()) as client:
        answer = client.get(f"https://localhost:{port}/ok")
        assert answer.http_version == "HTTP/1.1"


# Ends


@EACH
def test_a_reload_loses_no_stream(gunicorn):
    server = gunicorn("http2", *CLEAR)
    with Http2(server.address) as client:
        before = client.request(path="/pid").body
        server.kill(signal.SIGHUP)
        while client.goaway is None:
            stream = client.streams[client.begin(path="/pid")]
            while not stream.over and client.goaway is None:
                assert client.receive()
            assert stream.body in (before, b"")
        client.wait_closed()
        assert client.goaway in [(max(client.streams), 0), (NO_LAST, 0)]
    with Http2(server.address) as client:
        assert client.request(path="/pid").body != before


@EACH
def test_resets_in_a_row_end_the_connection(gunicorn):
    server = gunicorn("http2", *CLEAR, expect_trouble=True)
    with Http2(server.address) as hostile, Http2(server.address) as other:
        while hostile.goaway is None and not hostile.closed:
            for _ in range(20):
                hostile.h2.reset_stream(hostile.begin("POST", "/echo", ended=False), 8)
            hostile.flush()
            hostile.sock.settimeout(0.05)
            try:
                hostile.receive()
            except TimeoutError:
                pass
            assert len(hostile.streams) < 1000
        assert hostile.goaway[1] == ENHANCE_YOUR_CALM
        assert other.request().body == b"ok"
    server.wait_for_log("too many streams were reset")
