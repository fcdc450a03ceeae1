"""ASGI applications over WebSocket (ASGI 3, www 2.5; RFC 6455)."""

from __future__ import annotations

import ast
import functools
import itertools
import re
import signal
from urllib.parse import quote

import pytest
from helpers import fastcgi_record, proxy_header, uwsgi_packet
from helpers.http2 import Http2
from helpers.http2_websocket import open_websocket
from helpers.nginx import NGINX, Nginx
from helpers.server import SANITIZED, Stopwatch
from helpers.websocket import (
    ACCEPT,
    BINARY,
    HANDSHAKE,
    PING,
    PONG,
    TEXT,
    WebSocket,
    frame,
    handshake,
)
from helpers.wire import Connection, wait_until

#: Servers that both protocols reach.
CLEAR = ("--http-protocols", "h2,h1", "--http2-cleartext", "both")

numbers = itertools.count()


def at(path: str) -> tuple[str, str]:
    """A target for this path that nobody else uses, and its query."""
    query = f"{next(numbers)}"
    return f"{path}?{query}", query


def noted(server, query, count=1):
    """What the application has noted, once there are so many notes."""
    return wait_until(
        lambda: (len(notes := server.json(target=f"/notes?{query}")) >= count and notes),
        lambda: f"{count} notes: {server.json(target=f'/notes?{query}')}",
    )


def gone(code, reason=""):
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


APP = "asgi_sockets:app"


@pytest.fixture
def sockets(serve_asgi):
    """sockets(*args): a server of this test's own."""
    return functools.partial(serve_asgi, APP)


@pytest.fixture(scope="module")
def server(share_asgi):
    """A server that tests share because they leave no trace in it but their notes."""
    args = [*CLEAR, "--access-logfile", "-", "--log-level", "debug"]
    args += ["--websocket-max-message-size", "300000", "--asgi-disconnect-grace-period", "1"]
    return share_asgi(APP, *args, "--access-logformat", "%(r)s %(s)s %(b)s %(M)s.")


@pytest.fixture(scope="module")
def troubled(share_asgi):
    """The same for applications with faults."""
    return share_asgi(APP, expect_trouble=True)


@pytest.fixture(params=["http/1.1", "h2"])
def opened(request, server):
    """opened(target, headers): a WebSocket on a connection of its own, or on a stream of HTTP/2."""
    if request.param == "http/1.1":
        yield lambda *args: WebSocket.open(server, *args)
        return
    with Http2(server.address) as client:
        yield lambda *args: open_websocket(client, *args)


# The handshake


def test_scope(server):
    headers = [("X-Twice", "1"), ("Sec-WebSocket-Protocol", "a, b"), ("x-twice", "2")]
    headers.append(("Sec-WebSocket-Protocol", "c"))
    with WebSocket.open(server, "/scope/b%20%C3%A4?q=%20&r", headers) as client:
        address = client.connection.sock.getsockname()
        scope = ast.literal_eval(client.receive()[1].decode())
        client.close()
    pairs = scope.pop("headers")
    assert pairs[0] == (b"host", b"example.com")
    assert [value for name, value in pairs if name == b"x-twice"] == [b"1", b"2"]
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/scope/b ä",
        "raw_path": b"/scope/b%20%C3%A4",
        "query_string": b"q=%20&r",
        "root_path": "",
        "client": address,
        "server": server.address,
        "state": {"left": "by the startup"},
        "subprotocols": ["a", "b", "c"],
        "extensions": {"websocket.http.response": {}},
    }


def test_scheme_that_a_trusted_proxy_says(server):
    with WebSocket.open(server, "/scope", [("X-Forwarded-Proto", "https")]) as client:
        assert ast.literal_eval(client.receive()[1].decode())["scheme"] == "wss"


def test_accept_with_subprotocol_and_headers(opened):
    with opened("/echo", [("Sec-WebSocket-Protocol", "a, b")]) as client:
        assert client.header("Sec-WebSocket-Protocol") == "b"
        assert client.header("X-Own") == "value"
        client.close()


def test_frames_in_haste(server):
    """A client that does not wait for the answer to its handshake."""
    with server.connect() as connection:
        connection.send(handshake("/echo") + frame(TEXT, b"early"))
        client = WebSocket(connection, connection.read_head())
        assert client.receive() == (TEXT, b"early")
        client.close()


