"""The environ: each key with its type and value, as gunicorn's users know it."""

import json
import socket

import pytest
from helpers.wire import render

ALWAYS = {
    "wsgi.version": ("tuple", [1, 0]),
    "wsgi.multiprocess": ("bool", False),
    "wsgi.run_once": ("bool", False),
    "wsgi.input_terminated": ("bool", True),
    "wsgi.url_scheme": ("str", "http"),
    "SERVER_SOFTWARE": ("str", "gunicorn/27.0.1"),
    "SCRIPT_NAME": ("str", ""),
}

#: Keys whose value is an object.
OBJECTS = {
    "wsgi.errors",
    "wsgi.input",
    "wsgi.file_wrapper",
    "wsgi.early_hints",
    "gunicorn.socket",
}


def environ_of(server, data):
    """The environ of a request as {key: (type, value)}."""
    with server.connect() as connection:
        connection.send(data)
        response = connection.read_response()
        assert response.status == 200, response
        port = None
        if isinstance(server.address, tuple):
            port = connection.sock.getsockname()[1]
    answer = json.loads(response.body)["environ"]
    return {key: tuple(value) for key, value in answer.items()}, port


def values(server, data):
    return {key: value for key, (_, value) in environ_of(server, data)[0].items()}


def test_every_key(shared, worker):
    """A POST over TCP: exactly these keys, with these types and values."""
    server = shared("echo")
    data = render(
        "POST",
        "/a%20b/c?d=e%20f",
        [
            ("Host", "example.com:8080"),
            ("User-Agent", "test"),
            ("Accept", "*/*"),
            ("X-Custom-Name", "1"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("X-Custom-Name", "2"),
        ],
        b"hello",
    )
    environ, port = environ_of(server, data)
    host, server_port = server.address
    expected = ALWAYS | {
        "wsgi.multithread": ("bool", worker in ("gthread", "gevent", "eventlet")),
        "REQUEST_METHOD": ("str", "POST"),
        "RAW_URI": ("str", "/a%20b/c?d=e%20f"),
        "PATH_INFO": ("str", "/a b/c"),
        "QUERY_STRING": ("str", "d=e%20f"),
        "SERVER_PROTOCOL": ("str", "HTTP/1.1"),
        "SERVER_NAME": ("str", host),
        "SERVER_PORT": ("str", str(server_port)),
        "REMOTE_ADDR": ("str", "127.0.0.1"),
        "REMOTE_PORT": ("str", str(port)),
        "CONTENT_TYPE": ("str", "text/plain; charset=utf-8"),
        "CONTENT_LENGTH": ("str", "5"),
        "HTTP_HOST": ("str", "example.com:8080"),
        "HTTP_USER_AGENT": ("str", "test"),
        "HTTP_ACCEPT": ("str", "*/*"),
        "HTTP_X_CUSTOM_NAME": ("str", "1,2"),
    }
    assert set(environ) - OBJECTS == set(expected)
    assert set(environ) >= OBJECTS
    assert {key: environ[key] for key in expected} == expected
    # A class: applications compare and subclass it.
    assert environ["wsgi.file_wrapper"][0] == "type"
    assert "FileWrapper" in environ["wsgi.file_wrapper"][1]


def test_least(shared):
    """A GET without headers has no keys but those that are always there."""
    environ, _ = environ_of(shared("echo"), b"GET / HTTP/1.0\r\n\r\n")
    assert set(environ) - OBJECTS == set(ALWAYS) | {
        "wsgi.multithread",
        "REQUEST_METHOD",
        "RAW_URI",
        "PATH_INFO",
        "QUERY_STRING",
        "SERVER_PROTOCOL",
        "SERVER_NAME",
        "SERVER_PORT",
        "REMOTE_ADDR",
        "REMOTE_PORT",
    }
    assert environ["SERVER_PROTOCOL"] == ("str", "HTTP/1.0")
    assert environ["QUERY_STRING"] == ("str", "")


@pytest.mark.parametrize("host", ["example.org:1", "", "[::1]:99", "example.org"])
def test_server_name_is_not_the_host_header(shared, host):
    server = shared("echo")
    environ = values(server, render(headers=[("Host", host)]))
    assert environ["SERVER_NAME"] == "127.0.0.1"
    assert environ["SERVER_PORT"] == str(server.address[1])


def test_multiprocess(shared):
    environ = values(shared("echo", "-w", "2"), render())
    assert environ["wsgi.multiprocess"] is True


def test_nothing_is_left_of_the_last_request(shared):
    """Keys of one request do not show up in the next one of the connection."""
    server = shared("echo")
    with server.connect() as connection:
        first = connection.request("POST", "/a?b", [("X-Mine", "1"), ("Cookie", "c=d")], b"abc")
        assert first.keeps_alive
        second = json.loads(connection.request("GET", "/x").body)["environ"]
        third = json.loads(connection.request("GET", "/y", [("X-Mine", "2")]).body)["environ"]
    assert not {"HTTP_X_MINE", "HTTP_COOKIE", "CONTENT_LENGTH"} & set(second)
    assert second["QUERY_STRING"] == ["str", ""]
    assert second["PATH_INFO"] == ["str", "/x"]
    assert third["HTTP_X_MINE"] == ["str", "2"]
    assert "HTTP_COOKIE" not in third


def test_header_values_change_on_a_connection(shared):
    """Values that differ from request to request by a byte, a length or an order are all seen."""
    server = shared("echo")
    wanted = [
        [("X-A", "1"), ("X-B", "2")],
        [("X-A", "2"), ("X-B", "2")],
        [("X-B", "2"), ("X-A", "1")],
        [("X-A", "11"), ("X-B", "")],
        [("x-a", "1"), ("X-B", "2")],
        [("X-A", "1")],
        [("X-A", "\xe9"), ("X-B", "2")],
        [("X-A", "1"), ("X-B", "2"), ("X-A", "3")],
        [("X-A", "1"), ("X-B", "2")],
    ]
    with server.connect() as connection:
        for fields in wanted:
            response = connection.request("GET", "/", fields)
            environ = json.loads(response.body)["environ"]
            for key in ("X-A", "X-B"):
                expected = ",".join(v for k, v in fields if k.upper() == key)
                present = any(k.upper() == key for k, _ in fields)
                seen = environ.get("HTTP_" + key.replace("-", "_"))
                assert seen == (["str", expected] if present else None)
            assert response.keeps_alive


# Unix sockets


@pytest.fixture(scope="session")
def unix_server(servers, tmp_path_factory):
    path = tmp_path_factory.mktemp("unix") / "s"
    server = servers.start("echo", bind=[f"unix:{path}"])
    yield server
    problems = server.close()
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "host, name, port",
    [
        ("example.com", "example.com", "80"),
        ("example.com:8080", "example.com", "8080"),
        (None, None, ""),
    ],
)
def test_unix_peer(unix_server, host, name, port):
    """The peer has no address, and the server's is what the client calls it."""
    data = b"GET / HTTP/1.0\r\n\r\n" if host is None else render(headers=[("Host", host)])
    environ = values(unix_server, data)
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ
    assert environ["SERVER_NAME"] == (unix_server.address if name is None else name)
    assert environ["SERVER_PORT"] == port


