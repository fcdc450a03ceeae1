"""Connections: what is answered on them, in which order, and when they end (RFC 9112 section 9)."""

import json
import socket
import time
import uuid

import pytest
from helpers.server import Stopwatch
from helpers.wire import Closed, chunked, render, wait_until

GET = b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def server(shared):
    return shared("answers", expect_trouble=True)


@pytest.fixture
def streaming(shared):
    """A server whose applications may read large bodies while they come."""
    return shared("answers", "--stream-request-body", "1G", expect_trouble=True)


def seen(server):
    return json.loads(server.request(target="/seen").body)


def numbered(count, closing=True):
    """Requests for /?0 … of all kinds, and their bodies."""
    requests = []
    for n in range(count):
        last = [("Connection", "close")] if closing and n == count - 1 else []
        kind = n % 5
        if kind == 1:
            requests.append(render("POST", f"/?{n}", last, b"x" * n))
        elif kind == 2:
            body = chunked(b"a" * (n + 1), b"b")
            requests.append(
                render("POST", f"/?{n}", [("Transfer-Encoding", "chunked"), *last], body)
            )
        elif kind == 3:
            requests.append(render("PUT", f"/?{n}", last, b"GET /smuggled HTTP/1.1\r\n\r\n"))
        else:
            requests.append(render("GET", f"/?{n}", [("X-N", str(n)), *last]))
    return requests


def check_numbered(connection, count):
    for n in range(count):
        answer = json.loads(connection.read_response().body)
        assert answer["environ"]["QUERY_STRING"] == ["str", str(n)]
        assert answer["size"] == [0, n, n + 2, 26, 0][n % 5]
    connection.expect_closed()


# Pipelining


@pytest.mark.parametrize("count", [2, 10, 200])
def test_pipelined(shared, count):
    """Requests sent at once are all answered, in order, bodies and all."""
    with shared("echo").connect() as connection:
        connection.send(b"".join(numbered(count)))
        check_numbered(connection, count)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_pipelined_in_pieces(shared, size):
    """However the bytes are cut."""
    with shared("echo").connect() as connection:
        connection.send_in_pieces(b"".join(numbered(10)), size)
        check_numbered(connection, 10)


def test_pipelined_with_input_ended(shared):
    """The client has said all it has to say and still gets every answer."""
    with shared("echo").connect() as connection:
        connection.send(b"".join(numbered(10, closing=False)))
        connection.end_of_input()
        check_numbered(connection, 10)


def test_pipelined_large_answers(server):
    """Answers that fill the socket's buffer do not overtake one another."""
    sizes = [1 << 20, 1, 1 << 21, 0, 100_000] * 2
    with server.connect() as connection:
        for size in sizes:
            connection.send(b"GET /large?%d HTTP/1.1\r\nHost: a\r\n\r\n" % size)
        for size in sizes:
            assert len(connection.read_response().body) == size


def test_pipelined_heads_and_bodiless(server):
    """Answers without body do not shift the ones that follow."""
    targets = [
        ("HEAD", "/length"),
        ("GET", "/status?204+No+Content"),
        ("GET", "/status?304+Not+Modified"),
        ("HEAD", "/no_length"),
        ("GET", "/too_long"),
        ("GET", "/no_items"),
        ("GET", "/length"),
    ] * 3
    with server.connect() as connection:
        connection.send(b"".join(render(method, target) for method, target in targets))
        for method, target in targets:
            response = connection.read_response(method)
            with_body = method == "GET" and target in ("/too_long", "/length")
            assert response.body == (b"hello" if with_body else b"")


def test_pipelined_behind_a_slow_request(server, gate):
    """Answers keep the order of the requests even if the first takes longest."""
    with server.connect() as connection:
        first = render(target="/gated", headers=[("X-Gate", gate.path)])
        connection.send(first + render(target="/length") + render("HEAD", "/length"))
        gate.wait()
        connection.expect_silence(0.3)
        gate.open()
        assert connection.read_response().body == b"ok"
        assert connection.read_response().body == b"hello"
        assert connection.read_response("HEAD").header("Content-Length") == "5"


def test_pipelined_behind_a_stream(server, gate):
    with server.connect() as connection:
        first = render(target="/items_gated", headers=[("X-Gate", gate.path)])
        connection.send(first + render(target="/length"))
        for _ in range(3):
            gate.step()
        assert connection.read_response().body == b"item 0item 1item 2item 3"
        assert connection.read_response().body == b"hello"


def test_pipelined_behind_an_error(server):
    """An answer of 500 ends the connection; what follows is not run."""
    name = uuid.uuid4().hex
    with server.connect() as connection:
        connection.send(render(target="/raises") + render(target=f"/length?{name}"))
        assert connection.read_response().status == 500
        connection.expect_closed()
    assert json.loads(server.request(target=f"/closed?{name}").body) == 0


