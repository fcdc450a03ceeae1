"""WebSocket over HTTP/2 (RFC 8441): all that a connection of its own has not.

test_asgi_websocket.py has messages, ends and violations over both.
"""

from __future__ import annotations

import ast
import itertools
import os
import signal
import zlib

import pytest
from helpers.websocket import PING, PONG, TEXT, frame
from helpers.wire import wait_until

pytest.importorskip("h2")

import h2.settings  # noqa: E402
from helpers.http2 import Http2  # noqa: E402
from helpers.http2_websocket import ask, open_websocket  # noqa: E402

APP = "asgi_sockets:app"
CLEAR = ("--http-protocols", "h2,h1", "--http2-cleartext", "both")
CANCEL = 8
PROTOCOL_ERROR = 1

numbers = itertools.count()


@pytest.fixture
def sockets(serve_asgi):
    """sockets(*args): a server of this test's own."""
    return lambda *args: serve_asgi(APP, *CLEAR, *args)


@pytest.fixture(scope="module")
def server(share_asgi):
    log = ["--access-logfile", "-", "--access-logformat", "%(r)s %(s)s"]
    return share_asgi(APP, *CLEAR, *log, "--websocket-ping-interval", "0.2")


@pytest.fixture
def client(server):
    with Http2(server.address) as client:
        yield client


def at(path):
    query = f"{next(numbers)}"
    return f"{path}?{query}", query


def noted(server, query, count=1):
    return wait_until(
        lambda: len(notes := server.json(target=f"/notes?{query}")) >= count and notes,
        f"{count} notes",
    )


# The handshake


def test_it_is_announced(client):
    client.receive()
    settings = client.h2.remote_settings
    assert settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL] == 1


@pytest.mark.parametrize("worker", ["gthread"], indirect=True, scope="session")
def test_only_where_the_worker_serves_it(shared):
    """A WSGI worker announces nothing, and :protocol is malformed then (RFC 9113 §8.3)."""
    server = shared("http2", *CLEAR)
    with Http2(server.address) as client:
        client.receive()
        assert client.h2.remote_settings.enable_connect_protocol == 0
        assert client.answer(ask(client, "/ok")).reset == PROTOCOL_ERROR
        assert client.request(path="/ok").body == b"ok"


@pytest.mark.parametrize(
    "options, status",
    [
        ({"protocol": "webtransport"}, 501),
        ({"protocol": "WebSocket"}, 200),
        ({"version": "12"}, 400),
        ({"version": ""}, 400),
        ({"headers": [("sec-websocket-extensions", "permessage-deflate; =")]}, 400),
        ({"target": "/refuse"}, 403),
        ({"target": "/deny"}, 418),
    ],
)
def test_answers_to_handshakes(client, options, status):
    number = ask(client, **{"target": "/echo", **options})
    stream = client.streams[number]
    while not stream.status:
        assert client.receive()
    assert stream.status == status
    assert not {"upgrade", "connection", "sec-websocket-accept"} & set(stream.headers)
    if "version" in options:
        assert stream.headers["sec-websocket-version"] == "13"
    if status != 200:
        client.answer(number)
    assert client.request(path="/").body == b'"http"'


def test_a_handshake_that_ends_its_stream(server, client):
    fields = [(":protocol", "websocket"), ("sec-websocket-version", "13")]
    assert client.request("CONNECT", "/echo", fields).status == 400
    server.wait_for_log("A WebSocket handshake that ends its stream")


def test_the_scope_and_the_line(server, client):
    socket = open_websocket(client, "/scope/a?q")
    scope = ast.literal_eval(socket.receive()[1].decode())
    shown = {key: scope[key] for key in ("type", "http_version", "scheme", "path", "query_string")}
    assert shown == {
        "type": "websocket",
        "http_version": "2",
        "scheme": "ws",
        "path": "/scope/a",
        "query_string": b"q",
    }
    assert (b"host", b"localhost") in scope["headers"]
    socket.close()
    wait_until(lambda: "CONNECT /scope/a?q HTTP/2.0 200" in server.stdout, "its line")


# Frames


def test_frames_in_haste(client):
    """A client that does not wait for the answer to its handshake."""
    number = ask(client, "/echo")
    client.send(number, frame(TEXT, b"early"), ended=False)
    stream = client.streams[number]
    while len(stream.body) < 7:
        assert client.receive()
    assert (stream.status, stream.body[:7]) == (200, b"\x81\x05early")


def test_compression(client):
    deflate = [("sec-websocket-extensions", "permessage-deflate")]
    socket = open_websocket(client, "/echo", deflate)
    assert "permessage-deflate" in socket.header("sec-websocket-extensions")
    packer = zlib.compressobj(wbits=-9)
    packed = packer.compress(b"text " * 1000) + packer.flush(zlib.Z_SYNC_FLUSH)
    socket.connection.send(frame(TEXT, packed[:-4], 0xC0))
    first, size = socket.connection.read(2)
    assert (first, size < 126) == (0xC1, True)
    answer = socket.connection.read(size) + b"\0\0\xff\xff"
    assert zlib.decompressobj(-15).decompress(answer) == b"text " * 1000
    socket.close()


def test_pings(client):
    socket = open_websocket(client, "/echo")
    for _ in range(3):
        opcode, payload = socket.receive()
        assert opcode == PING
        socket.send(payload, PONG)
    socket.close()


def test_one_byte_at_a_time(client):
    socket = open_websocket(client, "/echo")
    for byte in frame(TEXT, b"slowly"):
        socket.connection.send(bytes([byte]))
    while (message := socket.receive())[0] == PING:
        pass
    assert message == (TEXT, b"slowly")
    socket.close()


