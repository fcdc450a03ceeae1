"""protocol = fastcgi: requests as records, from nginx's fastcgi_pass and the like."""

import hashlib
import json
import os
import time

import pytest
from helpers.echoed import environ_of
from helpers.fastcgi_record import (
    ABORT,
    BEGIN,
    CANT_MPX_CONN,
    END,
    FILTER,
    GET_VALUES,
    GET_VALUES_RESULT,
    PARAMS,
    STDIN,
    UNKNOWN,
    UNKNOWN_ROLE,
    ask,
    begin,
    expect_end,
    pairs,
    read_output,
    read_record,
    read_response,
    record,
    request,
    stream,
)
from helpers.uwsgi_packet import variables
from helpers.wire import Closed, Connection, wait_until

FASTCGI = "--protocol=fastcgi"

#: The engine treats records alike for all worker classes.
pytestmark = pytest.mark.parametrize("worker", ["sync", "gthread"], indirect=True, scope="session")


@pytest.fixture
def server(shared):
    return shared("echo", FASTCGI)


@pytest.fixture
def refusing(shared):
    return shared("echo", FASTCGI, "--header-timeout", "2", expect_trouble=True)


# Requests


def test_the_environ(server):
    environ = environ_of(
        ask(server, request(uri="/caf%C3%A9%20%2541?a=%41", HTTP_X_OWN="1", HTTP_COOKIE="a=b"))
    )
    expected = {
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": "/caf%C3%A9%20%2541?a=%41",
        "RAW_URI": "/caf%C3%A9%20%2541?a=%41",
        "PATH_INFO": "/caf\xc3\xa9 %41",
        "QUERY_STRING": "a=%41",
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "www.example.com",
        "SERVER_PORT": "8080",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "51234",
        "DOCUMENT_ROOT": "/usr/share/nginx/html",
        "HTTP_HOST": "example.com",
        "HTTP_X_OWN": "1",
        "HTTP_COOKIE": "a=b",
        "wsgi.url_scheme": "http",
    }
    assert {key: environ.get(key) for key in expected} == expected
    assert environ["wsgi.input"].startswith("<") and "CONTENT_LENGTH" not in environ
    assert environ_of(ask(server, request(HTTPS="on")))["wsgi.url_scheme"] == "https"


def test_in_pieces(server):
    with server.connect() as connection:
        connection.send_in_pieces(request("POST", "/", b"hello"))
        assert json.loads(read_response(connection).body)["body"] == "hello"
        connection.expect_closed()


def test_in_small_records(server):
    data = request("POST", "/", b"hello", step=1, HTTP_X="x" * 300)
    assert json.loads(ask(server, data).body)["body"] == "hello"


def test_a_kept_connection_behind_a_proxy_header(shared):
    """A request that names no client has that of the PROXY header, not that of the one before."""
    server = shared("echo", FASTCGI, "--proxy-protocol", "v1")
    with server.connect() as connection:
        connection.send(b"PROXY TCP4 192.0.2.77 192.0.2.1 7777 80\r\n")
        connection.send(request(keep=True, REMOTE_ADDR="192.0.2.9"))
        assert environ_of(read_response(connection))["REMOTE_ADDR"] == "192.0.2.9"
        connection.send(request(REMOTE_ADDR=None, REMOTE_PORT=None))
        environ = environ_of(read_response(connection))
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.77", "7777")


