"""The parser that tests and workers of others feed: the engine's, behind gunicorn's names."""

from __future__ import annotations

import socket

import pytest

from gunicorn.config import Config
from gunicorn.http import Message, Request, RequestParser, errors, get_parser, wsgi
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.unreader import IterUnreader, SocketUnreader

CLIENT = ("127.0.0.1", 4711)
SERVER = ("127.0.0.1", 80)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /in HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

# Data of a client, the class of what is raised, the status that the engine answers with.
REFUSED = {
    b"GET /\r\n\r\n": (errors.InvalidRequestLine, 400),
    b"GET / HTTP/3.1\r\n\r\n": (errors.InvalidHTTPVersion, 400),
    b"g\x01t / HTTP/1.1\r\n\r\n": (errors.InvalidRequestMethod, 400),
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n": (errors.LimitRequestLine, 414),
    GET + b"A: b\r\n" * 200 + b"\r\n": (errors.LimitRequestHeaders, 431),
    GET + b"A: " + b"b" * 9000 + b"\r\n\r\n": (errors.LimitRequestHeaders, 431),
    GET + b"A b: 1\r\n\r\n": (errors.InvalidHeaderName, 400),
    GET + b"A: b\x00c\r\n\r\n": (errors.InvalidHeader, 400),
    GET + b"A: b\n\r\n": (errors.InvalidHeader, 400),
    GET + b"A: b\r\n c\r\n\r\n": (errors.ObsoleteFolding, 400),
    GET + b"Host: y\r\n\r\n": (errors.InvalidHeader, 400),
    GET + b"Content-Length: -1\r\n\r\n": (errors.InvalidHeader, 400),
    GET + b"Transfer-Encoding: nosuch\r\n\r\n": (errors.UnsupportedTransferCoding, 501),
    GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n": (errors.InvalidHeader, 400),
    GET + b"Expect: what\r\n\r\n": (errors.ExpectationFailed, 417),
    GET + b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n\r\n": (
        errors.InvalidSchemeHeaders,
        400,
    ),
}

BROKEN_BODIES = {
    CHUNKED + b"zz\r\n": errors.InvalidChunkSize,
    CHUNKED + b"1;\x01\r\na\r\n0\r\n\r\n": errors.InvalidChunkExtension,
    CHUNKED + b"1\r\nab\r\n0\r\n\r\n": errors.ChunkMissingTerminator,
    CHUNKED + b"0\r\nContent-Length: 1\r\n\r\n": errors.InvalidHeaderName,
    CHUNKED + b"9\r\nabc": errors.NoMoreData,
    POST + b"Content-Length: 9\r\n\r\nabc": errors.NoMoreData,
}


def parse(*pieces, client=CLIENT, **settings):
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    return RequestParser(cfg, pieces, client)


def test_a_request():
    data = b"GET /a%20b?x=1#f HTTP/1.1\r\nHost: x\r\nA-b:  1 \r\nA-b: 2\r\n\r\n"
    (req,) = parse(data)
    assert isinstance(req, Request) and isinstance(req, Message)
    assert (req.method, req.uri, req.path, req.query) == ("GET", "/a%20b?x=1#f", "/a%20b", "x=1")
    assert (req.fragment, req.version, req.scheme) == ("f", (1, 1), "http")
    assert req.headers == [("HOST", "x"), ("A-B", "1"), ("A-B", "2")]
    assert (req.peer_addr, req.remote_addr, req.req_number) == (CLIENT, CLIENT, 1)
    assert req.body.read() == b"" and req.trailers == [] and not req.should_close()


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_requests_one_after_the_other_in_pieces_of_any_size(step):
    data = (
        POST + b"Content-Length: 3\r\n\r\nabc"
        + CHUNKED + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
        + GET + b"Connection: close\r\n\r\n" + GET + b"\r\n"
    )  # fmt: skip
    parser = parse(*(data[at : at + step] for at in range(0, len(data), step)))
    seen = [(req.req_number, req.method, req.body.read()) for req in parser]
    assert seen == [(1, "POST", b"abc"), (2, "POST", b"abcde"), (3, "GET", b"")]


def test_a_body_that_nobody_reads_is_passed_over():
    first, second = parse(POST + b"Content-Length: 3\r\n\r\nabc" + GET + b"\r\n")
    assert (first.path, second.path) == ("/in", "/")


@pytest.mark.parametrize("data", REFUSED)
def test_what_the_engine_refuses_is_refused(data):
    kind, status = REFUSED[data]
    with pytest.raises(kind) as caught:
        next(parse(data))
    assert errors.answer_to(caught.value)[0] == status


@pytest.mark.parametrize("data", BROKEN_BODIES)
def test_a_broken_body_is_an_error_and_the_last(data):
    parser = parse(data + GET + b"\r\n") if b"9" not in data[-12:] else parse(data)
    req = next(parser)
    with pytest.raises(BROKEN_BODIES[data]):
        req.body.read()
    assert list(parser) == []


