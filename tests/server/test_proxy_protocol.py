"""proxy_protocol: a proxy in front names the client of each connection, before TLS and HTTP."""

import contextlib
import itertools
import re
import signal
import threading
import time

import pytest
from helpers import proxy_header
from helpers.echoed import environ_of
from helpers.haproxy import HAPROXY, running
from helpers.held import Busy, worker_of
from helpers.proxy_header import LOCAL, PROXY, SIGNATURE, TCP4, TCP6, UDP4, UNIX, UNSPEC, v1, v2
from helpers.server import Stopwatch, free_port
from helpers.tls import NAME
from helpers.tls_records import RecordClient, split_record
from helpers.wire import STEP_TIMEOUT, Connection, Response, render, wait_until

#: The header is read before any worker class sees the connection.
pytestmark = pytest.mark.parametrize(
    "worker", ["gthread", "gevent"], indirect=True, scope="session"
)

GET = render("GET", "/", [("Host", "a")])
LAST = render("GET", "/", [("Host", "a"), ("Connection", "close")])
KEYS = re.compile("REMOTE_|PROXY_|wsgi.url_scheme")

INET = proxy_header.addresses("192.0.2.1", 56324)
INET6 = proxy_header.addresses("2001:db8::1", 1, "::1", 65535)


def variables(response):
    """What the environ says of the client, without the types."""
    return {key: value for key, value in environ_of(response).items() if KEYS.match(key)}


def named(protocol, client, port, server="192.0.2.2", to="443", **more):
    return {
        "PROXY_PROTOCOL": protocol,
        "REMOTE_ADDR": client,
        "REMOTE_PORT": port,
        "PROXY_ADDR": server,
        "PROXY_PORT": to,
        "wsgi.url_scheme": "http",
    } | more


def unnamed(connection):
    """The client is the other end itself."""
    host, port = connection.sock.getsockname()
    return {"REMOTE_ADDR": host, "REMOTE_PORT": str(port), "wsgi.url_scheme": "http"}


@pytest.fixture
def server(shared):
    return shared("echo", "--proxy-protocol=auto")


@pytest.fixture
def refusing(shared):
    return shared("echo", "--proxy-protocol=auto", "--header-timeout", "2", expect_trouble=True)


HEADERS = {
    "v1": (v1("192.0.2.1", 56324), named("TCP4", "192.0.2.1", "56324")),
    "v1-least": (v1("0.0.0.0", 0, to=0), named("TCP4", "0.0.0.0", "0", to="0")),
    "v1-ipv6": (
        v1("2001:DB8:0:0:1:0:0:1", 1, "::1", 65535),
        named("TCP6", "2001:db8::1:0:0:1", "1", "::1", "65535"),
    ),
    "v2": (v2(PROXY, TCP4, INET), named("TCP4", "192.0.2.1", "56324")),
    "v2-ipv6": (v2(PROXY, TCP6, INET6), named("TCP6", "2001:db8::1", "1", "::1", "65535")),
    "v2-quic": (v2(PROXY, UDP4, INET), named("UDP4", "192.0.2.1", "56324")),
    "v2-unknown-tlv": (
        v2(PROXY, TCP4, INET + proxy_header.tlv(0xEA, b"\1vpce-1") + proxy_header.tlv(4, b"")),
        named("TCP4", "192.0.2.1", "56324"),
    ),
    "v2-names": (
        v2(
            PROXY,
            TCP4,
            INET + proxy_header.tlv(2, b"shop.example") + proxy_header.tlv(5, b"id-1"),
        ),
        named("TCP4", "192.0.2.1", "56324", PROXY_AUTHORITY="shop.example", PROXY_UNIQUE_ID="id-1"),
    ),
    "v2-tls": (
        v2(PROXY, TCP4, INET + proxy_header.tls(b"TLSv1.3", b"AES", b"anna")),
        named(
            "TCP4",
            "192.0.2.1",
            "56324",
            PROXY_SSL_PROTOCOL="TLSv1.3",
            PROXY_SSL_CIPHER="AES",
            PROXY_SSL_CLIENT_S_DN_CN="anna",
            PROXY_SSL_CLIENT_VERIFY="SUCCESS",
        )
        | {"wsgi.url_scheme": "https"},
    ),
    "v2-tls-invalid-certificate": (
        v2(PROXY, TCP4, INET + proxy_header.tls(b"TLSv1.2", b"AES", b"eve", verified=False)),
        named(
            "TCP4",
            "192.0.2.1",
            "56324",
            PROXY_SSL_PROTOCOL="TLSv1.2",
            PROXY_SSL_CIPHER="AES",
            PROXY_SSL_CLIENT_S_DN_CN="eve",
            PROXY_SSL_CLIENT_VERIFY="FAILED",
        )
        | {"wsgi.url_scheme": "https"},
    ),
}