def test_pipelined_behind_a_bad_request(shared):
    """Requests before a bad one are answered, it is refused, and nothing after it is run."""
    server = shared("echo")
    marker = f"/never-{uuid.uuid4().hex}"
    with server.connect() as connection:
        connection.send(render() + b"GET / HTTP/1.1\r\nA : b\r\n\r\n" + render(target=marker))
        assert connection.read_response().status == 200
        assert connection.read_response().status == 400
        connection.expect_closed()
    assert marker not in seen(server)


def test_unread_body_is_not_a_request(server):
    """A body that the application leaves unread does not become the next request."""
    body = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    with server.connect() as connection:
        for size in (1, 100, 3000):
            response = connection.request("POST", "/ok", body=body * size)
            assert response.body == b"ok"
            assert response.keeps_alive
        response = connection.request("GET", "/length")
        assert response.body == b"hello"


# Keep-alive and Connection


def test_kept_alive(server):
    with server.connect() as connection:
        for _ in range(50):
            response = connection.request("GET", "/ok")
            assert response.header("Connection") == "keep-alive"
            assert response.body == b"ok"


CLOSING = [
    "close",
    "Close",
    "CLOSE",
    "close, TE",
    "TE, close",
    "keep-alive, close",
    " close ,",
    ",close",
]


@pytest.mark.parametrize("value", CLOSING)
def test_connection_close(server, value):
    """close is a token of a list, in any case and place."""
    response = server.request(target="/ok", headers=[("Connection", value)])
    assert response.header("Connection") == "close"


def test_connection_close_in_a_second_field(server):
    fields = [("Connection", "x-a"), ("Connection", "close")]
    assert server.request(target="/ok", headers=fields).header("Connection") == "close"


@pytest.mark.parametrize(
    "value", ["keep-alive", "Keep-Alive", "x-a", "closed", "x-close", '"close"', ""]
)
def test_connection_kept(server, value):
    with server.connect() as connection:
        for _ in range(2):
            response = connection.request("GET", "/ok", [("Connection", value)])
            assert response.header("Connection") == "keep-alive"


def test_http_1_0_closes(server):
    response = server.raw(b"GET /ok HTTP/1.0\r\n\r\n")
    assert response.header("Connection") == "close"


@pytest.mark.parametrize("value", ["keep-alive", "Keep-Alive", "keep-alive, x"])
def test_http_1_0_keep_alive(server, value):
    """HTTP/1.0 clients may ask for it, and get it where the length is known."""
    data = f"GET /ok HTTP/1.0\r\nConnection: {value}\r\n\r\n".encode()
    with server.connect() as connection:
        for _ in range(3):
            connection.send(data)
            response = connection.read_response()
            assert (response.version, response.header("Connection")) == ("1.0", "keep-alive")
        connection.send(data.replace(b"/ok", b"/generator"))
        assert connection.read_response().body == b"hello"


