"""From the application to the client: framing, headers, start_response, errors (PEP 3333)."""

import email.utils
import json
import re
import time
import uuid

import pytest
from helpers.wire import Closed, wait_until


@pytest.fixture
def server(shared):
    return shared("answers", expect_trouble=True)


def closes(server, name):
    """How often close() was called on the body of this name."""
    return json.loads(server.request(target=f"/closed?{name}").body)


def logged(server, start, pattern):
    return server.wait_for_log(pattern, start=start)


# Headers


def test_headers_of_the_server(server):
    response = server.request(target="/ok")
    names = [name for name, _ in response.headers]
    assert names == ["Server", "Date", "Connection", "Content-Type", "Content-Length"]
    assert response.header("Server") == "gunicorn"
    assert response.header("Connection") == "close"
    date = email.utils.parsedate_to_datetime(response.header("Date"))
    assert abs(date.timestamp() - time.time()) < 5
    assert re.fullmatch(r"\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT", response.header("Date"))


def test_date_goes_on(server):
    """The date is that of the answer, not of the first one."""
    first = server.request(target="/ok").header("Date")
    wait_until(lambda: server.request(target="/ok").header("Date") != first, "another second")


def test_headers_of_chunked(server):
    names = [name for name, _ in server.request(target="/one_item").headers]
    assert names == ["Server", "Date", "Connection", "Transfer-Encoding", "Content-Type"]


def test_headers_of_the_application(server):
    response = server.request(target="/headers")
    assert response.headers[3:] == [
        ("X-First", "1"),
        ("Set-Cookie", "a=b"),
        ("x-lower", "spaces"),
        ("Set-Cookie", "c=d"),
        ("X-Latin", "caf\xe9"),
        ("X-Empty", ""),
        ("X-Tab", "a\tb"),
        ("Content-Length", "0"),
        ("X-Last", "9"),
    ]


def test_hop_by_hop_headers_are_dropped(server):
    response = server.request(target="/hop_by_hop")
    names = [name for name, _ in response.headers]
    assert names == ["Server", "Date", "Connection", "X-Kept", "Content-Length"]
    assert response.header("Server") == "gunicorn"
    assert response.header("Connection") == "close"


def test_upgrade_to_websocket(server):
    response = server.request(target="/websocket")
    assert response.status == 101
    assert response.header("Connection") == "upgrade"
    assert response.header("Upgrade") == "websocket"
    assert response.header("Transfer-Encoding") is None


def test_many_headers(server):
    response = server.request(target="/many_headers")
    assert len(response.headers) == 1004


@pytest.mark.parametrize(
    "case, word",
    [
        ("name-bytes", "X-A"),
        ("name-int", "1"),
        ("name-none", "None"),
        ("name-empty", ""),
        ("name-space", "X A"),
        ("name-colon", "X-A:"),
        ("name-newline", "X-A"),
        ("name-nul", "X-A"),
        ("name-latin-1", "X-"),
        ("name-wide", "X-"),
        ("value-bytes", "b'b'"),
        ("value-int", "1"),
        ("value-none", "None"),
        ("value-cr", "X-A"),
        ("value-lf", "X-A"),
        ("value-crlf", "X-A"),
        ("value-crlf-last", "X-A"),
        ("value-nul", "X-A"),
        ("value-escape", "X-A"),
        ("value-del", "X-A"),
        ("value-wide", "X-A"),
        ("triple", ""),
        ("single", ""),
        ("string", ""),
        ("number", ""),
        ("not-a-list", ""),
        ("none", ""),
        ("length-word", "five"),
        ("length-negative", ""),
        ("length-empty", ""),
    ],
)
def test_bad_headers(server, case, word):
    """A header that may not leave the server is a 500, and the log says which it was."""
    start = len(server.log)
    response = server.request(target=f"/bad_headers?{case}")
    assert response.status == 500
    assert response.all("X-A") == response.all("X-B") == []
    logged(server, start, r"Error handling request.*^\S*(?:Error|Invalid)[^\n]*" + re.escape(word))
    assert server.request(target="/ok").status == 200


