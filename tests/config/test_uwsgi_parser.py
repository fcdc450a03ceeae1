"""The parser of uwsgi's packets that tests and workers of others feed: the engine's."""

from __future__ import annotations

import socket

import pytest
from helpers.uwsgi_packet import packet, request, variables

from gunicorn.config import Config
from gunicorn.http import errors, get_parser, wsgi
from gunicorn.uwsgi import (
    ForbiddenUWSGIRequest,
    InvalidUWSGIHeader,
    UnsupportedModifier,
    UWSGIParseException,
    UWSGIParser,
    UWSGIRequest,
)

CLIENT = ("127.0.0.1", 4711)


def config(**settings):
    cfg = Config()
    for name, value in ({"protocol": "uwsgi"} | settings).items():
        cfg.set(name, value)
    return cfg


def parse(*pieces, client=CLIENT, **settings):
    return get_parser(config(**settings), pieces, client)


def test_a_request():
    parser = parse(request("POST", "/a%20b?x=1", b"abc", HTTPS="on", HTTP_X_OWN="1", OWN="2"))
    assert isinstance(parser, UWSGIParser)
    req = next(parser)
    assert isinstance(req, UWSGIRequest)
    assert (req.method, req.uri, req.path, req.query) == ("POST", "/a%20b?x=1", "/a%20b", "x=1")
    assert (req.raw_path, req.version, req.scheme) == (b"/a%20b", (1, 1), "https")
    assert ("X-OWN", "1") in req.headers and ("CONTENT-LENGTH", "3") in req.headers
    own = {"OWN": "2", "HTTP_X_OWN": "1", "PATH_INFO": "/a b", "CONTENT_LENGTH": "3"}
    assert own.items() <= req.uwsgi_vars.items()
    assert (req.modifier1, req.modifier2, req.req_number) == (0, 0, 1)
    assert req.body.read() == b"abc" and list(parser) == []


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_packets_one_after_the_other_in_pieces_of_any_size(step):
    data = request("POST", "/1", b"abc") + request("POST", "/2", b"de") + request(uri="/3")
    parser = parse(*(data[at : at + step] for at in range(0, len(data), step)))
    assert [(req.path, req.body.read()) for req in parser] == [
        ("/1", b"abc"), ("/2", b"de"), ("/3", b""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "kind", "code", "text"),
    [
        (packet([], modifier1=5), UnsupportedModifier, 501, "Unsupported uWSGI modifier1: 5"),
        (b"\0\3\0\0\2\0a", InvalidUWSGIHeader, 400, "Invalid uWSGI header: a variable goes"),
        (b"GET / HTTP/1.1\r\n", InvalidUWSGIHeader, 400, "Invalid uWSGI header: an HTTP request"),
        (request()[:-1], InvalidUWSGIHeader, 400, "Invalid uWSGI header: the packet is not whole"),
        (packet([]), InvalidUWSGIHeader, 400, ".*no REQUEST_METHOD"),
        (request(HTTP_X="a" * 9000), InvalidUWSGIHeader, 431, ".*limit request headers"),
        (request(uri="/" + "a" * 5000), InvalidUWSGIHeader, 414, ".*too large"),
        (packet([*variables().items(), *[("A", "")] * 1000]), InvalidUWSGIHeader, 431, ".*1000"),
    ],
)
def test_what_the_engine_refuses_is_refused(data, kind, code, text):
    with pytest.raises(kind, match=text) as caught:
        next(parse(data))
    assert isinstance(caught.value, UWSGIParseException)
    assert errors.answer_to(caught.value)[0] == code


@pytest.mark.parametrize(
    ("client", "allowed", "is_allowed"),
    [
        (CLIENT, "127.0.0.0/8", True),
        (("::1", 1), "127.0.0.1,::1", True),
        (("192.0.2.1", 1), "*", True),
        ("", "", True),
        (("192.0.2.1", 1), "127.0.0.1,::1", False),
    ],
)
def test_uwsgi_allow_ips(client, allowed, is_allowed):
    parser = parse(request(), client=client, uwsgi_allow_ips=allowed)
    if is_allowed:
        assert next(parser).method == "GET"
        return
    with pytest.raises(ForbiddenUWSGIRequest, match="uWSGI request from '192.0.2.1' not allowed"):
        next(parser)


def test_nothing_at_all():
    assert list(parse()) == []


def test_an_answer_by_hand():
    ours, client = socket.socketpair()
    with ours, client:
        client.sendall(request(uri="/caf%C3%A9"))
        cfg = config()
        req = next(UWSGIParser(cfg, ours, CLIENT))
        resp, environ = wsgi.create(req, ours, CLIENT, ("127.0.0.1", 80), cfg)
        assert environ["PATH_INFO"] == "/caf\xc3\xa9"
        resp.start_response("200 OK", [("Content-Length", "2")])
        resp.write(b"hi")
        resp.close()
        assert client.recv(4096).endswith(b"\r\n\r\nhi")