@pytest.mark.parametrize("size", [0, 1, 5000, 70_000, 5_000_000])
def test_bodies(server, size):
    body = bytes(i * 7 % 251 for i in range(min(size, 5000))) * max(1, size // 5000)
    body = body[:size]
    answer = json.loads(ask(server, request("POST", "/", body)).body)
    assert (answer["size"], answer["sha256"]) == (size, hashlib.sha256(body).hexdigest())


def test_a_body_without_content_length(server):
    """The records say where it ends, and its length is in the environ."""
    answer = json.loads(ask(server, request("POST", "/", b"hello", CONTENT_LENGTH=None)).body)
    assert answer["body"] == "hello"
    assert answer["environ"]["CONTENT_LENGTH"][1] == "5"


def test_a_body_that_the_application_reads_as_it_comes(shared):
    server = shared("echo", FASTCGI, "--stream-request-body", "1000")
    body = os.urandom(300_000)
    answer = json.loads(ask(server, request("POST", "/", body, step=5000)).body)
    assert answer["sha256"] == hashlib.sha256(body).hexdigest()


def test_the_most_variables(shared):
    server = shared("echo", FASTCGI, "--limit-request-field_size", "0")
    sent = variables()
    room = 65535 - len(pairs(sent.items())) - 1 - 4 - len("HTTP_X")
    environ = environ_of(ask(server, request(HTTP_X="x" * room)))
    assert environ["HTTP_X"] == "x" * room


# Connections


def test_a_kept_connection(server):
    """Each request names its client; without a name it is the peer of the socket."""
    with server.connect() as connection:
        for number in range(1, 4):
            data = request("POST", "/", b"x" * number, keep=True, REMOTE_ADDR=f"192.0.2.{number}")
            connection.send(data)
            answer = json.loads(read_response(connection).body)
            assert answer["size"] == number
            assert answer["environ"]["REMOTE_ADDR"][1] == f"192.0.2.{number}"
        connection.send(request(keep=True, REMOTE_ADDR=None, REMOTE_PORT=None))
        peer, port = connection.sock.getsockname()
        environ = environ_of(read_response(connection))
        assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (peer, str(port))
        connection.send(request())
        read_response(connection)
        connection.expect_closed()


def test_requests_sent_ahead(server):
    """One after the other is not multiplexing, as soon as the one before is whole."""
    with server.connect() as connection:
        connection.send(b"".join(request(uri=f"/{n}", number=n, keep=n < 9) for n in range(1, 10)))
        for number in range(1, 10):
            environ = environ_of(read_response(connection, number))
            assert environ["PATH_INFO"] == f"/{number}"
        connection.expect_closed()


def test_another_request_meanwhile_is_refused(server):
    body = b"hello"
    head = begin(1, True) + stream(PARAMS, pairs(variables("POST", "/", body).items()))
    other = begin(2, True) + stream(PARAMS, b"", 2) + stream(STDIN, b"", 2)
    with server.connect() as connection:
        for before, after in ((head[:30], head[30:]), (head, b"")):
            cut = before if after == b"" else begin(1, True)
            rest = after and head[16:]
            connection.send(cut + other)
            assert read_record(connection) == (
                END, 2, bytes([0, 0, 0, 0, CANT_MPX_CONN, 0, 0, 0]),
            )  # fmt: skip
            connection.send(rest + stream(STDIN, body))
            assert json.loads(read_response(connection).body)["body"] == "hello"


def test_management_records(server):
    names = [(f"FCGI_{name}", "") for name in ("MAX_CONNS", "MAX_REQS", "MPXS_CONNS")]
    with server.connect() as connection:
        connection.send(record(GET_VALUES, pairs(names), 0) + record(77, b"x" * 300, 0))
        assert read_record(connection) == (GET_VALUES_RESULT, 0, pairs([("FCGI_MPXS_CONNS", "0")]))
        assert read_record(connection) == (UNKNOWN, 0, bytes([77, 0, 0, 0, 0, 0, 0, 0]))
        connection.send(begin(5, True, FILTER))
        assert read_record(connection) == (END, 5, bytes([0, 0, 0, 0, UNKNOWN_ROLE, 0, 0, 0]))
        connection.send(request())
        assert read_response(connection).status == 200


# Answers


def test_the_answer(server):
    response = ask(server, request(SERVER_PROTOCOL="HTTP/2.0"))
    assert (response.status, response.reason) == (200, "OK")
    assert response.header("Connection") is None
    assert response.header("Server") and response.header("Date")
    response = ask(server, request("HEAD"))
    assert response.status == 200 and int(response.header("Content-Length")) > 0
    assert response.body == b""


@pytest.mark.parametrize("path", ["/no_length", "/generator", "/large_chunked?3,70000", "/length"])
def test_answers(shared, path):
    server = shared("answers", FASTCGI)
    plain = shared("answers")
    with server.connect() as connection:
        for _ in range(2):
            connection.send(request(uri=path, keep=True))
            response = read_response(connection)
            assert response.header("Transfer-Encoding") is None
            assert response.body == plain.request(target=path).body


def test_a_large_head(shared, tmp_path):
    (tmp_path / "large.py").write_text("""
def app(environ, start_response):
    start_response("200 OK", [(f"X-{n}", "x" * 1000) for n in range(100)])
    return [b"y" * 200_000]
""")
    server = shared("large:app", FASTCGI, env={"PYTHONPATH": str(tmp_path)})
    response = ask(server, request())
    assert [response.header(f"X-{n}") for n in range(100)] == ["x" * 1000] * 100
    assert response.body == b"y" * 200_000


def test_files(shared, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(os.urandom(300_000))
    answers = [
        ask(shared("files", FASTCGI), request(uri="/plain", HTTP_X_FILE=str(file))),
        shared("files").request(target="/plain", headers=[("X-File", str(file))]),
    ]
    assert answers[0].status == 200 and answers[0].body == answers[1].body


def test_an_answer_that_is_too_short_has_no_end(shared):
    """The proxy sees that it is cut off."""
    server = shared("answers", FASTCGI, expect_trouble=True)
    with server.connect() as connection:
        connection.send(request(uri="/too_short", keep=True))
        with pytest.raises(Closed):
            read_output(connection)


@pytest.mark.parametrize("local", [False, True])
def test_a_connection_that_ends_though_the_proxy_keeps_it(gunicorn, tmp_path, local):
    bind = [f"unix:{tmp_path}/s" if local else "127.0.0.1:0"]
    server = gunicorn("echo", FASTCGI, "--keep-alive", "0", bind=bind)
    with server.connect() as connection:
        connection.send(request(keep=True))
        assert read_response(connection).status == 200
        expect_end(connection)


# Refusals


def refused(server, data, status, said):
    start = len(server.log)
    response = ask(server, data)
    assert response.status == status
    server.wait_for_log(rf"\[WARNING\] Invalid request from ip=\S*: {said}", start=start)
    return response


@pytest.mark.parametrize(
    "data,status,said",
    [
        (begin() + begin(), 400, "Invalid FastCGI record: its type or size"),
        (begin() + record(STDIN), 400, "Invalid FastCGI record: its type or size"),
        (begin() + b"\2" + record(PARAMS)[1:], 400, "Invalid FastCGI record: the version"),
        (begin() + stream(PARAMS, b"\5\5ab"), 400, "Invalid FastCGI record: a variable goes"),
        (begin() + stream(PARAMS, b""), 400, "Invalid HTTP method: no REQUEST_METHOD"),
        (begin() + stream(PARAMS, b"x" * 65536), 431, "Invalid FastCGI record: too many bytes"),
        (begin() + record(ABORT), 400, "Invalid FastCGI request: it was aborted"),
        (request(CONTENT_LENGTH="abc"), 400, ".*CONTENT_LENGTH is no decimal number"),
        (request("POST", "/", b"abc", CONTENT_LENGTH="4"), 400, ".*not as long as CONTENT_LENGTH"),
        (request("POST", "/", b"abc", CONTENT_LENGTH="2"), 400, ".*not as long as CONTENT_LENGTH"),
        (request("GE T"), 400, "Invalid HTTP method: REQUEST_METHOD is no token"),
        (request(HTTP_X="a\r\nb: c"), 400, "Invalid HTTP Header: its value has a control"),
        (request(REQUEST_URI="/" + "a" * 5000), 414, "Request Line is too large"),
        (request(HTTP_X="a" * 9000), 431, "limit request headers fields size"),
    ],
)
def test_refused(refusing, data, status, said):
    refused(refusing, data, status, said)


@pytest.mark.parametrize(
    "data,said",
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Invalid FastCGI record: an HTTP request"),
        (b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03", "Invalid FastCGI record: the version is not 1"),
        (record(BEGIN, b"\0\1"), "Invalid FastCGI record: its type or size"),
    ],
)
def test_refused_before_a_request(refusing, data, said):
    """Such a client is answered in HTTP."""
    start = len(refusing.log)
    response = refusing.raw(data)
    assert (response.status, response.header("Connection")) == (400, "close")
    refusing.wait_for_log(rf"Invalid request from ip=\S*: {said}", start=start)


def test_a_request_that_does_not_go_on(refusing):
    with refusing.connect() as connection:
        connection.send(request()[:40])
        start = time.monotonic()
        connection.expect_closed()
    assert time.monotonic() - start > 1


def test_a_proxy_that_reads_no_answers(gunicorn):
    """Its records are not answered without end, and others are served."""
    server = gunicorn("echo", FASTCGI, "--send-timeout", "1", expect_trouble=True)
    values = record(GET_VALUES, pairs([("FCGI_MPXS_CONNS", "")]), 0) * 1000
    with Connection(server.address, receive_buffer=4096) as connection:
        wait_until(lambda: not connection.send_if_open(values), "it is closed")
    assert ask(server, request()).status == 200


def test_a_body_that_is_too_large(shared):
    server = shared("echo", FASTCGI, "--limit-request-body", "10", expect_trouble=True)
    refused(server, request("POST", "/", b"x" * 11), 413, "")
    refused(server, request("POST", "/", b"x" * 11, CONTENT_LENGTH=None), 413, "")
    assert ask(server, request("POST", "/", b"x" * 10)).status == 200


@pytest.mark.parametrize(
    "allowed,status", [("127.0.0.0/8", 200), ("*", 200), ("192.0.2.0/24,::1", 403), ("", 403)]
)
def test_allowed_peers(gunicorn, allowed, status):
    server = gunicorn("echo", FASTCGI, f"--fastcgi-allow-from={allowed}", expect_trouble=True)
    if status == 200:
        assert ask(server, request()).status == 200
        return
    start = len(server.log)
    assert server.raw(request()).status == 403
    server.wait_for_log("FastCGI request from '127.0.0.1' not allowed", start=start)