def test_unix_peer_is_trusted(unix_server):
    environ = values(unix_server, render(headers=[("X-Forwarded-Proto", "https")]))
    assert environ["wsgi.url_scheme"] == "https"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("example.com", "443")


# Behind a proxy


@pytest.mark.parametrize(
    "headers, scheme",
    [
        ([("X-Forwarded-Proto", "https")], "https"),
        ([("X-Forwarded-Protocol", "ssl")], "https"),
        ([("X-Forwarded-Ssl", "on")], "https"),
        ([("x-forwarded-proto", "https")], "https"),
        ([("X-Forwarded-Proto", "HTTPS")], "http"),
        ([("X-Forwarded-Proto", "https,http")], "http"),
        ([("X-Forwarded-Proto", "http")], "http"),
        ([("X-Forwarded-Protocol", "https")], "http"),
        ([("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "on")], "https"),
        ([("X-Forwarded-Scheme", "https")], "http"),
    ],
)
def test_scheme_of_a_trusted_peer(shared, headers, scheme):
    environ = values(shared("echo"), render(headers=headers))
    assert environ["wsgi.url_scheme"] == scheme
    assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_contradictory_schemes(shared):
    fields = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")]
    response = shared("echo").raw(render(headers=fields))
    assert response.status == 400
    assert b"Contradictory scheme headers" in response.body


@pytest.mark.parametrize(
    "allowed, scheme",
    [
        ("127.0.0.1", "https"),
        ("127.0.0.0/8", "https"),
        ("10.0.0.0/8,127.0.0.1", "https"),
        ("0.0.0.0/0", "https"),
        ("*", "https"),
        ("10.0.0.0/8", "http"),
        ("127.0.0.2", "http"),
        ("127.0.0.0/32", "http"),
        ("::1", "http"),
    ],
)
def test_forwarded_allow_ips(shared, allowed, scheme):
    server = shared("echo", "--forwarded-allow-ips", allowed)
    environ = values(server, render(headers=[("X-Forwarded-Proto", "https")]))
    assert environ["wsgi.url_scheme"] == scheme


def test_forwarded_allow_ips_from_the_environment(gunicorn):
    server = gunicorn("echo", env={"FORWARDED_ALLOW_IPS": "10.1.1.1"})
    environ = values(server, render(headers=[("X-Forwarded-Proto", "https")]))
    assert environ["wsgi.url_scheme"] == "http"


def test_untrusted_peers_may_contradict_themselves(shared):
    server = shared("echo", "--forwarded-allow-ips", "10.0.0.0/8")
    fields = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")]
    assert values(server, render(headers=fields))["wsgi.url_scheme"] == "http"


def test_secure_scheme_headers(gunicorn, tmp_path):
    config = tmp_path / "scheme_config.py"
    config.write_text('secure_scheme_headers = {"X-TLS": "yes"}\n')
    server = gunicorn("echo", "-c", str(config))
    assert values(server, render(headers=[("X-Tls", "yes")]))["wsgi.url_scheme"] == "https"
    assert values(server, render(headers=[("X-Tls", "no")]))["wsgi.url_scheme"] == "http"
    fields = [("X-Forwarded-Proto", "https")]
    assert values(server, render(headers=fields))["wsgi.url_scheme"] == "http"


def test_script_name_of_the_process(gunicorn):
    server = gunicorn("echo", env={"SCRIPT_NAME": "/app"}, expect_trouble=True)
    environ = values(server, render(target="/app/x%20y?z"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/x y")
    assert environ["RAW_URI"] == "/app/x%20y?z"
    environ = values(server, render(target="/app"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "")
    response = server.raw(render(target="/other"))
    assert response.status == 500
    assert b"does not start with SCRIPT_NAME" in response.body
    # The header of a trusted proxy wins.
    environ = values(server, render(target="/other/x", headers=[("SCRIPT_NAME", "/other")]))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/other", "/x")


# gunicorn.socket


def test_socket(shared):
    server = shared("sockets")
    with server.connect() as connection:
        facts = json.loads(connection.request().body)
        assert tuple(facts["peer"]) == connection.sock.getsockname()
    assert tuple(facts["name"]) == server.address
    assert facts["family"] == socket.AF_INET
    assert facts["fileno"]
    assert facts["nodelay"]


def test_socket_is_writable(shared):
    """An application may write to the client before the server does."""
    response = shared("takeover").request(target="/interim")
    assert [interim.status for interim in response.interim] == [102]
    assert response.body == b"ok"


def test_socket_taken_over(shared):
    """A protocol of the application's own, until it raises StopIteration: then the end."""
    server = shared("takeover")
    with server.connect() as connection:
        connection.send(render(target="/echo", headers=[("Upgrade", "lines")]))
        assert connection.read_head().status == 101
        for n in range(50):
            connection.send(b"line %d\n" % n)
            assert connection.read(len(b"line %d\n" % n)) == b"LINE %d\n" % n
        connection.send(b"bye\n")
        connection.expect_closed()
    assert server.request(target="/interim").status == 200


def test_socket_taken_over_with_data_behind_the_head(shared):
    """What the client sent at once with its request is the application's, too."""
    with shared("takeover").connect() as connection:
        connection.send(render(target="/echo", headers=[("Upgrade", "lines")]) + b"early\n")
        assert connection.read_head().status == 101
        connection.send(b"later\nbye\n")
        rest = connection.read_to_end()
    assert rest in (b"EARLY\nLATER\n", b"LATER\n")


def test_socket_closed_by_the_application(shared):
    """Its number is not closed a second time, when it may be that of something else."""
    server = shared("takeover")
    for _ in range(5):
        assert server.request(target="/closes").body == b"ok"
    names = server.json(target="/check")
    assert names == ["/dev/null"] * len(names)
    assert len(names) >= 5


# wsgiref.validate


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_validate(shared, method):
    """Many requests of each kind pass the validator: the server breaks no rule of PEP 3333."""
    server = shared("validated")
    for n in range(40):
        headers = [("X-Number", str(n)), ("Content-Type", "text/plain"), ("Cookie", "a=\xe9")]
        body = b"x" * (n * 100) if method in ("POST", "PUT", "PATCH") else None
        response = server.request(method, f"/{n}/%C3%A9?n={n}", headers, body)
        assert response.status == 200, server.log[-2000:]
        assert response.body == (
            b"" if method == "HEAD" else b"read %d" % min(10, len(body or b""))
        )


def test_validate_http_1_0(shared):
    server = shared("validated")
    assert server.raw(b"GET / HTTP/1.0\r\n\r\n").status == 200
    assert server.raw(b"GET //a?b HTTP/1.0\r\nHost: b\r\n\r\n").status == 200


def test_validate_unix(servers, tmp_path):
    path = tmp_path / "s"
    server = servers.start("validated", bind=[f"unix:{path}"])
    try:
        with server.connect() as connection:
            assert connection.request(headers=[("Connection", "close")]).status == 200
    finally:
        problems = server.close()
    assert not problems, "\n".join(problems)
