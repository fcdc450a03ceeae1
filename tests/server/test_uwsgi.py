"""protocol = uwsgi: requests as packets of variables, from nginx's uwsgi_pass and the like."""

import hashlib
import json
import os
import re
import signal
import time

import pytest
from helpers.echoed import environ_of
from helpers.held import worker_of
from helpers.status_port import Port
from helpers.uwsgi_packet import packet, request, variables
from helpers.wire import wait_until

UWSGI = "--protocol=uwsgi"

#: The engine treats packets alike for all worker classes.
pytestmark = pytest.mark.parametrize("worker", ["sync", "gevent"], indirect=True, scope="session")


def ask(server, data, method="GET"):
    """The one answer on a connection that the server closes."""
    return server.raw(data, method)


@pytest.fixture
def server(shared):
    return shared("echo", UWSGI)


@pytest.fixture
def refusing(shared):
    return shared("echo", UWSGI, "--header-timeout", "2", expect_trouble=True)


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
        "REQUEST_SCHEME": "http",
        "HTTP_HOST": "example.com",
        "HTTP_X_OWN": "1",
        "HTTP_COOKIE": "a=b",
        "wsgi.url_scheme": "http",
    }
    assert {key: environ.get(key) for key in expected} == expected
    assert environ["wsgi.input"].startswith("<") and "CONTENT_LENGTH" not in environ