# Beside other streams


def test_many_on_one_connection_beside_requests(client):
    sockets = [open_websocket(client, "/echo") for _ in range(30)]
    for n, socket in enumerate(sockets):
        socket.send(b"%d" % n)
    assert client.request(path="/").status == 200
    for n, socket in enumerate(sockets):
        while (message := socket.receive())[0] == PING:
            pass
        assert message == (TEXT, b"%d" % n)
    for socket in sockets[::2]:
        socket.connection.abort()
    for socket in sockets[1::2]:
        socket.send_close(1000)
        client.answer(socket.connection.number)
    assert client.request(path="/").status == 200


def test_an_application_that_does_not_receive_stops_its_stream_alone(server, client):
    target, query = at("/slow/0.5")
    slow, other = open_websocket(client, target), open_websocket(client, "/echo")
    payload = frame(TEXT + 1, bytes(5000))
    sent = 0
    while room := client.h2.local_flow_control_window(slow.connection.number):
        if room < len(payload):
            break
        slow.connection.send(payload)
        sent += 1
    assert sent < 40
    other.send(b"x")
    while other.receive() != (TEXT, b"x"):
        pass
    assert len(noted(server, query, sent)) == sent
    slow.connection.send(payload)  # its window is open again
    noted(server, query, sent + 1)


def test_a_client_that_does_not_read_makes_send_wait(server):
    target, query = at("/flood")
    with Http2(server.address, reads=False) as client:
        open_websocket(client, target)
        last, looks = -1, 0
        while looks < 10:
            now = len(server.json(target=f"/notes?{query}"))
            last, looks = now, looks + 1 if now == last else 0
        assert last * 32768 < 4 << 20
        assert client.request(path="/").status == 200
    wait_until(lambda: noted(server, query).count("BrokenPipeError") == 2, "two OSErrors")


# Ends


def test_a_reload(sockets):
    """Each gets 1012 beside GOAWAY, and the connection ends with the last."""
    server = sockets()
    with Http2(server.address) as client:
        sockets = [open_websocket(client, "/echo") for _ in range(3)]
        server.kill(signal.SIGHUP)
        for socket in sockets:
            assert socket.receive_close() == (1012, "")
        sockets[0].send_close(1012)
        sockets[1].connection.abort()
        sockets[2].connection.end_of_input()
        client.wait_closed()
        assert client.goaway is not None
    with Http2(server.address) as client:
        open_websocket(client, "/echo").close()


def test_a_stop_with_clients_that_do_not_answer(sockets):
    server = sockets("--graceful-timeout", "2")
    with Http2(server.address) as client:
        deaf, echo = open_websocket(client, "/deaf"), open_websocket(client, "/echo")
        server.kill(signal.SIGTERM)
        assert deaf.receive_close()[0] == echo.receive_close()[0] == 1012
        assert server.wait(20) == 0


def test_limits_and_figures_do_not_count_it(sockets):
    server = sockets("--limit-concurrency", "2", "--request-timeout", "0.3")
    with Http2(server.address) as client:
        sockets = [open_websocket(client, "/echo") for _ in range(5)]
        assert client.request(path="/").status == 200
        for socket in sockets:
            socket.send(b"x")
            assert socket.receive() == (TEXT, b"x")
        for socket in sockets:
            socket.close()
        assert client.request(path="/").status == 200


def test_nothing_is_left(server):
    """Tasks, scopes and descriptors: of closed, reset, refused and forgotten ones."""
    pid = server.worker_pids()[0]

    def counts():
        tasks, _, objects, *_ = server.json(target="/counts")
        return tasks, objects, len(os.listdir(f"/proc/{pid}/fd"))

    before = counts()
    for path in ("/kept", "/echo", "/deaf", "/flood", "/return_open", "/close", "/refuse", "/deny"):
        with Http2(server.address) as client:
            for end in range(3):
                number = ask(client, path)
                client.send(number, frame(TEXT, b"x" * 1000), ended=False)
                if end == 1:
                    client.h2.reset_stream(number, CANCEL)
                if end == 2 and not client.streams[number].over:
                    client.h2.end_stream(number)
                client.flush()
            client.request(path="/")
    wait_until(lambda: counts()[:2] == before[:2] and counts()[2] <= before[2] + 1, counts)


# A browser

SCRIPT = """
new Promise((resolve, reject) => {
  const socket = new WebSocket(`wss://${location.host}/scope`);
  window.ended = new Promise(done => { socket.onclose = event => done(event.code); });
  socket.onmessage = event => resolve(event.data);
  socket.onerror = () => reject('failed');
})
"""


def test_chromium(serve_asgi, pair, tmp_path):
    """A page over HTTP/2 opens a WebSocket on the same connection; a reload closes it with 1012."""
    pytest.importorskip("websockets")
    from helpers.browser import browsing

    server = serve_asgi(APP, *pair.args, "--http-protocols=h2,h1", "--keep-alive=60")
    with browsing(tmp_path, "--ignore-certificate-errors") as browser:
        page = browser.open(f"https://localhost:{server.address[1]}/")
        page.wait_for("document.body && document.body.innerText.includes('http')", "the page")
        navigation = "performance.getEntriesByType('navigation')[0].nextHopProtocol"
        assert page.evaluate(navigation) == "h2"
        scope = ast.literal_eval(page.evaluate(SCRIPT))
        assert (scope["http_version"], scope["scheme"]) == ("2", "wss")
        server.kill(signal.SIGHUP)
        assert page.evaluate("window.ended") == 1012