@pytest.mark.parametrize(
    "case",
    [
        "bytes",
        "int",
        "none",
        "empty",
        "two-digits",
        "four-digits",
        "no-space",
        "word",
        "crlf",
        "lf",
        "nul",
        "wide",
        "digits-not-ascii",
    ],
)
def test_bad_status(server, case):
    start = len(server.log)
    response = server.request(target=f"/bad_status?{case}")
    assert (response.status, response.reason) == (500, "Internal Server Error")
    logged(server, start, r"Error handling request.*^\S*Error")


@pytest.mark.parametrize("status", ["200 OK", "299 Whatever it is", "404 Not Found", "599 \xe9"])
def test_status(server, status):
    response = server.request(target="/status?" + status.replace(" ", "+").replace("\xe9", ""))
    assert f"{response.status} {response.reason}" == status.replace("\xe9", "")
    assert response.body == b"hello"


def test_status_without_reason(server):
    """The space before the reason is there all the same (RFC 9112 section 4)."""
    response = server.request(target="/status?200")
    assert (response.status, response.reason, response.body) == (200, "", b"hello")


# Framing


def test_content_length(server):
    response = server.request(target="/length")
    assert response.chunks is None
    assert response.header("Content-Length") == "5"
    assert response.body == b"hello"


@pytest.mark.parametrize(
    "path",
    [
        "no_length",
        "one_item",
        "generator",
        "late_start",
        "body_tuple",
        "body_iterator",
        "body_map",
        "body_dict",
        "body_old_sequence",
        "body_subclass",
    ],
)
def test_no_content_length(server, path):
    """Without a length the body is chunked; empty items do not end it."""
    response = server.request(target=f"/{path}")
    assert response.header("Transfer-Encoding") == "chunked"
    assert response.body == b"hello"


@pytest.mark.parametrize("path", ["no_length", "one_item", "generator", "no_items"])
def test_no_content_length_http_1_0(server, path):
    """HTTP/1.0 knows no chunks: the body ends with the connection."""
    response = server.request(
        target=f"/{path}", headers=[("Connection", "keep-alive")], version="1.0"
    )
    assert response.version == "1.0"
    assert response.header("Transfer-Encoding") is None
    assert response.header("Connection") == "close"
    assert response.body == (b"" if path == "no_items" else b"hello")


@pytest.mark.parametrize("path", ["no_items", "only_empty_items"])
def test_empty_body(server, path):
    response = server.request(target=f"/{path}")
    assert response.body == b""
    assert response.chunks == [] or response.header("Content-Length") == "0"


def test_too_long_is_cut(server):
    response = server.request(target="/too_long?too-long")
    assert response.body == b"hello"
    assert closes(server, "too-long") == 1


def test_too_short_closes(server):
    """What was announced and does not come must not be filled by the next answer."""
    with server.connect() as connection:
        connection.send(b"GET /too_short HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.send_if_open(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n")
        head = connection.read_head()
        assert head.header("Content-Length") == "10"
        assert connection.read_to_end() == b"hello"


@pytest.mark.parametrize("path", ["length", "no_length", "generator", "one_item", "large?100000"])
def test_head(server, path):
    response = server.request("HEAD", f"/{path}")
    assert response.status == 200
    assert response.body == b""
    assert response.header("Transfer-Encoding") is None
    lengths = {"length": "5", "large?100000": "100000"}
    assert response.header("Content-Length") == lengths.get(path)


@pytest.mark.parametrize("path", ["raises", "no_start"])
def test_error_page_of_head(server, path):
    """HEAD has no body, also when the application fails; the length is that of the page."""
    page = server.request("GET", f"/{path}")
    response = server.request("HEAD", f"/{path}")
    assert (response.status, response.body) == (500, b"")
    assert response.header("Content-Length") == str(len(page.body))