def test_bytes_that_end_within_a_head():
    assert list(parse()) == []
    with pytest.raises(errors.NoMoreData):
        next(parse(b"GET / HT"))


def test_settings_and_trust_go_as_in_the_engine():
    https = GET + b"X-Forwarded-Proto: https\r\nA_b: 1\r\n\r\n"
    (req,) = parse(https)
    assert req.scheme == "https" and ("A_B", "1") not in req.headers
    (req,) = parse(https, client=("192.0.2.1", 1), header_map="dangerous")
    assert req.scheme == "http" and ("A_B", "1") in req.headers
    (req,) = parse(b"get / HTTP/1.1\r\nHost: x\r\n\r\n", casefold_http_method=True,
                   permit_unconventional_http_method=True)  # fmt: skip
    assert req.method == "GET"
    with pytest.raises(errors.LimitRequestLine):
        next(parse(GET + b"\r\n", limit_request_line=5))


def test_a_socket_is_a_source():
    ours, client = socket.socketpair()
    with ours, client:
        client.sendall(POST + b"Content-Length: 2\r\n\r\nhi")
        req = next(get_parser(Config(), ours, CLIENT))
        assert req.body.read() == b"hi"


def test_http2_has_no_parser():
    with pytest.raises(NotImplementedError, match="only the engine reads HTTP/2"):
        get_parser(Config(), iter([GET]), CLIENT, http2_connection=True)


def body(data=b"one\ntwo\n\nend", chunked=False):
    if not chunked:
        return Body(LengthReader(IterUnreader([data[:5], data[5:], b"rest"]), len(data)))
    coded = b"".join(b"1\r\n%c\r\n" % byte for byte in data) + b"0\r\n\r\nrest"
    return Body(ChunkedReader(None, IterUnreader([coded])))


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_are_files(chunked):
    assert body(chunked=chunked).read() == b"one\ntwo\n\nend"
    assert list(body(chunked=chunked)) == [b"one\n", b"two\n", b"\n", b"end"]
    assert body(chunked=chunked).readlines(5) == [b"one\n", b"two\n"]
    one = body(chunked=chunked)
    assert [one.readline(2), one.readline(9), one.read(0), one.read(3)] == [
        b"on", b"e\n", b"", b"two",
    ]  # fmt: skip
    assert [one.readline(), one.read(-1), one.read(5), one.readline()] == [
        b"\n", b"\nend", b"", b"",
    ]  # fmt: skip
    with pytest.raises(TypeError):
        one.read("1")


def test_an_unreader_gives_back_what_was_put_back():
    unreader = IterUnreader([b"abc", b"", b"def"])
    assert unreader.read(4) == b"abcd"
    unreader.unread(b"xy")
    assert [unreader.read(3), unreader.read(), unreader.read(1), unreader.read()] == [
        b"xye", b"f", b"", b"",
    ]  # fmt: skip
    ours, client = socket.socketpair()
    with ours, client:
        client.sendall(b"abc")
        assert SocketUnreader(ours, 2).read() == b"ab"


def test_the_environ_of_a_request():
    (req,) = parse(
        POST.replace(b"/in", b"/up/a%20b?q") + b"SCRIPT_NAME: /up\r\nA: 1\r\nA: 2\r\n\r\n"
    )
    _resp, environ = wsgi.create(req, None, CLIENT, SERVER, Config())
    expected = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/a b", "SCRIPT_NAME": "/up", "QUERY_STRING": "q",
        "SERVER_PROTOCOL": "HTTP/1.1", "RAW_URI": "/up/a%20b?q", "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "4711", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "HTTP_A": "1,2",
        "wsgi.url_scheme": "http", "wsgi.input": req.body, "wsgi.version": (1, 0),
    }  # fmt: skip
    assert expected.items() <= environ.items()
    req.path = "/elsewhere"
    with pytest.raises(errors.ConfigurationProblem):
        wsgi.create(req, None, CLIENT, SERVER, Config())


@pytest.mark.parametrize(
    ("head", "headers", "sent"),
    [
        (GET, [("Content-Length", "2")], b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"),
        (GET, [], b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"),
        (b"GET / HTTP/1.0\r\n", [], b"Connection: close\r\n\r\nhi"),
        (GET.replace(b"GET", b"HEAD"), [("A", "b")], b"Connection: keep-alive\r\nA: b\r\n\r\n"),
    ],
)
def test_an_answer_by_hand(head, headers, sent):
    ours, client = socket.socketpair()
    with ours, client:
        (req,) = parse(head + b"\r\n")
        resp, environ = wsgi.create(req, ours, CLIENT, SERVER, Config())
        resp.start_response("200 OK", headers)
        resp.write(b"hi")
        resp.close()
        answer = client.recv(4096)
        assert b" 200 OK\r\n" in answer and answer.endswith(sent)
        for bad in ([("A b", "")], [("A", "b\r\nc")]):
            resp, _ = wsgi.create(req, ours, CLIENT, SERVER, Config())
            with pytest.raises((errors.InvalidHeader, errors.InvalidHeaderName)):
                resp.start_response("200 OK", bad)