@pytest.mark.parametrize("pieces", [0, 1, 7])
@pytest.mark.parametrize("name", HEADERS)
def test_the_client_of_every_request(server, name, pieces):
    """Each request of the connection has the client, however the header is cut."""
    header, expected = HEADERS[name]
    with server.connect() as connection:
        if pieces:
            connection.send_in_pieces(header + GET, pieces)
        else:
            connection.send(header + GET)
        assert variables(connection.read_response()) == expected
        connection.send(GET + GET)
        assert variables(connection.read_response()) == expected
        assert variables(connection.read_response()) == expected


@pytest.mark.parametrize("name", HEADERS)
def test_the_client_of_one_request(server, name):
    header, expected = HEADERS[name]
    with server.connect() as connection:
        connection.send(header + render("GET", "/", [("Host", "a"), ("Connection", "close")]))
        assert variables(connection.read_response()) == expected


def test_a_client_on_a_unix_socket(server):
    block = b"/run/client".ljust(108, b"\0") + b"/run/proxy".ljust(108, b"\0")
    with server.connect() as connection:
        connection.send(v2(PROXY, UNIX, block) + GET)
        found = variables(connection.read_response())
    assert (found["PROXY_PROTOCOL"], found["REMOTE_ADDR"]) == ("UNIX", "/run/client")
    assert found["PROXY_ADDR"] == "/run/proxy"
    assert "PROXY_PORT" not in found


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ::1 anything 1 2\r\n",
        v2(LOCAL, UNSPEC),
        v2(LOCAL, TCP4, INET),
        v2(PROXY, UNSPEC, b"x" * 40),
    ],
)
def test_nobody_is_named(server, header):
    """No header, and the health checks of proxies: the peer of the socket is the client."""
    with server.connect() as connection:
        connection.send(header + GET)
        assert variables(connection.read_response()) == unnamed(connection)


@pytest.mark.parametrize("target", [b"PROPFIND /", b"PUT /"])
def test_a_method_that_begins_like_a_header(server, target):
    """Its first letters are no header, also when the others are still to come."""
    request = target + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    with server.connect() as connection:
        connection.send_in_pieces(request)
        assert variables(connection.read_response()) == unnamed(connection)


@pytest.mark.parametrize(
    "mode,taken,refused",
    [
        ("v1", HEADERS["v1"], HEADERS["v2"]),
        ("v2", HEADERS["v2"], HEADERS["v1"]),
        ("off", None, HEADERS["v1"]),
    ],
)
def test_one_version(shared, mode, taken, refused):
    """A header of the other version is a bad request, as any other bytes."""
    server = shared("echo", f"--proxy-protocol={mode}", expect_trouble=True)
    with server.connect() as connection:
        connection.send(refused[0] + GET)
        assert connection.read_response().status == 400
    if taken:
        with server.connect() as connection:
            connection.send(taken[0] + GET)
            assert variables(connection.read_response()) == taken[1]