@pytest.mark.parametrize(
    "sent,said",
    [
        ({"HTTPS": "on"}, {"HTTPS": "on", "wsgi.url_scheme": "https"}),
        ({"REQUEST_SCHEME": "https"}, {"wsgi.url_scheme": "https"}),
        ({"wsgi.url_scheme": "https"}, {"wsgi.url_scheme": "https"}),
        (
            {"SCRIPT_NAME": "/app", "PATH_INFO": "/x", "REQUEST_URI": "/app/x"},
            {"SCRIPT_NAME": "/app", "PATH_INFO": "/x", "RAW_URI": "/app/x"},
        ),
        ({"REQUEST_URI": None, "PATH_INFO": "/%41"}, {"PATH_INFO": "/%41", "RAW_URI": "/%41"}),
        ({"REQUEST_URI": "/%41", "PATH_INFO": None}, {"PATH_INFO": "/A", "RAW_URI": "/%41"}),
        (
            {"SCRIPT_NAME": "/a", "PATH_INFO": None, "REQUEST_URI": "/a"},
            {"SCRIPT_NAME": "", "PATH_INFO": "/a"},
        ),
        ({"UWSGI_OWN": "a", "Mixed.case": b"\xe9"}, {"UWSGI_OWN": "a", "Mixed.case": "\xe9"}),
        ({"SERVER_PROTOCOL": "HTTP/2.0"}, {"SERVER_PROTOCOL": "HTTP/2.0"}),
        ({"REMOTE_ADDR": "2001:DB8::1"}, {"REMOTE_ADDR": "2001:DB8::1"}),
        ({"REMOTE_ADDR": "unix:"}, {"REMOTE_ADDR": "unix:"}),
        ({"wsgi.input": "x", "wsgi.multithread": "x", "gunicorn.socket": "x"}, {}),
        ({"HTTP_TRANSFER_ENCODING": "chunked", "HTTP_EXPECT": "100-continue"}, {}),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else None,
)
def test_variables(server, sent, said):
    environ = environ_of(ask(server, request(**sent)))
    assert {key: environ.get(key) for key in said} == said
    assert "x" not in (environ[key] for key in ("wsgi.input", "wsgi.multithread"))


def test_in_pieces(server):
    data = request("POST", "/", b"hello")
    with server.connect() as connection:
        connection.send_in_pieces(data)
        assert json.loads(connection.read_response().body)["body"] == "hello"
        connection.expect_closed()


@pytest.mark.parametrize("size", [0, 1, 5000, 70_000, 5_000_000])
def test_bodies(server, size):
    body = bytes(i * 7 % 251 for i in range(min(size, 5000))) * max(1, size // 5000)
    body = body[:size]
    answer = json.loads(ask(server, request("POST", "/", body)).body)
    assert (answer["size"], answer["sha256"]) == (size, hashlib.sha256(body).hexdigest())


def test_the_largest_packet(shared):
    server = shared("echo", UWSGI, "--limit-request-field_size", "0")
    sent = variables()
    room = 65535 - (len(packet(sent.items())) - 4) - 2 - 2 - len("HTTP_X")
    environ = environ_of(ask(server, request(HTTP_X="x" * room)))
    assert environ["HTTP_X"] == "x" * room


# Answers


def test_the_answer(server):
    response = ask(server, request(SERVER_PROTOCOL="HTTP/2.0"))
    assert (response.version, response.status, response.reason) == ("1.1", 200, "OK")
    assert response.header("Connection") == "close"
    assert response.header("Server") and response.header("Date")


@pytest.mark.parametrize("path", ["/no_length", "/generator", "/large_chunked?3,70000"])
def test_without_length_the_connection_ends_the_body(shared, path):
    server = shared("answers", UWSGI)
    plain = shared("answers")
    response = ask(server, request(uri=path))
    assert response.chunks is None and response.header("Content-Length") is None
    assert response.body == plain.request(target=path).body


def test_an_answer_that_is_cut_short_ends_with_a_reset(shared):
    """The end of the connection would be the end of the answer."""
    server = shared("answers", UWSGI, expect_trouble=True)
    with server.connect() as connection, pytest.raises(ConnectionResetError):
        connection.send(request(uri="/raises_later"))
        while connection.sock.recv(65536):
            pass


def test_head(server):
    response = ask(server, request("HEAD"), "HEAD")
    assert response.status == 200 and int(response.header("Content-Length")) > 0


def test_one_request_on_a_connection(server):
    """A second packet is left, and no reset takes the first answer."""
    response = ask(server, request(uri="/one") + request(uri="/two"))
    assert environ_of(response)["PATH_INFO"] == "/one"


def test_no_interim_answers(shared):
    hints = """
def app(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a>")])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
    server = shared("echo", UWSGI)
    (server.cwd / "hints.py").write_text(hints)
    server = shared("hints:app", UWSGI, env={"PYTHONPATH": str(server.cwd)})
    response = ask(server, request())
    assert (response.interim, response.body) == ([], b"ok")


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
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "Invalid uWSGI header: an HTTP request; "),
        (b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03", 400, "Invalid uWSGI header: a TLS handshake; "),
        (packet([], modifier1=5), 501, "Unsupported uWSGI modifier1: 5"),
        (b"\0\3\0\0\2\0a", 400, "Invalid uWSGI header: a variable goes beyond the packet"),
        (packet([]), 400, "Invalid HTTP method: no REQUEST_METHOD"),
        (request(CONTENT_LENGTH="abc"), 400, ".*CONTENT_LENGTH is no decimal number"),
        (request(CONTENT_LENGTH="-5"), 400, ".*CONTENT_LENGTH is no decimal number"),
        (request(CONTENT_LENGTH="+3"), 400, ".*CONTENT_LENGTH is no decimal number"),
        (request("GE T"), 400, "Invalid HTTP method: REQUEST_METHOD is no token"),
        (request(HTTP_X="a\r\nb: c"), 400, "Invalid HTTP Header: its value has a control"),
        (request(REQUEST_URI="/" + "a" * 5000), 414, "Request Line is too large"),
        (request(HTTP_X="a" * 9000), 431, "limit request headers fields size"),
        (packet([*variables().items(), *[("A", "")] * 1000]), 431, "more than 1000 variables"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_refused(refusing, data, status, said):
    response = refused(refusing, data, status, said)
    assert response.version == "1.1" and response.header("Connection") == "close"


def test_a_packet_on_a_port_of_http(shared):
    server = shared("echo", expect_trouble=True)
    refused(server, request(), 400, "Invalid HTTP request line: a packet of uwsgi")


def test_a_packet_that_does_not_go_on(refusing):
    with refusing.connect() as connection:
        connection.send(request()[:20])
        start = time.monotonic()
        connection.expect_closed()
    assert time.monotonic() - start > 1


def test_a_body_that_is_too_large(shared):
    server = shared("echo", UWSGI, "--limit-request-body", "10", expect_trouble=True)
    refused(server, request("POST", "/", b"x" * 11), 413, "")
    assert ask(server, request("POST", "/", b"x" * 10)).status == 200


def test_a_body_that_is_cut_short(server):
    with server.connect() as connection:
        connection.send(request("POST", "/cut", b"x" * 10)[:-1])
        connection.end_of_input()
        connection.expect_closed()
    assert "/cut" not in json.loads(ask(server, request(uri="/seen")).body)


# uwsgi_allow_ips


@pytest.mark.parametrize(
    "allowed,status",
    [
        ("127.0.0.1", 200),
        ("127.0.0.0/8", 200),
        ("*", 200),
        ("192.0.2.0/24,::1", 403),
        ("", 403),
    ],
)
def test_allowed_peers(gunicorn, allowed, status):
    server = gunicorn("echo", UWSGI, f"--uwsgi-allow-from={allowed}", expect_trouble=True)
    if status == 200:
        assert ask(server, request()).status == 200
        return
    response = refused(server, request(), 403, "uWSGI request from '127.0.0.1' not allowed")
    assert b"Request forbidden" in response.body


def test_unix_sockets_are_allowed(gunicorn, tmp_path):
    server = gunicorn("echo", UWSGI, "--uwsgi-allow-from=", bind=[f"unix:{tmp_path}/s"])
    environ = environ_of(ask(server, request()))
    assert (environ["REMOTE_ADDR"], environ["SERVER_PORT"]) == ("192.0.2.7", "8080")


# Logs, hooks, other workers


def test_access_log(gunicorn):
    server = gunicorn(
        "echo", UWSGI, "--access-logfile", "-", "--access-logformat",
        "<%(h)s %(r)s %(s)s %({DOCUMENT_ROOT}e)s %({host}i)s>", expect_trouble=True,
    )  # fmt: skip
    ask(server, request(uri="/a?b"))
    ask(server, request(PATH_INFO="/a\nb", REQUEST_URI=None))
    ask(server, request(HTTP_X="\n"))
    wait_until(lambda: server.stdout.count("\n") == 3, lambda: server.stdout)
    first, second, third = server.stdout.splitlines()
    assert first == "<192.0.2.7 GET /a?b HTTP/1.1 200 /usr/share/nginx/html example.com>"
    assert second.startswith("<192.0.2.7 GET /a\\") and " 200 " in second
    assert " 400 " in third


HOOKS = """
def pre_request(worker, req):
    worker.log.info("pre %s %s %s %s", req.method, req.path, req.remote_addr[0], req.scheme)
    if req.path == "/changed":
        req.headers.append(("X-HOOK", "1"))
        req.path = "/other"

def post_request(worker, req, environ, resp):
    wanted = ("DOCUMENT_ROOT", "PATH_INFO", "REQUEST_METHOD", "HTTP_HOST")
    variables = [req.uwsgi_vars[name] for name in wanted]
    worker.log.info("post %s %s", variables, resp.status_code)
"""


def test_hooks(gunicorn, tmp_path):
    (tmp_path / "conf.py").write_text(HOOKS)
    server = gunicorn("echo", UWSGI, "-c", str(tmp_path / "conf.py"))
    environ = environ_of(ask(server, request(uri="/a", HTTPS="on")))
    assert environ["PATH_INFO"] == "/a"
    server.wait_for_log("pre GET /a 192.0.2.7 https")
    values = ["/usr/share/nginx/html", "/a", "GET", "example.com"]
    server.wait_for_log(re.escape(f"post {values} 200"))
    environ = environ_of(ask(server, request(uri="/changed")))
    assert (environ["PATH_INFO"], environ["HTTP_X_HOOK"]) == ("/other", "1")
    assert environ["SERVER_NAME"] == "www.example.com"


def hold(connection, server, name):
    """A request that runs until it is let go; the process that runs it."""
    os.mkfifo(server.cwd / name)
    begun = server.cwd / f"{name}.begun"
    connection.send(request(uri=f"/hold/{name}"))
    return int(wait_until(lambda: begun.exists() and begun.read_text(), "it is held"))


def let_go(server, name):
    with open(server.cwd / name, "wb"):
        pass


def test_a_request_that_another_worker_takes(gunicorn):
    """Connections of a busy worker go to the other one; the client is the packet's there, too."""
    log = ["--access-logfile", "-", "--access-logformat", "<%(h)s %(p)s>"]
    server = gunicorn("helpers.held:app", UWSGI, "--threads", "1", *log, workers=2)
    port = Port.private(server.pid)
    waiting = [server.connect() for _ in range(40)]

    def accepted():
        open_in = re.findall(r"_client_descriptors\{.*\} (\d+)", port.text("/metrics"))
        return sum(map(int, open_in)) == len(waiting)

    wait_until(accepted, "all are accepted")
    first = waiting.pop()
    busy = hold(first, server, "busy")
    for number, connection in enumerate(waiting):
        data = request("POST", "/", b"x" * number, REMOTE_ADDR=f"192.0.2.{number}")
        connection.send(data)
        other = worker_of(connection.read_response())
        assert other != busy
        connection.expect_closed()
        wait_until(lambda n=number, o=other: f"<192.0.2.{n} <{o}>>" in server.stdout, "its line")
    assert 'closed_total{reason="taken"} 0' not in port.text("/metrics")
    let_go(server, "busy")
    assert worker_of(first.read_response()) == busy


def test_draining(gunicorn):
    server = gunicorn("helpers.held:app", UWSGI)
    with server.connect() as connection:
        hold(connection, server, "last")
        server.kill(signal.SIGTERM)
        server.wait_for_log("Handling signal: term")
        let_go(server, "last")
        assert connection.read_response().status == 200
        connection.expect_closed()
    assert server.wait() == 0