def test_body_of_head_is_dropped_and_warned_of_once(server):
    start = len(server.log)
    server.request("HEAD", "/length?head")
    assert closes(server, "head") == 1
    logged(
        server,
        start,
        r"WSGI app sent body bytes on a no-body response \(method=HEAD status=200\); "
        r"dropping per RFC 9110\.",
    )
    assert server.log[start:].count("no-body response") == 1


@pytest.mark.parametrize("path", ["status", "status_no_length", "status_no_body"])
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_body(server, path, status):
    response = server.request(target=f"/{path}?{status.replace(' ', '+')}")
    assert response.status == int(status[:3])
    assert response.body == b""
    assert response.header("Transfer-Encoding") is None
    kept = path == "status" and status.startswith("304")
    assert response.header("Content-Length") == ("5" if kept else None)


@pytest.mark.parametrize("status", [205, 404, 500])
def test_empty_bodies_of_other_statuses(server, status):
    response = server.request(target=f"/status_no_body?{status}+X")
    assert response.status == status
    assert response.body == b""


@pytest.mark.parametrize("size", [0, 1, 1023, 4096, 65536, 1 << 20, (8 << 20) + 1])
def test_sizes(server, size):
    response = server.request(target=f"/large?{size}")
    assert len(response.body) == size
    assert response.body.count(b"x") == size


@pytest.mark.parametrize("count, size", [(1000, 1), (100, 1000), (16, 65536), (3, 3 << 20)])
def test_sizes_chunked(server, count, size):
    response = server.request(target=f"/large_chunked?{count},{size}")
    expected = b"".join(bytes([65 + n % 26]) * size for n in range(count))
    assert response.body == expected


# start_response


def test_start_response_twice(server):
    start = len(server.log)
    assert server.request(target="/start_twice").status == 500
    logged(server, start, "AssertionError: Response headers already set!")


@pytest.mark.parametrize("path", ["replace", "replace_in_generator"])
def test_exc_info_replaces(server, path):
    """The second call with exc_info replaces status, headers and framing."""
    response = server.request(target=f"/{path}")
    assert (response.status, response.reason) == (503, "Sorry")
    assert response.header("X-Old") is None
    assert response.header("Set-Cookie") is None
    assert response.header("Content-Length") is None
    assert response.header("X-New") == "2"
    assert response.body == b"replaced"


def test_exc_info_replaces_the_length(server):
    response = server.request(target="/replace_with_length")
    assert response.status == 503
    assert response.header("Content-Length") == "3"
    assert response.header("Content-Type") is None
    assert response.body == b"abc"


def test_exc_info_after_the_headers_raises(server):
    start = len(server.log)
    assert server.cut("/replace_too_late") == b"hello"
    logged(server, start, "Error handling request.*KeyError: 'the inner error'")


@pytest.mark.parametrize("path", ["replace_with_none", "start_keywords"])
def test_start_response_arguments(server, path):
    assert server.request(target=f"/{path}").body == b"ok"


# write()


def test_write(server):
    response = server.request(target="/write?write")
    assert response.body == b"onetwothree"
    assert closes(server, "write") == 1


def test_write_length(server):
    assert server.request(target="/write_length").body == b"onetwo"


def test_write_of_text(server):
    start = len(server.log)
    assert server.request(target="/write_str").status == 500
    logged(server, start, "TypeError: .*text")


# Items reach the client as they are produced


def test_write_is_flushed(server, gate):
    with server.connect() as connection:
        connection.send(b"GET /write_gated HTTP/1.1\r\nX-Gate: %b\r\n\r\n" % gate.path.encode())
        connection.read_head()
        assert connection.read_chunk() == b"first"
        gate.step()
        assert connection.read_chunk() == b"second"
        assert connection.read_chunk() == b""


