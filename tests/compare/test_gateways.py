"""uwsgi packets and PROXY headers beside gunicorn: statuses, and the environ.

`make compare` runs this. The answers are equal but for those in DIFFERENT, which is a part of
docs/differences.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import proxy_header, uwsgi_packet
from helpers.original import original_gunicorn
from helpers.proxy_header import PROXY, TCP4, v1, v2
from helpers.server import Server, gunicorn_command
from helpers.wire import WireError, render

APPS = Path(__file__).resolve().parent.parent / "server" / "apps"

#: The variables that are compared: those of the request.
SEEN = (
    "REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "RAW_URI", "SERVER_PROTOCOL", "CONTENT_TYPE",
    "CONTENT_LENGTH", "HTTP_HOST", "HTTP_X_OWN", "wsgi.url_scheme", "REMOTE_ADDR", "REMOTE_PORT",
    "PROXY_PROTOCOL", "PROXY_ADDR", "PROXY_PORT",
)  # fmt: skip

packet = uwsgi_packet.request
PACKETS = {
    "get": packet(uri="/a?b=c", CONTENT_LENGTH=None, CONTENT_TYPE=None, HTTP_X_OWN="1"),
    "post": packet("POST", "/a", b"abc", CONTENT_TYPE="text/plain"),
    "https": packet(HTTPS="on", CONTENT_LENGTH=None, CONTENT_TYPE=None),
    "http_2": packet(SERVER_PROTOCOL="HTTP/2.0", CONTENT_LENGTH=None, CONTENT_TYPE=None),
    "empty_length": packet(CONTENT_TYPE=None),
    "empty_type": packet(CONTENT_LENGTH=None),
    "no_variables": uwsgi_packet.packet([]),
    "modifier": uwsgi_packet.packet([], modifier1=5),
    "truncated": b"\0\x05\0\0\x09\0abc",
    "length_of_letters": packet("POST", CONTENT_LENGTH="abc"),
    "escapes": packet(uri="/%2541", CONTENT_LENGTH=None, CONTENT_TYPE=None),
}

GET = render("GET", "/", [("Host", "a"), ("Connection", "close")])
INET = proxy_header.addresses("192.0.2.1", 56324)
HEADERS = {
    "none": GET,
    "v1": v1("192.0.2.1", 56324) + GET,
    "v1_ipv6": v1("2001:db8::1", 1, "::1", 65535) + GET,
    "v1_unknown": b"PROXY UNKNOWN\r\n" + GET,
    "v1_bad_address": v1("192.0.2.256", 1) + GET,
    "v1_bad_port": v1("192.0.2.1", 65536) + GET,
    "v1_signed_port": v1("192.0.2.1", "+1") + GET,
    "v1_missing": b"PROXY TCP4 192.0.2.1\r\n" + GET,
    "v2": v2(PROXY, TCP4, INET) + GET,
    "v2_local": v2(proxy_header.LOCAL, 0) + GET,
    "v2_bad_version": v2(0x11, TCP4, INET) + GET,
}

CLIENT = {"REMOTE_ADDR", "REMOTE_PORT"}

#: By the name of a case, or "*": the variables that differ, or None: the status.
DIFFERENT = {
    "uwsgi": {
        "*": CLIENT,
        "http_2": CLIENT | {"SERVER_PROTOCOL"},
        "empty_length": CLIENT | {"CONTENT_LENGTH"},
        "empty_type": CLIENT | {"CONTENT_TYPE"},
        "no_variables": None,
        "length_of_letters": None,
        "modifier": None,
        "truncated": None,
        "escapes": CLIENT | {"PATH_INFO", "RAW_URI"},
    },
    "proxy": {
        "v1_unknown": None,
        "v1_signed_port": None,
        "v2_local": CLIENT | {"PROXY_PROTOCOL", "PROXY_ADDR", "PROXY_PORT"},
        "v2_bad_version": None,
    },
}

ARGS = {"uwsgi": "--protocol=uwsgi", "proxy": "--proxy-protocol=auto"}


def ask(server, data):
    """The status, and what the application has seen; "closed" without an answer."""
    with server.connect() as connection:
        connection.send(data)
        try:
            response = connection.read_response()
        except WireError:
            return "closed", {}
    if response.status != 200:
        return response.status, {}
    environ = json.loads(response.body)["environ"]
    return 200, {name: environ[name] for name in SEEN if name in environ}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """answers(kind): the answers of both servers to each case."""
    made = {}

    def both(kind):
        cases = PACKETS if kind == "uwsgi" else HEADERS
        if kind not in made:
            commands = (original_gunicorn(), gunicorn_command())
            made[kind] = [answers_of(command, kind, cases) for command in commands]
        return made[kind]

    def answers_of(command, kind, cases):
        directory = tmp_path_factory.mktemp(kind)
        args = [ARGS[kind], "--pythonpath", str(APPS), "echo"]
        server = Server(args, directory, command=command, expect_trouble=True).start()
        try:
            return {name: ask(server, data) for name, data in cases.items()}
        finally:
            server.close()

    return both


@pytest.mark.parametrize(
    ("kind", "name"),
    [("uwsgi", name) for name in PACKETS] + [("proxy", name) for name in HEADERS],
)
def test_like_gunicorn(answers, kind, name):
    (their_status, theirs), (status, ours) = (each[name] for each in answers(kind))
    meant = DIFFERENT[kind].get(name, DIFFERENT[kind].get("*", set()))
    if meant is None:
        assert status != their_status, "no difference: take it off the list"
        return
    assert status == their_status
    names = {n for n in SEEN if theirs.get(n) != ours.get(n)}
    own = {"REMOTE_PORT"} if name == "none" else set()  # of the connection
    assert names - own <= meant, {n: (theirs.get(n), ours.get(n)) for n in names}