def test_connect_closes(server):
    response = server.raw(b"CONNECT /ok HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
    assert response.header("Connection") == "close"


def test_keepalive_zero(shared):
    """--keep-alive 0: every connection ends with its answer."""
    server = shared("answers", "--keep-alive", "0")
    response = server.raw(GET + GET)
    assert response.header("Connection") == "close"


@pytest.mark.parametrize("seconds", [1, 3])
def test_keepalive_seconds(shared, seconds):
    """An idle connection is closed, but not before so many seconds: any request may still come."""
    server = shared("answers", "--keep-alive", str(seconds))
    with server.connect() as connection:
        watch = Stopwatch()  # it runs before the server's own, however late that or we may be
        assert connection.request("GET", "/ok").keeps_alive
        connection.expect_closed()
        assert watch.seconds >= seconds - 0.2


def test_keepalive_starts_anew(shared):
    """Each answer gives the client the whole time again."""
    server = shared("answers", "--keep-alive", "6")
    with server.connect() as connection:
        for _ in range(5):
            assert connection.request("GET", "/ok").keeps_alive
            time.sleep(1.6)  # four of these are longer than the time of one


def test_many_kept_alive(shared):
    """Connections are served in any order, none waits for another's next request."""
    server = shared("answers", "--keep-alive", "60", expect_trouble=True)  # each has 200 turns
    connections = [server.connect() for _ in range(100)]
    try:
        for _ in range(3):
            for connection in connections:
                assert connection.request("GET", "/ok").keeps_alive
            connections.reverse()
    finally:
        for connection in connections:
            connection.close()


# Clients that say half of what they announced


def test_nothing_said(server):
    with server.connect() as connection:
        connection.end_of_input()
        connection.expect_closed()


@pytest.mark.parametrize(
    "data", [b"\r\n", b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"]
)
def test_head_cut_short(server, data):
    """No request was made: there is nothing to answer."""
    with server.connect() as connection:
        connection.send(data)
        connection.end_of_input()
        rest = connection.read_to_end()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 400 ")


BODIES_CUT = [
    ("length", "/{}", [("Content-Length", "10")], b"hello"),
    ("length-none", "/{}", [("Content-Length", "10")], b""),
    ("length-large", "/{}", [("Content-Length", "3000000")], b"x" * 2_000_000),
    ("chunk", "/{}", [("Transfer-Encoding", "chunked")], b"5\r\nhel"),
    ("chunk-end", "/{}", [("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n"),
    ("chunk-last", "/{}", [("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n0\r\n"),
    ("chunk-trailer", "/{}", [("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n0\r\nA: b\r\n"),
    ("chunk-size", "/{}", [("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n5"),
]


@pytest.mark.parametrize(
    "target, fields, body", [pytest.param(*c[1:], id=c[0]) for c in BODIES_CUT]
)
@pytest.mark.parametrize("how", ["end", "abort"])
def test_body_cut_short(shared, target, fields, body, how):
    """A body of which a part is missing is never handed over: the application is not called."""
    server = shared("echo")
    target = target.format(uuid.uuid4().hex)
    with server.connect() as connection:
        connection.send(render("POST", target, fields, b"") + body)
        if how == "abort":
            connection.abort()
        else:
            connection.end_of_input()
            rest = connection.read_to_end()
            assert rest == b"" or rest.startswith(b"HTTP/1.1 400 ")
    server.request()
    assert target not in seen(server)


STREAMED = 1 << 40


def test_streamed_body_cut_short(shared):
    """A body too large to be kept streams; where it is cut short, reading raises."""
    server = shared("inputs", "--stream-request-body", "1G")
    with server.connect() as connection:
        connection.send(
            render("POST", "/?read:3,read:2,read:1", [("Content-Length", str(STREAMED))]) + b"hello"
        )
        connection.end_of_input()
        response = connection.read_response()
    results = json.loads(response.body)
    assert results[:2] == ["hel", "lo"]
    assert "raised" in results[2]


# Expect: 100-continue


EXPECT = [("Expect", "100-continue")]


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_expect(shared, value, framing):
    """The client waits, is told to go on, and is answered."""
    fields = [("Expect", value)]
    fields += [("Content-Length", "5") if framing == "length" else ("Transfer-Encoding", "chunked")]
    with shared("echo").connect() as connection:
        connection.send(render("POST", "/", fields))
        head = connection.read_head()
        assert (head.status, head.reason, head.headers) == (100, "Continue", [])
        connection.send(b"hello" if framing == "length" else chunked(b"hello"))
        response = connection.read_response()
        assert response.interim == []
        answer = json.loads(response.body)
    assert answer["body"] == "hello"
    assert answer["environ"]["HTTP_EXPECT"] == ["str", value]


def test_expect_byte_by_byte(shared):
    with shared("echo").connect() as connection:
        connection.send_in_pieces(render("POST", "/", [*EXPECT, ("Content-Length", "5")]))
        assert connection.read_head().status == 100
        connection.send_in_pieces(b"hello")
        assert json.loads(connection.read_response().body)["body"] == "hello"


def test_expect_body_sent_already(shared):
    """A client that does not wait gets its answer, with one 100 or none before it."""
    with shared("echo").connect() as connection:
        connection.send(render("POST", "/", EXPECT, b"hello"))
        response = connection.read_response()
        assert len(response.interim) <= 1
        assert json.loads(response.body)["body"] == "hello"


def test_expect_kept_alive(shared):
    with shared("echo").connect() as connection:
        for n in range(5):
            connection.send(render("POST", f"/?{n}", [*EXPECT, ("Content-Length", "5")]))
            assert connection.read_head().status == 100
            connection.send(b"hello")
            assert connection.read_response().keeps_alive
            assert connection.request("GET", "/").interim == []


def test_expect_http_1_0(shared):
    """HTTP/1.0 has no interim answers: the expectation is ignored."""
    with shared("echo").connect() as connection:
        connection.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        connection.send(b"hello")
        response = connection.read_response()
        assert response.interim == []
        assert json.loads(response.body)["body"] == "hello"


@pytest.mark.parametrize("value", ["200-ok", "100-continue, x", "x=100-continue", ""])
def test_other_expectations(shared, value):
    server = shared("echo")
    response = server.raw(render("POST", "/", [("Expect", value), ("Content-Length", "5")]))
    assert (response.status, response.reason) == (417, "Expectation Failed")
    assert response.interim == []


def test_expect_then_refused(shared):
    """A request that is refused gets no 100."""
    server = shared("echo")
    for fields in ([("A ", "b")], [("Content-Length", "5x")]):
        response = server.raw(render("POST", "/", [*EXPECT, *fields]))
        assert (response.status, response.interim) == (400, [])


def test_expect_of_a_stream_that_is_read(shared):
    """A body that streams gets its 100 when the application first reads."""
    with shared("inputs", "--stream-request-body", "1G").connect() as connection:
        fields = [*EXPECT, ("Content-Length", str(STREAMED))]
        connection.send(render("POST", "/?read:5", fields))
        assert connection.read_head().status == 100
        connection.send(b"hello")
        response = connection.read_response()
        assert response.interim == []
        assert json.loads(response.body) == ["hello"]


def test_expect_of_a_stream_that_is_not_read(streaming):
    """An application that answers without reading sends no 100: the client never uploads."""
    with streaming.connect() as connection:
        connection.send(render("POST", "/ok", [*EXPECT, ("Content-Length", str(STREAMED))]))
        response = connection.read_response()
        assert (response.status, response.interim) == (200, [])
        assert response.header("Connection") == "close"
        connection.expect_closed()


# Answers that come before the upload is over


def test_early_answer_to_a_large_upload(streaming):
    """The client goes on sending, and still gets the answer whole instead of a reset."""
    with streaming.connect() as connection:
        connection.send(render("POST", "/length", [("Content-Length", str(STREAMED))]))
        sent = 0
        piece = b"x" * 65536
        connection.sock.settimeout(0.05)
        deadline = time.monotonic() + 10
        while sent < (8 << 20) and time.monotonic() < deadline:
            try:
                sent += connection.sock.send(piece)
            except TimeoutError:
                continue
            except OSError:
                break
        connection.sock.settimeout(10)
        response = connection.read_response()
        assert response.body == b"hello"
        assert response.header("Connection") == "close"


def test_refusal_of_a_large_upload(shared):
    """The same for a request that is refused."""
    with shared("echo").connect() as connection:
        connection.send(render("POST", "/", [("Transfer-Encoding", "chunked, gzip")]))
        connection.send_if_open(b"x" * (1 << 20))
        assert connection.read_response().status == 400


def test_lingering_is_bounded(streaming, worker):
    """Who never stops sending is cut off in the end."""
    if worker != "gthread":
        pytest.skip("once is enough: it takes half a minute")
    with streaming.connect() as connection:
        connection.send(render("POST", "/ok", [("Content-Length", str(STREAMED))]))
        assert connection.read_response().body == b"ok"
        deadline = time.monotonic() + 60
        while connection.send_if_open(b"x" * 1000):
            assert time.monotonic() < deadline
            time.sleep(0.1)  # a client that is slow


# Ends


def test_answer_arrives_whole_before_the_end(server):
    """Close comes as FIN after the last byte, even with unread bytes behind the request."""
    for _ in range(20):
        with server.connect() as connection:
            connection.send(
                b"GET /large?300000 HTTP/1.1\r\nConnection: close\r\n\r\n" + b"rubbish" * 1000
            )
            assert len(connection.read_response().body) == 300_000
            connection.expect_closed()


def test_half_closed_client_is_answered(server, gate):
    """A client that shuts down its side has not gone: it waits for the answer."""
    with server.connect() as connection:
        connection.send(f"GET /gated HTTP/1.1\r\nX-Gate: {gate.path}\r\n\r\n".encode())
        connection.end_of_input()
        gate.step()
        assert connection.read_response().body == b"ok"
        connection.expect_closed()


def test_reset_does_no_harm(server):
    """Connections that are reset at any moment leave the server as it was."""
    request = render("POST", "/large?1000000", body=b"x" * 10_000)
    for cut in (0, 1, 20, len(request) - 1, len(request)):
        for _ in range(5):
            with server.connect() as connection:
                connection.send(request[:cut])
                connection.abort()
    wait_until(lambda: server.request(target="/ok").status == 200, "it serves")


def test_connection_is_one_of_many(server):
    """The end of one connection is not that of another."""
    with server.connect() as one, server.connect() as other:
        assert one.request("GET", "/ok").keeps_alive
        other.send(render(target="/raises_later"))
        with pytest.raises(Closed):
            other.read_response()
        assert one.request("GET", "/ok").body == b"ok"


def test_urgent_data_does_no_harm(server):
    with server.connect() as connection:
        connection.sock.send(b"!", socket.MSG_OOB)
        connection.send(render(target="/ok", headers=[("Connection", "close")]))
        connection.read_to_end()
    assert server.request(target="/ok").status == 200