@pytest.mark.parametrize(
    "change, status",
    [
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Connection": "keep-alive"}, 426),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Upgrade": "other"}, 200),
    ],
)
def test_handshakes_that_are_none(server, change, status):
    fields = dict(line.split(": ") for line in handshake().decode().split("\r\n")[1:-2])
    with server.connect() as connection:
        answer = connection.request(headers=[*(fields | change).items()])
    assert answer.status == status
    if status == 426:
        assert answer.header("Sec-WebSocket-Version") == "13"
        assert (answer.header("Upgrade"), answer.header("Connection")) == ("websocket", "upgrade")


def test_refusal(server):
    """A close before the accept is 403, and the application sees the end."""
    target, query = at("/refuse")
    with server.connect() as connection:
        connection.send(handshake(target))
        assert connection.read_response().status == 403
    assert noted(server, query) == [gone(1006)]
    wait_until(lambda: re.search(f"GET /refuse.{query} .*403", server.stdout), "its line")


def test_refusal_by_an_answer_of_its_own(server):
    target, query = at("/deny")
    with server.connect() as connection:
        connection.send(handshake(target))
        answer = connection.read_response()
        assert (answer.status, answer.body) == (418, b"short and stout")
        assert answer.header("X-Own") == "value"
        assert connection.request().body == b'"http"'  # the connection goes on
    assert noted(server, query) == [gone(1006)]


@pytest.mark.parametrize(
    "path, status, line",
    [
        ("/raise_before", 500, r"Error handling request GET /raise_before.*raised before the ans"),
        (
            "/return_before",
            403,
            r"GET /return_before is refused with 403: the application returned",
        ),
    ],
)
def test_no_answer(troubled, path, status, line):
    with troubled.connect() as connection:
        connection.send(handshake(path))
        assert connection.read_response().status == status
    troubled.wait_for_log(line)


def test_client_that_leaves_before_the_answer(server):
    target, query = at("/deaf")
    with server.connect() as connection:
        connection.send(handshake(target)[:-2])
        connection.abort()
    assert server.json(target=f"/notes?{query}") == []


# Messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 300000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_echo(opened, opcode, size):
    payload = ("aä€😀" * size).encode()[:size].decode(errors="ignore").encode()
    with opened("/echo") as client:
        for _ in range(2):
            client.send(payload, opcode)
            assert client.receive() == (opcode, payload)
        client.close()


def test_fragments_and_pings_between_them(opened):
    with opened("/echo") as client:
        client.connection.send(
            frame(TEXT, b"one ", 0) + frame(PING, b"?") + frame(0, b"two ", 0) + frame(0, b"three")
        )
        assert client.receive() == (PONG, b"?")
        assert client.receive() == (TEXT, b"one two three")
        client.close()