def test_items_are_flushed(server, gate):
    with server.connect() as connection:
        connection.send(b"GET /items_gated HTTP/1.1\r\nX-Gate: %b\r\n\r\n" % gate.path.encode())
        assert connection.read_head().status == 200
        assert connection.read_chunk() == b"item 0"
        for n in range(1, 4):
            gate.step()
            assert connection.read_chunk() == b"item %d" % n
        assert connection.read_chunk() == b""


def test_items_are_flushed_with_length(server, gate):
    with server.connect() as connection:
        connection.send(
            b"GET /items_gated_length HTTP/1.1\r\nX-Gate: %b\r\n\r\n" % gate.path.encode()
        )
        assert connection.read_head().header("Content-Length") == "24"
        for n in range(4):
            if n:
                gate.step()
            assert connection.read(6) == b"item %d" % n


def test_empty_item_then_a_pause(server, gate):
    with server.connect() as connection:
        connection.send(b"GET /head_gated HTTP/1.1\r\nX-Gate: %b\r\n\r\n" % gate.path.encode())
        gate.step()
        assert connection.read_response().body == b"body"


# close()


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "length"),
        ("GET", "no_length"),
        ("HEAD", "length"),
        ("HEAD", "no_length"),
        ("GET", "raises_first"),
        ("GET", "no_start_generator"),
        ("GET", "early_hints"),
        ("GET", "raises_in_close"),
    ],
)
def test_close_is_called_once(server, method, path):
    name = uuid.uuid4().hex
    server.request(method, f"/{path}?{name}")
    assert closes(server, name) == 1