MALFORMED = {
    "signed-port": (v1("192.0.2.1", "+1"), "a port is no decimal number from 0 to 65535"),
    "underscore": (v1("192.0.2.1", "1_0"), "a port is no decimal number from 0 to 65535"),
    "address": (v1("192.0.2.256", 1), "an address does not have the form of its family"),
    "protocol": (b"PROXY TCP5 a b 1 2\r\n", "the protocol is none of TCP4, TCP6 and UNKNOWN"),
    "fields": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", "two addresses and two ports"),
    "long": (b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "no CRLF within 107 bytes"),
    "line-end": (b"PROXY UNKNOWN\n", "the line does not end with CRLF"),
    "version": (SIGNATURE + b"\x11", "the version is not 2"),
    "command": (v2(0x22, TCP4, INET), "the command is neither LOCAL nor PROXY"),
    "family": (v2(PROXY, 0x41, INET), "unknown address family"),
    "short": (v2(PROXY, TCP6, INET), "shorter than the addresses of its family"),
    "path": (v2(PROXY, UNIX, b"/a\nb".ljust(216, b"\0")), "control character in the path"),
    "tlv": (v2(PROXY, TCP4, INET + b"\2\0\5ab"), "malformed TLV"),
    "controls": (v2(PROXY, TCP4, INET + proxy_header.tlv(2, b"a\nb")), "malformed TLV"),
    "crc": (v2(PROXY, TCP4, INET + proxy_header.tlv(3, b"\0\0\0\0")), "wrong CRC32c"),
    "huge": (SIGNATURE + b"\x21\x11\xff\xff", "longer than 16384 bytes"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(refusing, name):
    """400 with the reason, which the error log has, too; nothing that follows is served."""
    header, reason = MALFORMED[name]
    start = len(refusing.log)
    with refusing.connect() as connection:
        connection.send(header + GET + GET)
        response = connection.read_response()
        connection.expect_closed()
    assert response.status == 400
    assert reason.encode() in response.body
    refusing.wait_for_log(re.escape(reason), start=start)


@pytest.mark.parametrize("header", [v1("192.0.2.1", 1)[:-1], v2(PROXY, TCP4, INET)[:-1]])
def test_cut_short(refusing, header):
    with refusing.connect() as connection:
        connection.send(header)
        connection.end_of_input()
        response = connection.read_response()
    assert response.status == 400
    assert b"the connection ends within it" in response.body


@pytest.mark.parametrize("header", [b"P", v1("192.0.2.1", 1)[:-1], v2(PROXY, TCP4, INET)[:-1]])
def test_header_timeout(refusing, header):
    """The time for the head of the first request counts from the connection."""
    clock = Stopwatch()
    with refusing.connect() as connection:
        for byte in header:
            connection.send(bytes([byte]))
        connection.expect_closed()
    assert clock.seconds >= 1.9


def test_in_pieces_while_the_server_stops(gunicorn):
    """The client has as long as with the head of a request."""
    server = gunicorn("echo", "--proxy-protocol=auto")
    header, expected = HEADERS["v1"]
    with server.connect() as connection:
        connection.send(header[:20])
        assert server.request().status == 200  # so the one before has been accepted, too
        server.kill(signal.SIGTERM)
        server.wait_for_log("Handling signal: term")
        time.sleep(0.5)  # of the two seconds that it has
        connection.send(header[20:] + GET)
        assert variables(connection.read_response()) == expected
    assert server.wait() == 0


@pytest.mark.parametrize("sent", [GET, b"PROPFIND / HTTP/1.1\r\n\r\n", b"P", b"\x16\x03\x01"])
def test_a_header_that_is_required(shared, sent):
    """Without one there is no request; health checks of proxies have one."""
    server = shared(
        "echo", "--proxy-protocol=auto", "--proxy-protocol-required", expect_trouble=True
    )
    start = len(server.log)
    with server.connect() as connection:
        connection.send(sent)
        connection.end_of_input()
        response = connection.read_response()
        connection.expect_closed()
    assert response.status == 400
    server.wait_for_log("there is none, which proxy_protocol_required demands", start=start)
    with server.connect() as connection:
        connection.send(v2(LOCAL, UNSPEC) + GET)
        assert variables(connection.read_response()) == unnamed(connection)


# proxy_allow_ips


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.0/8", "10.0.0.0/8,127.0.0.1", "*"])
def test_allowed(shared, allowed):
    server = shared("echo", "--proxy-protocol=auto", "--proxy-allow-from", allowed)
    with server.connect() as connection:
        connection.send(HEADERS["v2"][0] + GET)
        assert variables(connection.read_response()) == HEADERS["v2"][1]


@pytest.mark.parametrize("header", [HEADERS["v1"][0], HEADERS["v2"][0], v2(LOCAL, UNSPEC)])
def test_forbidden(shared, header):
    """Others may not name clients, and are served as long as they do not try."""
    server = shared(
        "echo", "--proxy-protocol=auto", "--proxy-allow-from", "192.0.2.0/24", expect_trouble=True
    )
    start = len(server.log)
    with server.connect() as connection:
        connection.send(header + GET)
        response = connection.read_response()
        connection.expect_closed()
    assert response.status == 403
    server.wait_for_log(r"Proxy request from '127\.0\.0\.1' not allowed", start=start)
    with server.connect() as connection:
        connection.send(GET)
        assert variables(connection.read_response()) == unnamed(connection)


def test_peers_of_unix_sockets_are_trusted(gunicorn, tmp_path):
    path = f"{tmp_path}/g.sock"
    server = gunicorn(
        "echo", "--proxy-protocol=auto", "--proxy-allow-from", "192.0.2.1", bind=[f"unix:{path}"]
    )
    with server.connect() as connection:
        connection.send(HEADERS["v1"][0] + GET)
        assert variables(connection.read_response()) == HEADERS["v1"][1]


def test_forwarded_allow_ips_is_about_the_proxy(shared):
    """A client cannot become trusted by the address that it has."""
    server = shared("echo", "--proxy-protocol=auto", "--forwarded-allow-ips", "192.0.2.1")
    forged = render("GET", "/", [("Host", "a"), ("X-Forwarded-Proto", "https")])
    with server.connect() as connection:
        connection.send(HEADERS["v1"][0] + forged)
        assert variables(connection.read_response()) == HEADERS["v1"][1]


def test_access_log(gunicorn):
    server = gunicorn("echo", "--proxy-protocol=auto", "--access-logfile", "-")
    with server.connect() as connection:
        connection.send(HEADERS["v2-ipv6"][0] + GET)
        connection.read_response()
    wait_until(lambda: "2001:db8::1 - - [" in server.stdout, "a line for the client")


# Other layers


def test_before_tls(gunicorn, pair, authority):
    server = gunicorn("echo", "--proxy-protocol=auto", *pair.args)
    context = authority.client()
    header, expected = HEADERS["v2"]
    with Connection(server.address) as connection:
        connection.send(header)
        connection.sock = context.wrap_socket(connection.sock, server_hostname=NAME)
        for _ in range(2):
            connection.send(GET)
            found = variables(connection.read_response())
            assert found == expected | {"wsgi.url_scheme": "https"}


def singles(data):
    return [data[at : at + 1] for at in range(len(data))]


#: The segments of a header and a ClientHello.
CUTS = {
    "together": lambda header, hello: [header + hello],
    "the last byte with TLS": lambda header, hello: [header[:-1], header[-1:] + hello],
    "the first of TLS with it": lambda header, hello: [header + hello[:1], hello[1:]],
    "single bytes": lambda header, hello: singles(header + hello),
    "small records": lambda header, hello: [header + split_record(hello, 7)],
    "small records in single bytes": lambda header, hello: singles(header + split_record(hello, 7)),
}


def answer_in_records(server, authority, first, data):
    """The one answer to data in records of a byte each."""
    context = authority.client()
    with RecordClient(server.address, context, NAME.encode(), STEP_TIMEOUT, first) as client:
        client.sock.sendall(client.records(data))
        head, _, body = b"".join(iter(client.receive, b"")).partition(b"\r\n\r\n")
    return Response("1.1", int(head.split()[1]), "", [], body)


@pytest.fixture
def tls_server(shared, pair):
    return shared("echo", "--proxy-protocol=auto", *pair.args, expect_trouble=True)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", ["v1", "v2"])
def test_cut_before_tls(tls_server, authority, name, cut):
    header, expected = HEADERS[name]
    found = answer_in_records(tls_server, authority, lambda hello: CUTS[cut](header, hello), LAST)
    assert variables(found) == expected | {"wsgi.url_scheme": "https"}


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_a_header_inside_tls(tls_server, authority, name):
    """Only the proxy's end of the connection names clients: TLS comes from the client."""
    header = HEADERS[name][0]
    for first in (lambda hello: [hello], lambda hello: [header + hello]):
        assert answer_in_records(tls_server, authority, first, header + LAST).status == 400


def test_tls_without_a_header(gunicorn, pair, authority):
    server = gunicorn("echo", "--proxy-protocol=auto", *pair.args)
    with Connection(server.address) as connection:
        connection.sock = authority.client().wrap_socket(connection.sock, server_hostname=NAME)
        connection.send(GET)
        found = variables(connection.read_response())
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert "PROXY_ADDR" not in found


def test_clients_do_not_mix(gunicorn):
    """Many at once, of whom busy workers hand some to others."""
    server = gunicorn("echo", "--proxy-protocol=auto", "--workers", "2", workers=2)
    wrong = []

    def ask(n):
        client = f"192.0.2.{n}"
        header = v2(PROXY, TCP4, proxy_header.addresses(client, 1000 + n))
        with server.connect() as connection:
            connection.send(header)
            for _ in range(20):
                connection.send(GET)
                found = variables(connection.read_response())
                if found != named("TCP4", client, str(1000 + n)):
                    wrong.append(found)

    threads = [threading.Thread(target=ask, args=[n]) for n in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_request_that_another_worker_takes(gunicorn, worker):
    """Its client goes along, for this request and the next ones."""
    log = ["--access-logfile", "-", "--access-logformat", "%(h)s %(p)s %({PROXY_AUTHORITY}e)s"]
    server = gunicorn(
        "helpers.held:app", "--proxy-protocol=auto", "--workers", "2", "--keep-alive", "60", *log,
        workers=2,
    )  # fmt: skip
    connect, numbers = server.connect, itertools.count(1)

    def connect_named(**options):
        connection = connect(**options)
        client = f"192.0.2.{next(numbers)}"
        block = proxy_header.addresses(client, 1) + proxy_header.tlv(2, client.encode())
        connection.send(v2(PROXY, TCP4, block))
        connection.client = client
        return connection

    server.connect = connect_named
    busy = Busy(server, 4 if worker == "gthread" else 1)
    kept = busy.kept[0]
    other = worker_of(kept.request())
    assert other != busy.pid
    assert worker_of(kept.request()) == other
    busy.release()
    line = f"{kept.client} <{other}> {kept.client}\n"
    wait_until(lambda: server.stdout.count(line) == 2, "two lines of the client")


# HAProxy

HAPROXY_CONF = """
global
  log stderr format raw local0
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend clients
  bind 127.0.0.1:{port} {bind}
  default_backend server
backend server
  server one 127.0.0.1:{server} {send} check inter 100ms
"""


@pytest.fixture
def haproxy(tmp_path):
    """haproxy(server, send, bind): the address of an HAProxy in front of a server."""
    if not HAPROXY:
        pytest.skip("HAProxy is not installed")
    with contextlib.ExitStack() as stack:

        def start(server, send, bind=""):
            port = free_port()
            conf = tmp_path / "haproxy.cfg"
            conf.write_text(
                HAPROXY_CONF.format(port=port, server=server.address[1], send=send, bind=bind)
            )
            return stack.enter_context(running(conf, port))

        yield start


def seen_through(connection, address, protocol="TCP4"):
    port = connection.sock.getsockname()[1]
    return named(protocol, "127.0.0.1", str(port), *map(str, address))


@pytest.mark.parametrize(
    "send", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"]
)
def test_haproxy(gunicorn, haproxy, send):
    """The client's own port arrives, on connections that are kept and across a reload; health
    checks do no harm."""
    server = gunicorn("echo", "--proxy-protocol=auto")
    address = haproxy(server, send)
    with Connection(address) as connection:
        expected = seen_through(connection, address)
        for _ in range(3):
            connection.send(GET)
            assert variables(connection.read_response()) == expected
    server.kill(signal.SIGHUP)
    for _ in range(20):
        with Connection(address) as connection:
            connection.send(render("GET", "/", [("Host", "a"), ("Connection", "close")]))
            found = variables(connection.read_response())
            assert found == seen_through(connection, address)


def test_haproxy_ends_tls(gunicorn, haproxy, authority, tmp_path):
    """send-proxy-v2-ssl-cn: the scheme is https, and the TLS of the client is in the environ."""
    own = authority.issue()
    pem = tmp_path / "haproxy.pem"
    pem.write_bytes(own.certfile.read_bytes() + own.keyfile.read_bytes())
    server = gunicorn("echo", "--proxy-protocol=auto")
    send = "send-proxy-v2-ssl-cn proxy-v2-options ssl,authority,cert-cn,ssl-cipher"
    address = haproxy(server, send, f"ssl crt {pem}")
    with Connection(address) as connection:
        expected = seen_through(connection, address)
        connection.sock = authority.client().wrap_socket(connection.sock, server_hostname=NAME)
        connection.send(GET)
        found = variables(connection.read_response())
        assert found.pop("PROXY_SSL_CIPHER") == connection.sock.cipher()[0]
        assert found == expected | {
            "wsgi.url_scheme": "https",
            "PROXY_AUTHORITY": NAME,
            "PROXY_SSL_PROTOCOL": connection.sock.version(),
            "PROXY_SSL_CLIENT_VERIFY": "NONE",
        }


def test_haproxy_passes_tls_through(gunicorn, haproxy, pair, authority):
    server = gunicorn("echo", "--proxy-protocol=auto", *pair.args)
    address = haproxy(server, "send-proxy-v2")
    with Connection(address) as connection:
        expected = seen_through(connection, address) | {"wsgi.url_scheme": "https"}
        connection.sock = authority.client().wrap_socket(connection.sock, server_hostname=NAME)
        connection.send(GET)
        assert variables(connection.read_response()) == expected