def test_package_websockets(server):
    """A client of others, with compression."""
    websockets = pytest.importorskip("websockets.sync.client")
    host, port = server.address
    with websockets.connect(f"ws://{host}:{port}/echo", subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert client.protocol.extensions
        for message in ("text " * 1000, b"bytes" * 10000, "", "ä"):
            client.send(message)
            assert client.recv() == message


def test_send_and_receive_in_two_tasks(opened):
    with opened("/concurrent") as client:
        for n in range(50):
            client.send(b"e%d" % n)
        got = [client.receive()[1] for _ in range(70)]
        client.close()
    assert [text for text in got if text.startswith(b"e")] == [b"e%d" % n for n in range(50)]
    assert [text for text in got if not text.startswith(b"e")] == [b"%d" % n for n in range(20)]


@pytest.mark.parametrize(
    "sent, raised",
    [
        ({"type": "websocket.send", "text": "a"}, "RuntimeError: .*send' was sent before 'websoc"),
        ({"type": "websocket.nonsense"}, "ValueError: .*nonsense' is none of a WebSocket"),
        ({"type": "http.response.start"}, "ValueError: .*http.response.start"),
        ({"type": "websocket.http.response.body"}, "RuntimeError: .*before 'websocket.accept'"),
        ({"type": "websocket.accept", "subprotocol": "a"}, "ValueError: .*'a'.*not offered"),
        ({"type": "websocket.accept", "subprotocol": 1}, "TypeError: subprotocol.*not a string"),
        ({"type": "websocket.accept", "headers": [("a", "b")]}, "TypeError: .*pair of bytes"),
        ({"type": "websocket.accept", "headers": [(b"a b", b"")]}, "ValueError: .*b'a b'"),
        (
            {"type": "websocket.accept", "headers": [(b"Sec-WebSocket-Protocol", b"a")]},
            "ValueError: .*Protocol.*the server's own",
        ),
        ({"type": "websocket.close", "code": 1005}, "ValueError: .*1005"),
        ({"type": "websocket.close", "code": "1"}, "TypeError: code.*'1'"),
        ({"type": "websocket.close", "reason": b"a"}, "TypeError: reason.*not a string"),
        ("no dict", "TypeError: .*not a dict"),
    ],
)
def test_wrong_messages_before_the_accept(server, sent, raised):
    """Raised out of send(), by name; another answer may follow."""
    messages = [sent, {"type": "websocket.close"}]
    target, query = at(f"/wrong/{quote(repr(messages), safe='')}")
    with server.connect() as connection:
        connection.send(handshake(target))
        assert connection.read_response().status == 403
    notes = noted(server, query, 2)
    assert re.match(raised, notes[0])
    assert notes[1] is None


@pytest.mark.parametrize(
    "sent, raised",
    [
        ({"type": "websocket.accept"}, "RuntimeError: .*accept' was sent after 'websocket.accept'"),
        ({"type": "websocket.send"}, "ValueError: .*neither"),
        ({"type": "websocket.send", "text": "a", "bytes": b"b"}, "ValueError: .*both"),
        ({"type": "websocket.send", "text": b"a"}, "TypeError: text.*not a string"),
        ({"type": "websocket.send", "bytes": "a"}, "TypeError: bytes.*not bytes"),
        ({"type": "websocket.send", "text": "\ud800"}, "UnicodeEncodeError: .*surrogates"),
        ({"type": "websocket.http.response.start"}, "RuntimeError: .*after 'websocket.accept'"),
        ({"type": "websocket.close", "code": 99999}, "ValueError: .*99999"),
    ],
)
def test_wrong_messages_after_the_accept(server, sent, raised):
    messages = [
        {"type": "websocket.accept"},
        sent,
        {"type": "websocket.send", "bytes": bytearray(b"b"), "text": None},
    ]
    target, query = at(f"/wrong/{quote(repr(messages), safe='')}")
    with WebSocket.open(server, target) as client:
        assert client.receive() == (BINARY, b"b")
        assert client.answer_close() == (1000, "")
    notes = noted(server, query, 3)
    assert (notes[0], notes[2]) == (None, None)
    assert re.match(raised, notes[1])


# Ends


ENDS = {
    "reason": (lambda client: client.close(1001, "ä reason"), 1001, "ä reason"),
    "no code": (lambda client: client.close(None), 1005, ""),
    "own code": (lambda client: client.close(4999), 4999, ""),
    "closed": (lambda client: client.connection.close(), 1006, ""),
    "reset": (lambda client: client.connection.abort(), 1006, ""),
    "half-closed": (lambda client: client.connection.end_of_input(), 1006, ""),
    "within a frame": (lambda client: client.connection.send(b"\x81\x85"), 1006, ""),
}


@pytest.mark.parametrize("name", ENDS)
def test_disconnect(opened, server, name):
    """Each end has one disconnect, with the client's code and reason."""
    end, code, reason = ENDS[name]
    target, query = at("/echo")
    with opened(target) as client:
        client.send(b"x")
        client.receive()
        end(client)
        if name == "within a frame":
            client.connection.close()
        assert noted(server, query) == [gone(code, reason)]


VIOLATIONS = {
    "reserved bits": (b"\xf1\x80mask", 1002),
    "reserved opcode": (frame(3), 1002),
    "no mask": (b"\x81\x01a", 1002),
    "no UTF-8": (frame(TEXT, b"\xff"), 1007),
    "no UTF-8 in a fragment": (frame(TEXT, b"\xed\xa0", 0), 1007),
    "large": (b"\x82\xff" + (300001).to_bytes(8, "big") + b"mask", 1009),
    "large fragments": (frame(BINARY, bytes(200000), 0) + frame(0, bytes(200000)), 1009),
    "close code": (frame(8, b"\x03\xed"), 1002),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violations(opened, server, name):
    """Each has its code, and the messages before it are answered."""
    sent, code = VIOLATIONS[name]
    target, query = at("/echo")
    with opened(target) as client:
        client.send(b"x")
        client.connection.send_if_open(sent)
        assert client.receive() == (TEXT, b"x")
        assert client.receive_close()[0] == code
    (message,) = noted(server, query)
    assert (message["code"], bool(message["reason"])) == (1006, True)


def test_application_closes(opened, server):
    target, query = at("/close")
    with opened(target) as client:
        client.send(b"what comes now is dropped")
        assert client.answer_close() == (3000, "enough")
    raised, message = noted(server, query, 2)
    assert raised == "ASGI message 'websocket.send' was sent after 'websocket.close'"
    assert message == gone(3000)


def test_application_closes_and_the_client_leaves(opened, server):
    target, query = at("/close")
    with opened(target) as client:
        assert client.receive_close() == (3000, "enough")
    assert noted(server, query, 2)[1] == gone(1006)


def test_application_returns(opened):
    with opened("/return_open") as client:
        assert client.answer_close() == (1000, "")


def test_application_raises(troubled):
    with WebSocket.open(troubled, "/raise_open") as client:
        client.send(b"x")
        assert client.answer_close() == (1011, "")
    troubled.wait_for_log("Error in the WebSocket of GET /raise_open.*raised while it was open")


def test_application_raises_after_the_end(troubled):
    with WebSocket.open(troubled, "/raise_after") as client:
        client.close()
    troubled.wait_for_log("Error after the end of .* GET /raise_after.*raised after the end")


def test_sends_after_the_end(server):
    """An OSError for each, and no error in the log, also if it leaves the application."""
    target, query = at("/after")
    with WebSocket.open(server, target) as client:
        client.close()
    assert noted(server, query, 3) == ["BrokenPipeError"] * 2 + ["websocket.disconnect"]
    server.wait_for_log("Ignoring a client that has closed its connection")


def test_exception_that_says_that_the_client_left(server):
    target, query = at("/disconnects")
    with WebSocket.open(server, target) as client:
        client.close()
    assert noted(server, query) == ["websocket.disconnect"]


def test_application_that_does_not_listen_is_cancelled(server):
    """After asgi_disconnect_grace_period."""
    target, query = at("/deaf")
    with WebSocket.open(server, target):
        pass
    assert noted(server, query) == ["cancelled"]


def test_messages_that_were_acknowledged_are_received(opened, server):
    """The application takes longer for them than asgi_disconnect_grace_period."""
    target, query = at("/slow/0.1")
    with opened(target) as client:
        for n in range(200):
            client.send(bytes(n + 1), BINARY)
        client.close()
    assert noted(server, query, 201) == [*range(1, 201), "websocket.disconnect"]


# Back-pressure


def test_application_that_does_not_receive_stops_the_client(server):
    target, query = at("/slow/1")
    sent = 0
    with WebSocket.open(server, target) as client:
        client.connection.sock.settimeout(0.3)
        payload = frame(BINARY, bytes(200000))
        try:
            while sent < 64 << 20:
                sent += client.connection.sock.send(payload[sent % len(payload) :])
        except TimeoutError:
            pass
        assert sent < 64 << 20
        wait_until(lambda: noted(server, query, 2), "the application goes on")


def test_client_that_has_always_sent_more_delays_no_other(server):
    """Its task need not wait for messages, and lets others run nevertheless."""
    many = 1500
    with WebSocket.open(server, "/busy") as crowd, WebSocket.open(server, "/count") as other:
        other.send(b"how many?")
        assert other.receive() == (TEXT, b"0")
        crowd.connection.send(frame(TEXT, b"x") * many)
        wait_until(lambda: asked(other) > 0, "it has begun")
        assert asked(other) < many


def asked(client) -> int:
    client.send(b"how many?")
    return int(client.receive()[1])


def test_client_that_does_not_read_makes_send_wait(server):
    """Memory stays flat, and both tasks get an OSError when the client leaves."""
    target, query = at("/flood")
    with WebSocket.open(server, target, receive_buffer=65536) as client:
        client.receive()
        notes = still(lambda: len(server.json(target=f"/notes?{query}")))
        assert notes * 32768 < 64 << 20
        for _ in range(notes + 50):  # both go on when it reads
            client.receive()
        client.connection.abort()
    wait_until(lambda: noted(server, query).count("BrokenPipeError") == 2, "two OSErrors")


def still(count):
    """The value of count() once it is the same for several looks."""
    last, looks = -1, 0
    while looks < 10:
        now = count()
        last, looks = now, looks + 1 if now == last else 0
    return last


# Times, stops, figures


def test_pings_while_the_loop_is_blocked(sockets):
    """A client that answers is kept, and one that does not is noticed, whatever Python does."""
    server = sockets("--websocket-ping-interval", "0.3", "--websocket-ping-timeout", "0.6")
    target, query = at("/blocked")
    with WebSocket.open(server, target) as client, WebSocket.open(server, target) as silent:
        client.send(b"1.5")
        pings = 0
        while (got := client.receive())[0] == PING:
            client.send(got[1], PONG)
            pings += 1
        assert (got, pings >= 3) == ((TEXT, b"woken"), True)
        assert silent.receive()[0] == PING
        assert silent.receive_close() == (1011, "keepalive ping timeout")
        silent.connection.expect_closed()
        assert noted(server, query) == [gone(1006, "keepalive ping timeout")]
        client.close()


def open_many(server, path, count):
    return [WebSocket.open(server, path) for _ in range(count)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop(sockets, number):
    """Each gets 1012 at once; the server ends as soon as they have answered."""
    server = sockets("--graceful-timeout", "20")
    clients = open_many(server, "/echo", 5)
    server.kill(number)
    if number == signal.SIGTERM:
        for client in clients:
            assert client.answer_close()[0] == 1012
    assert server.wait(10) == 0
    for client in clients:
        client.connection.close()


def read_closes(clients):
    """Answer the server's close of each, and return when the first and the last came."""
    watch = Stopwatch()
    times = []
    for client in clients:
        assert client.receive_close()[0] == 1012
        times.append(watch.seconds)
        client.send_close(1012)
    return times[0], times[-1]


def test_stop_closes_many_at_once(sockets):
    """The clients find no worker to come back to: nothing is won by time between them."""
    server = sockets("--graceful-timeout", "40")
    clients = open_many(server, "/echo", 300)
    server.kill(signal.SIGTERM)
    first, last = read_closes(clients)
    assert last - first < 2
    assert server.wait(10) == 0


def test_reload_closes_many_one_after_the_other(sockets):
    """They do not come back all at once, and a tenth of graceful_timeout is enough."""
    server = sockets("--graceful-timeout", "10")
    clients = open_many(server, "/echo", 200)
    server.kill(signal.SIGHUP)
    first, last = read_closes(clients)
    assert 0.5 < last - first < 3


def test_stop_with_clients_that_do_not_answer(sockets):
    server = sockets("--graceful-timeout", "8" if SANITIZED else "2")
    with WebSocket.open(server, "/deaf") as client, WebSocket.open(server, "/echo"):
        server.kill(signal.SIGTERM)
        assert client.receive_close()[0] == 1012
        assert server.wait() == 0
        client.connection.expect_closed()


def test_reload(sockets):
    """The old worker's get 1012, and its applications the disconnect; new ones are served."""
    server = sockets()
    target, query = at("/pid")
    with WebSocket.open(server, target) as old:
        before = old.receive()[1]
        server.kill(signal.SIGHUP)
        assert old.receive_close() == (1012, "")
        with WebSocket.open(server, "/pid") as new:
            assert new.receive()[1] != before
            old.send_close(1012)
            old.connection.expect_closed()


def test_max_requests_counts_each_once(sockets):
    server = sockets("--max-requests", "2")
    with WebSocket.open(server, "/echo") as first, WebSocket.open(server, "/echo") as second:
        for _ in range(5):
            first.send(b"x")
            first.receive()
        first.close()
        second.send(b"x")
        assert second.receive() == (TEXT, b"x")
        third = WebSocket.open(server, "/echo")
        second.close()
        assert third.answer_close() == (1012, "")
    server.wait_for_log("Autorestarting worker after current request")


def test_does_not_count_for_limit_concurrency(sockets):
    server = sockets("--limit-concurrency", "2", "--request-timeout", "0.5")
    clients = open_many(server, "/echo", 5)
    for _ in range(20):
        assert server.request().status == 200
    wait_until(lambda: clients[0].connection.expect_silence(1) is None, "request_timeout is over")
    for client in clients:
        client.close()


def test_access_line(server):
    """With 101, the bytes that were sent, and the time that it lasted."""
    target, query = at("/echo")
    with WebSocket.open(server, target) as client:
        client.send(b"12345678")
        client.receive()
        client.connection.expect_silence(0.3)
        client.close()
    line = wait_until(
        lambda: re.search(rf"GET /echo.{query} HTTP/1.1 101 (\d+) (\d+)\.", server.stdout), "a line"
    )
    assert (int(line[1]), int(line[2]) >= 300) == (14, True)


def test_largest_message_by_default(sockets):
    """websocket_max_message_size is within client_memory."""
    payload = bytes(16 << 20)
    with WebSocket.open(sockets(), "/echo") as client:
        client.send(payload, BINARY)
        assert client.receive() == (BINARY, payload)
        client.close()


def test_hooks(sockets, tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text(
        "def pre_request(worker, req):\n"
        "    worker.log.info('before %s %s', req.method, req.path)\n"
        "def post_request(worker, req, environ, resp):\n"
        "    worker.log.info('after %s %s', environ['RAW_URI'], resp.status)\n"
    )
    server = sockets("-c", str(conf))
    with WebSocket.open(server, "/echo?a") as client:
        client.close()
    server.wait_for_log(r"before GET /echo\n.*after /echo\?a 101 Switching Protocols")


def test_context_of_each_is_that_of_the_start(server):
    for _ in range(3):
        with WebSocket.open(server, "/context") as client:
            assert client.receive() == (TEXT, b"unset")


def test_unix_socket_and_tls_free_scope(sockets, tmp_path):
    path = tmp_path / "s"
    server = sockets(bind=("127.0.0.1:0", f"unix:{path}"))
    server.addresses = [str(path)]
    with WebSocket.open(server, "/scope") as client:
        scope = ast.literal_eval(client.receive()[1].decode())
        assert (scope["client"], scope["server"]) == (None, (str(path), None))


# Behind a proxy


def test_the_client_of_a_proxy_header(sockets):
    server = sockets("--proxy-protocol", "auto")
    with server.connect() as connection:
        connection.send(proxy_header.v1("192.0.2.1", 56324) + handshake("/scope"))
        socket = WebSocket(connection, connection.read_head())
        scope = ast.literal_eval(socket.receive()[1].decode())
    assert scope["client"] == ("192.0.2.1", 56324)


#: The variables of a handshake.
FIELDS = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in HANDSHAKE}


def test_a_packet_of_uwsgi(sockets):
    server = sockets("--protocol", "uwsgi")
    with server.connect() as connection:
        connection.send(uwsgi_packet.request(uri="/echo", **FIELDS) + frame(TEXT, b"in haste"))
        answer = connection.read_head()
        assert (answer.status, answer.header("Sec-WebSocket-Accept")) == (101, ACCEPT)
        socket = WebSocket(connection, answer)
        assert socket.receive() == (TEXT, b"in haste")
        socket.close()


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
def test_through_nginx_by_uwsgi(sockets, tmp_path):
    """Across a reload, which closes it in order."""
    server = sockets("--protocol", "uwsgi")
    with Nginx(tmp_path) as nginx:
        address = nginx.start("uwsgi", f"127.0.0.1:{server.address[1]}", "on")
        with Connection(address) as connection:
            connection.send(handshake("/echo"))
            socket = WebSocket(connection, connection.read_head())
            assert socket.answer.status == 101
            for size in (1, 70_000):
                socket.send(b"x" * size)
                assert socket.receive() == (TEXT, b"x" * size)
            server.kill(signal.SIGHUP)
            assert socket.answer_close()[0] == 1012


def test_fastcgi_has_no_websockets(sockets):
    """Its records have no room for them: the application sees a request of HTTP."""
    server = sockets("--protocol", "fastcgi")
    with server.connect() as connection:
        connection.send(fastcgi_record.request(uri="/", **FIELDS))
        assert fastcgi_record.read_response(connection).body == b'"http"'