@pytest.mark.parametrize(
    "path", ["too_short", "raises_later", "raises_later_length", "wrong_item_later"]
)
def test_close_is_called_once_when_the_answer_fails(server, path):
    name = uuid.uuid4().hex
    with server.connect() as connection:
        connection.send(f"GET /{path}?{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        connection.read_to_end()
    wait_until(lambda: closes(server, name) == 1, "close() is called")
    assert closes(server, name) == 1


def test_close_is_called_when_the_client_has_gone(server, gate):
    name = uuid.uuid4().hex
    with server.connect() as connection:
        connection.send(
            f"GET /endless_gated?{name} HTTP/1.1\r\nX-Gate: {gate.path}\r\n\r\n".encode()
        )
        connection.read_head()
        assert connection.read_chunk() == b"first"
        gate.wait()
        connection.abort()
    gate.open()
    wait_until(lambda: closes(server, name) == 1, "close() is called")


# Errors of the application


@pytest.mark.parametrize("path", ["raises", "raises_after_start", "raises_first"])
def test_error_before_the_headers(server, path):
    start = len(server.log)
    response = server.request(target=f"/{path}?x=1")
    assert (response.status, response.reason) == (500, "Internal Server Error")
    assert response.header("X-Secret") is None
    assert response.header("Connection") == "close"
    assert b"<h1><p>Internal Server Error</p></h1>" in response.body
    assert b"raised by the application" not in response.body
    logged(
        server,
        start,
        rf"\[ERROR\] Error handling request GET /{path}\?x=1\nTraceback .*"
        r"RuntimeError: raised by the application",
    )


def test_error_after_the_headers(server):
    """The answer cannot be whole: no last chunk, and the connection ends."""
    start = len(server.log)
    assert server.cut("/raises_later") == b"hello"
    logged(server, start, "Error handling request.*RuntimeError: raised by the application")


def test_error_after_the_headers_with_length(server):
    with server.connect() as connection:
        connection.send(b"GET /raises_later_length HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.read_head().status == 200
        assert connection.read_to_end() == b"hello"


def test_error_when_all_is_sent(server):
    start = len(server.log)
    with server.connect() as connection:
        connection.send(b"GET /raises_at_end_length HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.read_response().body == b"hello"
    logged(server, start, "RuntimeError: raised by the application")


def test_error_in_close(server):
    start = len(server.log)
    with server.connect() as connection:
        connection.send(b"GET /raises_in_close HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.read_response().body == b"hello"
    logged(server, start, "RuntimeError: raised by close")
    assert server.request(target="/ok").status == 200


EXCEPTIONS = [
    "SystemExit",
    "StopIteration",
    "OSError",
    "BrokenPipeError",
    "ConnectionResetError",
    "TimeoutError",
    "MemoryError",
    "RecursionError",
    "AssertionError",
]


@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_error_types(server, kind):
    """Whatever an application raises is its error: a 500, a traceback, and the worker goes on."""
    start = len(server.log)
    pids = server.worker_pids()
    assert server.request(target=f"/raises_type?{kind}").status == 500
    logged(server, start, rf"Traceback .*{kind}: raised by the application")
    assert server.request(target="/ok").status == 200
    assert server.worker_pids() == pids


@pytest.mark.parametrize("kind", [kind for kind in EXCEPTIONS if kind != "StopIteration"])
def test_error_types_later(server, kind):
    start = len(server.log)
    pids = server.worker_pids()
    with server.connect() as connection:
        connection.send(f"GET /raises_type_later?{kind} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert connection.read_head().status == 200
        assert connection.read_chunk() == b"hello"
        with pytest.raises(Closed):
            connection.read_chunk()
    logged(server, start, rf"Traceback .*{kind}: raised by the application")
    assert server.request(target="/ok").status == 200
    assert server.worker_pids() == pids


@pytest.mark.parametrize("path", ["no_start", "no_start_empty", "no_start_generator"])
def test_start_response_not_called(server, path):
    start = len(server.log)
    assert server.request(target=f"/{path}").status == 500
    logged(server, start, "Error handling request.*start_response")


@pytest.mark.parametrize(
    "case, word",
    [
        ("none", "NoneType"),
        ("int", "int"),
        ("str", "str|hello|'h'"),
        ("bytes", "int|bytes|104"),
        ("list-of-str", "str|hello"),
        ("list-of-int", "int|5"),
        ("list-of-none", "None"),
        ("list-of-list", "list"),
        ("object", "object"),
    ],
)
def test_wrong_body(server, case, word):
    """A body that is none is a 500 as nothing was sent, and the log says what it was."""
    start = len(server.log)
    assert server.request(target=f"/wrong_body?{case}").status == 500
    logged(server, start, rf"Error handling request.*TypeError: [^\n]*(?:{word})")


def test_wrong_item_later(server):
    start = len(server.log)
    assert server.cut("/wrong_item_later") == b"hello"
    logged(server, start, "TypeError: [^\n]*(?:str|text)")


# wsgi.errors, early hints, the environ as an object


def test_wsgi_errors(server):
    start = len(server.log)
    assert server.request(target="/errors").status == 200
    logged(server, start, "one line of errors\nsecond line\nthird \xe9\u20ac\nby print\n")


def test_early_hints(server):
    response = server.request(target="/early_hints")
    assert response.body == b"ok"
    assert [(hint.status, hint.reason) for hint in response.interim] == [(103, "Early Hints")] * 2
    assert response.interim[0].headers == [("Link", "</a.css>; rel=preload"), ("X-Hint", "1")]
    assert response.interim[1].headers == [("Link", "</b.css>; rel=preload")]


def test_early_hints_http_1_0(server):
    response = server.request(target="/early_hints", version="1.0")
    assert (response.interim, response.body) == ([], b"ok")


def test_early_hints_after_the_headers(server):
    response = server.request(target="/early_hints_late")
    assert (response.interim, response.body) == ([], b"okok")


@pytest.mark.parametrize("case", ["name", "value", "type"])
def test_early_hints_bad(server, case):
    response = server.request(target=f"/early_hints_bad?{case}")
    assert response.interim == []
    assert response.status == 500


def test_environ_is_the_applications_own(server):
    for _ in range(3):
        assert server.request(target="/modifies_environ").body == b"false"


def test_environ_outlives_the_request(server):
    for n in range(5):
        kept = json.loads(server.request(target=f"/keeps_environ?{n}").body)
    assert kept == ["0", "1", "2", "3", "4"]
