"""What is HTTP/1.1 and what is refused: request lines, headers, framing (RFC 9110, RFC 9112).

A refusal is an error page and a closed connection; what the client sent after it is never run.
"""

import json
import uuid

import pytest
from helpers.wire import chunked, render

H = b"Host: example.com\r\n"


def get(fields=b"", line=b"GET / HTTP/1.1"):
    """A GET with some header lines of the test's own."""
    return line + b"\r\n" + H + fields + b"\r\n"


def post(fields, body=b""):
    """A POST whose framing is the test's own."""
    return b"POST / HTTP/1.1\r\n" + H + fields + b"\r\n" + body


def in_chunks(body):
    """A POST with a chunked body, byte for byte."""
    return post(b"Transfer-Encoding: chunked\r\n", body)


def refused(server, request, status):
    """Send a request and another one behind it: one error page, the end, and nothing was run."""
    marker = f"/smuggled-{uuid.uuid4().hex}"
    with server.connect() as connection:
        connection.send_if_open(request + render("GET", marker))
        response = connection.read_response()
        assert response.status == status
        assert response.header("Connection") == "close"
        connection.expect_closed()
    assert marker not in json.loads(server.request(target="/seen").body)
    return response


def accepted(server, request):
    """What the application saw of a request, which must be answered with 200."""
    with server.connect() as connection:
        connection.send(request)
        response = connection.read_response()
    assert response.status == 200, response
    return json.loads(response.body)


def cases(table):
    return [pytest.param(*rest, id=name) for name, *rest in table]


@pytest.fixture
def server(shared):
    return shared("echo")


REQUEST_LINES_REFUSED = [
    ("bare-lf", b"GET / HTTP/1.1\nHost: example.com\r\n\r\n"),
    ("bare-lf-throughout", b"GET / HTTP/1.1\nHost: example.com\n\n"),
    ("bare-cr", b"GET / HTTP/1.1\rHost: example.com\r\n\r\n"),
    ("two-empty-lines-first", b"\r\n\r\n" + get()),
    ("empty-line-of-lf-first", b"\n" + get()),
    ("space-first", get(line=b" GET / HTTP/1.1")),
    ("two-spaces-before-target", get(line=b"GET  / HTTP/1.1")),
    ("two-spaces-after-target", get(line=b"GET /  HTTP/1.1")),
    ("space-last", get(line=b"GET / HTTP/1.1 ")),
    ("tab-for-space", get(line=b"GET\t/\tHTTP/1.1")),
    ("no-version", get(line=b"GET /")),
    ("nothing-but-method", get(line=b"GET")),
    ("space-in-target", get(line=b"GET /a b HTTP/1.1")),
    ("method-lower-case", get(line=b"get / HTTP/1.1")),
    ("method-mixed-case", get(line=b"Get / HTTP/1.1")),
    ("method-with-hash", get(line=b"GE#T / HTTP/1.1")),
    ("method-of-two", get(line=b"GE / HTTP/1.1")),
    ("method-of-21", get(line=b"A" * 21 + b" / HTTP/1.1")),
    ("method-not-a-token", get(line=b"GE(T / HTTP/1.1")),
    ("method-with-colon", get(line=b"GET: / HTTP/1.1")),
    ("method-with-nul", get(line=b"GE\0T / HTTP/1.1")),
    ("method-latin-1", get(line=b"G\xc9T / HTTP/1.1")),
    ("target-empty", get(line=b"GET  HTTP/1.1")),
    ("target-star-with-get", get(line=b"GET * HTTP/1.1")),
    ("target-authority-with-get", get(line=b"GET example.com:80 HTTP/1.1")),
    ("target-without-slash", get(line=b"GET index.html HTTP/1.1")),
    ("target-with-nul", get(line=b"GET /\0 HTTP/1.1")),
    ("target-with-control", get(line=b"GET /\x01 HTTP/1.1")),
    ("target-with-tab", get(line=b"GET /a\tb HTTP/1.1")),
    ("target-with-cr", get(line=b"GET /a\rb HTTP/1.1")),
    ("target-with-del", get(line=b"GET /\x7f HTTP/1.1")),
    ("target-not-ascii", get(line=b"GET /\xc3\xa9 HTTP/1.1")),
    ("version-2.0", get(line=b"GET / HTTP/2.0")),
    ("version-0.9", get(line=b"GET / HTTP/0.9")),
    ("version-two-digits", get(line=b"GET / HTTP/1.10")),
    ("version-leading-zero", get(line=b"GET / HTTP/01.1")),
    ("version-no-minor", get(line=b"GET / HTTP/1")),
    ("version-comma", get(line=b"GET / HTTP/1,1")),
    ("version-lower-case", get(line=b"GET / http/1.1")),
    ("version-other-protocol", get(line=b"GET / HTTPS/1.1")),
    ("version-with-nul", get(line=b"GET / HTTP/1.1\0")),
    ("version-latin-1-digit", get(line=b"GET / HTTP/1.\xb9")),
    ("tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
]


@pytest.mark.parametrize("request_bytes", cases(REQUEST_LINES_REFUSED))
def test_request_line_refused(server, request_bytes):
    refused(server, request_bytes, 400)


REQUEST_LINES_ACCEPTED = [
    ("one-empty-line-first", b"\r\n" + get(), {"PATH_INFO": "/"}),
    ("method-of-three", get(line=b"ABC / HTTP/1.1"), {"REQUEST_METHOD": "ABC"}),
    ("method-of-20", get(line=b"A" * 20 + b" / HTTP/1.1"), {"REQUEST_METHOD": "A" * 20}),
    ("method-token", get(line=b"M-S!'*+.^_`|~1 / HTTP/1.1"), {"REQUEST_METHOD": "M-S!'*+.^_`|~1"}),
    ("version-1.2", get(line=b"GET / HTTP/1.2"), {"SERVER_PROTOCOL": "HTTP/1.2"}),
    ("version-1.0", get(line=b"GET / HTTP/1.0"), {"SERVER_PROTOCOL": "HTTP/1.0"}),
    (
        "query",
        get(line=b"GET /a/b?c=d&e=%20f HTTP/1.1"),
        {"PATH_INFO": "/a/b", "QUERY_STRING": "c=d&e=%20f", "RAW_URI": "/a/b?c=d&e=%20f"},
    ),
    ("query-empty", get(line=b"GET /a? HTTP/1.1"), {"QUERY_STRING": "", "RAW_URI": "/a?"}),
    ("query-twice", get(line=b"GET /a?b?c HTTP/1.1"), {"QUERY_STRING": "b?c"}),
    (
        "fragment",
        get(line=b"GET /a?b#c HTTP/1.1"),
        {"PATH_INFO": "/a", "QUERY_STRING": "b", "RAW_URI": "/a?b#c"},
    ),
    (
        "fragment-first",
        get(line=b"GET /a#b?c HTTP/1.1"),
        {"PATH_INFO": "/a", "QUERY_STRING": ""},
    ),
    ("path-escapes", get(line=b"GET /a%2Fb%c3%a9 HTTP/1.1"), {"PATH_INFO": "/a/b\xc3\xa9"}),
    ("path-bad-escapes", get(line=b"GET /%zz%4 HTTP/1.1"), {"PATH_INFO": "/%zz%4"}),
    ("path-escaped-nul", get(line=b"GET /a%00b HTTP/1.1"), {"PATH_INFO": "/a\0b"}),
    ("path-plus", get(line=b"GET /a+b HTTP/1.1"), {"PATH_INFO": "/a+b"}),
    ("path-double-slash", get(line=b"GET //a//b HTTP/1.1"), {"PATH_INFO": "//a//b"}),
    ("path-dots", get(line=b"GET /a/../b/./c HTTP/1.1"), {"PATH_INFO": "/a/../b/./c"}),
    ("path-params", get(line=b"GET /a;b=c HTTP/1.1"), {"PATH_INFO": "/a;b=c"}),
    (
        "target-absolute",
        get(line=b"GET http://other.example:81/x?y HTTP/1.1"),
        {
            "PATH_INFO": "/x",
            "QUERY_STRING": "y",
            "RAW_URI": "http://other.example:81/x?y",
            "HTTP_HOST": "example.com",
        },
    ),
    ("target-star", get(line=b"OPTIONS * HTTP/1.1"), {"PATH_INFO": "*", "RAW_URI": "*"}),
    (
        "target-authority",
        get(line=b"CONNECT example.com:443 HTTP/1.1"),
        {"REQUEST_METHOD": "CONNECT", "RAW_URI": "example.com:443"},
    ),
    ("no-host", b"GET / HTTP/1.1\r\n\r\n", {"HTTP_HOST": None}),
    ("no-host-1.0", b"GET / HTTP/1.0\r\n\r\n", {"HTTP_HOST": None}),
]


def check_environ(answer, expected):
    for key, value in expected.items():
        assert answer["environ"].get(key, [None, None])[1] == value, key


@pytest.mark.parametrize("request_bytes, expected", cases(REQUEST_LINES_ACCEPTED))
def test_request_line_accepted(server, request_bytes, expected):
    check_environ(accepted(server, request_bytes), expected)


HEADERS_REFUSED = [
    ("bare-lf", get(b"A: b\nC: d\r\n")),
    ("bare-lf-last", b"GET / HTTP/1.1\r\nA: b\r\n\n"),
    ("bare-cr", get(b"A: b\rC: d\r\n")),
    ("fold-space", get(b"A: b\r\n c\r\n")),
    ("fold-tab", get(b"A: b\r\n\tc\r\n")),
    ("fold-empty", get(b"A: b\r\n \r\n")),
    ("fold-of-framing", post(b"Transfer-Encoding:\r\n chunked\r\n", chunked(b"x"))),
    ("fold-first", b"GET / HTTP/1.1\r\n A: b\r\n\r\n"),
    ("no-colon", get(b"A\r\n")),
    ("name-empty", get(b": b\r\n")),
    ("space-before-colon", get(b"A : b\r\n")),
    ("tab-before-colon", get(b"A\t: b\r\n")),
    ("space-in-name", get(b"A B: c\r\n")),
    ("space-before-colon-of-framing", post(b"Content-Length : 5\r\n", b"hello")),
    ("name-with-nul", get(b"A\0: b\r\n")),
    ("name-with-control", get(b"A\x01: b\r\n")),
    ("name-with-slash", get(b"A/B: c\r\n")),
    ("name-in-quotes", get(b'"A": b\r\n')),
    ("name-latin-1", get(b"\xdfA: b\r\n")),
    ("name-with-del", get(b"A\x7f: b\r\n")),
    ("value-with-nul", get(b"A: b\0c\r\n")),
    ("value-with-control", get(b"A: b\x01c\r\n")),
    ("value-with-vt", get(b"A: b\x0bc\r\n")),
    ("value-with-escape", get(b"A: \x1b[31m\r\n")),
    ("value-with-del", get(b"A: b\x7fc\r\n")),
    ("host-twice", get(b"Host: example.org\r\n")),
    ("host-twice-same", get(H)),
    ("host-twice-other-case", get(b"hOST: example.com\r\n")),
    ("content-type-twice", get(b"Content-Type: a/b\r\nContent-Type: a/b\r\n")),
    ("request-line-again", get(b"GET / HTTP/1.1\r\n")),
]


@pytest.mark.parametrize("request_bytes", cases(HEADERS_REFUSED))
def test_header_refused(server, request_bytes):
    refused(server, request_bytes, 400)


HEADERS_ACCEPTED = [
    ("value-trimmed", get(b"A: \t b\t \r\n"), {"HTTP_A": "b"}),
    ("value-without-space", get(b"A:b\r\n"), {"HTTP_A": "b"}),
    ("value-empty", get(b"A:\r\n"), {"HTTP_A": ""}),
    ("value-blank", get(b"A:  \t\r\n"), {"HTTP_A": ""}),
    ("value-with-tab", get(b"A: b\tc\r\n"), {"HTTP_A": "b\tc"}),
    ("value-latin-1", get(b"A: caf\xe9\r\n"), {"HTTP_A": "caf\xe9"}),
    ("value-utf-8", get(b"A: \xe2\x82\xac\r\n"), {"HTTP_A": "\xe2\x82\xac"}),
    ("value-with-colons", get(b"A: b: c:\r\n"), {"HTTP_A": "b: c:"}),
    ("name-token", get(b"X-!#$%&'*+.^`|~1: b\r\n"), {"HTTP_X_!#$%&'*+.^`|~1": "b"}),
    ("name-in-any-case", get(b"x-AbC: b\r\n"), {"HTTP_X_ABC": "b"}),
    ("repeated", get(b"A: b\r\nB: x\r\na: c\r\n"), {"HTTP_A": "b,c", "HTTP_B": "x"}),
    ("repeated-cookie", get(b"Cookie: a=b\r\nCookie: c=d\r\n"), {"HTTP_COOKIE": "a=b,c=d"}),
    ("repeated-empty", get(b"A:\r\nA: b\r\nA:\r\n"), {"HTTP_A": ",b,"}),
    ("content-type", get(b"Content-Type: a/b\r\n"), {"CONTENT_TYPE": "a/b"}),
    ("content-type-no-twin", get(b"Content-Type: a/b\r\n"), {"HTTP_CONTENT_TYPE": None}),
    ("host-empty", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", {"HTTP_HOST": ""}),
    ("underscore-dropped", get(b"X_A: b\r\nX-B: c\r\n"), {"HTTP_X_A": None, "HTTP_X_B": "c"}),
    ("proxy-header", get(b"Proxy: evil\r\n"), {"HTTP_PROXY": "evil"}),
]


@pytest.mark.parametrize("request_bytes, expected", cases(HEADERS_ACCEPTED))
def test_header_accepted(server, request_bytes, expected):
    check_environ(accepted(server, request_bytes), expected)


LENGTHS_REFUSED = [
    ("plus", b"+5"),
    ("minus", b"-5"),
    ("list", b"5,5"),
    ("list-with-space", b"5, 5"),
    ("hex", b"0x5"),
    ("letters", b"5a"),
    ("space-inside", b"5 5"),
    ("empty", b""),
    ("fraction", b"5.0"),
    ("exponent", b"5e0"),
    ("underscore", b"1_0"),
    ("superscript", b"\xb2"),
    ("arabic", "\u0665".encode()),
    ("in-quotes", b'"5"'),
    ("parameter", b"5;x"),
    ("2^64", b"18446744073709551616"),
    ("2^64+5", b"18446744073709551621"),
    ("forty-digits", b"1" * 40),
]


@pytest.mark.parametrize("value", cases(LENGTHS_REFUSED))
def test_content_length_refused(server, value):
    refused(server, post(b"Content-Length: " + value + b"\r\n", b"hello"), 400)


@pytest.mark.parametrize(
    "fields",
    cases(
        [
            ("same", b"Content-Length: 5\r\nContent-Length: 5\r\n"),
            ("different", b"Content-Length: 5\r\nContent-Length: 6\r\n"),
            ("other-case", b"Content-Length: 5\r\ncontent-length: 5\r\n"),
            ("with-chunked", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            ("with-chunked-first", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            ("zero-with-chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        ]
    ),
)
def test_content_length_ambiguous(server, fields):
    refused(server, post(fields, b"0\r\n\r\n"), 400)


@pytest.mark.parametrize("value", [b"5", b" 5 ", b"\t5\t", b"005", b"00000000000000000000005"])
def test_content_length_accepted(server, value):
    answer = accepted(server, post(b"Content-Length:" + value + b"\r\n", b"hello"))
    assert answer["body"] == "hello"
    assert answer["environ"]["CONTENT_LENGTH"] == ["str", value.strip().decode()]
    assert "HTTP_CONTENT_LENGTH" not in answer["environ"]


def test_content_length_of_get(server):
    assert accepted(server, get(b"Content-Length: 0\r\n"))["size"] == 0
    assert accepted(server, get(b"Content-Length: 3\r\n") + b"abc")["body"] == "abc"


CODINGS_REFUSED = [
    ("identity", b"Transfer-Encoding: identity\r\n", 400),
    ("gzip", b"Transfer-Encoding: gzip\r\n", 400),
    ("chunked-not-last", b"Transfer-Encoding: chunked, gzip\r\n", 400),
    ("chunked-then-identity", b"Transfer-Encoding: chunked, identity\r\n", 400),
    ("chunked-twice", b"Transfer-Encoding: chunked, chunked\r\n", 400),
    ("chunked-in-two-fields", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
    ("with-nul", b"Transfer-Encoding: chunked\0\r\n", 400),
    ("with-vt", b"Transfer-Encoding: \x0bchunked\r\n", 400),
    ("unknown", b"Transfer-Encoding: xchunked\r\n", 501),
    ("unknown-before", b"Transfer-Encoding: br, chunked\r\n", 501),
    ("parameter", b"Transfer-Encoding: chunked;q=1\r\n", 501),
    ("in-quotes", b'Transfer-Encoding: "chunked"\r\n', 501),
    ("empty", b"Transfer-Encoding:\r\n", 501),
    ("empty-item", b"Transfer-Encoding: chunked,\r\n", 501),
    ("spaces-for-comma", b"Transfer-Encoding: gzip chunked\r\n", 501),
]


@pytest.mark.parametrize("fields, status", cases(CODINGS_REFUSED))
def test_transfer_encoding_refused(server, fields, status):
    refused(server, post(fields, chunked(b"hello")), status)


def test_transfer_encoding_on_http_1_0(server):
    data = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello")
    refused(server, data, 400)


@pytest.mark.parametrize(
    "fields",
    cases(
        [
            ("plain", b"Transfer-Encoding: chunked\r\n"),
            ("any-case", b"tRANSFER-eNCODING: Chunked\r\n"),
            ("spaces", b"Transfer-Encoding:\t chunked \t\r\n"),
            ("identity-first", b"Transfer-Encoding: identity, chunked\r\n"),
        ]
    ),
)
@pytest.mark.parametrize("method", [b"POST", b"CONNECT"])
def test_transfer_encoding_accepted(server, fields, method):
    """The body is here whole: the application gets its size, and not how it came."""
    answer = accepted(server, post(fields, chunked(b"hel", b"lo")).replace(b"POST", method, 1))
    assert answer["body"] == "hello"
    size = {"CONTENT_LENGTH": "5", "HTTP_TRANSFER_ENCODING": None, "HTTP_CONTENT_LENGTH": None}
    check_environ(answer, size | {"wsgi.input_terminated": True})


@pytest.mark.parametrize(
    "fields",
    cases(
        [
            ("list", b"Transfer-Encoding: gzip, chunked\r\n"),
            ("two-fields", b"Transfer-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n"),
        ]
    ),
)
def test_transfer_coding_before_chunked_closes(server, fields):
    """The application is to see that the body has another coding: nothing is taken away."""
    response = server.raw(post(fields, chunked(b"hello")))
    answer = json.loads(response.body)
    assert answer["body"] == "hello"
    assert answer["environ"]["HTTP_TRANSFER_ENCODING"][1].endswith("chunked")
    assert "CONTENT_LENGTH" not in answer["environ"]
    assert response.header("Connection") == "close"


CHUNKED_ACCEPTED = [
    ("one", b"5\r\nhello\r\n0\r\n\r\n"),
    ("two", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    ("leading-zeros", b"0005\r\nhello\r\n000\r\n\r\n"),
    ("extension", b"5;a\r\nhello\r\n0\r\n\r\n"),
    ("extension-value", b"5;a=b;c=d\r\nhello\r\n0;e\r\n\r\n"),
    ("extension-quoted", b'5;a="b \\" c;\xe9\t"\r\nhello\r\n0\r\n\r\n'),
    ("extension-spaces", b"5 \t; \ta \t= \tb\r\nhello\r\n0\r\n\r\n"),
    ("trailer", b"5\r\nhello\r\n0\r\nX-Check: 1\r\n\r\n"),
    ("trailers", b"5\r\nhello\r\n0\r\nA: 1\r\nB: 2\r\nA: 3\r\n\r\n"),
]


@pytest.mark.parametrize("body", cases(CHUNKED_ACCEPTED))
def test_chunked_accepted(server, body):
    answer = accepted(server, in_chunks(body))
    assert answer["body"] == "hello"
    assert not {"HTTP_X_CHECK", "HTTP_A", "HTTP_B"} & set(answer["environ"])


def test_chunk_sizes_in_both_cases(server):
    body = b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"
    assert accepted(server, in_chunks(body))["size"] == 20


def test_chunked_empty(server):
    assert accepted(server, in_chunks(b"0\r\n\r\n"))["size"] == 0


CHUNKED_REFUSED = [
    ("size-empty", b"\r\nhello\r\n0\r\n\r\n"),
    ("size-not-hex", b"5g\r\nhello\r\n0\r\n\r\n"),
    ("size-with-prefix", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("size-plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("size-minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("size-underscore", b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
    ("size-space-before", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("size-space-after", b"5 \r\nhello\r\n0\r\n\r\n"),
    ("size-2^64+5", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("size-2^68", b"100000000000000000\r\nhello\r\n0\r\n\r\n"),
    ("size-bare-lf", b"5\nhello\r\n0\r\n\r\n"),
    ("size-bare-cr", b"5\rhello\r\n0\r\n\r\n"),
    ("size-with-nul", b"5\0\r\nhello\r\n0\r\n\r\n"),
    ("data-bare-lf", b"5\r\nhello\n0\r\n\r\n"),
    ("data-bare-cr", b"5\r\nhello\r0\r\n\r\n"),
    ("data-too-long", b"5\r\nhello!\r\n0\r\n\r\n"),
    ("data-too-short", b"6\r\nhello\r\n0\r\n\r\n"),
    ("extension-without-size", b";a\r\nhello\r\n0\r\n\r\n"),
    ("extension-empty", b"5;\r\nhello\r\n0\r\n\r\n"),
    ("extension-no-name", b"5;=a\r\nhello\r\n0\r\n\r\n"),
    ("extension-no-value", b"5;a=\r\nhello\r\n0\r\n\r\n"),
    ("extension-two-words", b"5;a b\r\nhello\r\n0\r\n\r\n"),
    ("extension-not-a-token", b"5;a(\r\nhello\r\n0\r\n\r\n"),
    ("extension-quote-open", b'5;a="b\r\nhello\r\n0\r\n\r\n'),
    ("extension-after-quote", b'5;a="b"c\r\nhello\r\n0\r\n\r\n'),
    ("extension-bare-cr", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("extension-bare-lf", b"5;a\nhello\r\n0\r\n\r\n"),
    ("extension-with-nul", b"5;a=\0\r\nhello\r\n0\r\n\r\n"),
    ("trailer-bare-lf", b"5\r\nhello\r\n0\r\nA: b\n\r\n"),
    ("trailer-end-bare-lf", b"5\r\nhello\r\n0\r\n\n"),
    ("trailer-no-colon", b"5\r\nhello\r\n0\r\nA\r\n\r\n"),
    ("trailer-fold", b"5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n"),
    ("trailer-space-before-colon", b"5\r\nhello\r\n0\r\nA : b\r\n\r\n"),
    ("trailer-with-nul", b"5\r\nhello\r\n0\r\nA: b\0\r\n\r\n"),
    ("trailer-host", b"5\r\nhello\r\n0\r\nHost: a\r\n\r\n"),
    ("trailer-content-length", b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"),
    ("trailer-transfer-encoding", b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ("trailer-trailer", b"5\r\nhello\r\n0\r\nTrailer: a\r\n\r\n"),
    ("trailer-authorization", b"5\r\nhello\r\n0\r\nAuthorization: a\r\n\r\n"),
    ("trailer-te", b"5\r\nhello\r\n0\r\nTE: a\r\n\r\n"),
]


@pytest.mark.parametrize("body", cases(CHUNKED_REFUSED))
def test_chunked_refused(server, body):
    refused(server, in_chunks(body), 400)


def test_chunk_size_line_too_long(server):
    refused(server, in_chunks(b"5;a=" + b"b" * 20000 + b"\r\nhello\r\n0\r\n\r\n"), 400)


def test_too_many_trailers(server):
    refused(server, in_chunks(b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n"), 431)


@pytest.mark.parametrize(
    "request_bytes",
    [
        get(line=b"HEAD /" + b"a" * 9000 + b" HTTP/1.1"),
        get(b"A : b\r\n").replace(b"GET", b"HEAD", 1),
        get(line=b"HEAD / HTTP/x"),
    ],
    ids=["target", "field", "version"],
)
def test_error_page_of_head(server, request_bytes):
    """Without content (RFC 9110 §9.3.2), also when its request line is not whole."""
    with server.connect() as connection:
        connection.send(request_bytes)
        response = connection.read_response("HEAD")
        assert response.status in (400, 414)
        assert int(response.header("Content-Length")) > 0
        connection.expect_closed()


@pytest.mark.parametrize(
    "status, reason, request_bytes",
    [
        (400, "Bad Request", get(b"A : b\r\n")),
        (414, "URI Too Long", get(line=b"GET /" + b"a" * 9000 + b" HTTP/1.1")),
        (431, "Request Header Fields Too Large", get(b"A: b\r\n" * 200)),
        (417, "Expectation Failed", get(b"Expect: miracle\r\n")),
        (501, "Not Implemented", post(b"Transfer-Encoding: br\r\n")),
    ],
    ids=["400", "414", "431", "417", "501"],
)
def test_error_page(server, status, reason, request_bytes):
    """gunicorn's page: reason as title and heading, the message escaped, three headers."""
    response = refused(server, request_bytes, status)
    assert response.version == "1.1"
    assert response.reason == reason
    assert [name for name, _ in response.headers] == [
        "Connection",
        "Content-Type",
        "Content-Length",
    ]
    assert response.header("Content-Type") == "text/html"
    page = response.body.decode("latin-1")
    start = (
        f"<html>\n  <head>\n    <title>{reason}</title>\n  </head>\n  <body>\n"
        f"    <h1><p>{reason}</p></h1>\n"
    )
    assert page.startswith(start)
    assert page.endswith("\n  </body>\n</html>\n")


def test_error_page_is_escaped(server):
    page = refused(server, get(b"<script>: x\r\n"), 400).body
    assert b"<script>" not in page
    assert b"&lt;" in page


@pytest.mark.parametrize(
    "request_bytes",
    [get(line="GET /é".encode() + b" HTTP/1.1"), get("Expect: é\r\n".encode())],
)
def test_error_page_has_the_bytes_of_the_client(server, request_bytes):
    """Not those of their Latin-1 characters in UTF-8, which no reader would take for an é."""
    page = refused(server, request_bytes, 417 if b"Expect" in request_bytes else 400).body
    assert "é".encode() in page and "Ã".encode() not in page


def test_refusal_is_logged(server):
    start = len(server.log)
    refused(server, get(b"A : b\r\n"), 400)
    server.wait_for_log(
        r"\[WARNING\] Invalid request from ip=127\.0\.0\.1: Invalid HTTP header name: 'A '",
        start=start,
    )


# Limits


def line_of(size):
    """A request whose first line has so many bytes, its CRLF not counted."""
    return get(line=b"GET /" + b"a" * (size - len(b"GET / HTTP/1.1")) + b" HTTP/1.1")


def field_of(size):
    """A request with a header line of so many bytes, its CRLF counted."""
    return get(b"A: " + b"b" * (size - len(b"A: \r\n")) + b"\r\n")


def fields_of(count):
    """A request with so many header lines."""
    return get(b"A: b\r\n" * (count - 1))


@pytest.mark.parametrize(
    "args, limit",
    [
        ((), 4094),
        (("--limit-request-line", "100"), 100),
        (("--limit-request-line", "16000"), 16000),
    ],
    ids=["default", "100", "16000"],
)
def test_limit_request_line(shared, args, limit):
    server = shared("echo", *args)
    accepted(server, line_of(limit))
    refused(server, line_of(limit + 1), 414)


def test_limit_request_line_zero_is_no_limit(shared):
    accepted(shared("echo", "--limit-request-line", "0"), line_of(50000))


def test_limit_request_line_before_its_end(server):
    """A line that is too long is refused although its end has not come."""
    with server.connect() as connection:
        connection.send(b"GET /" + b"a" * 6000)
        assert connection.read_response().status == 414
        connection.expect_closed()


@pytest.mark.parametrize(
    "args, limit", [((), 100), (("--limit-request-fields", "5"), 5)], ids=["default", "5"]
)
def test_limit_request_fields(shared, args, limit):
    server = shared("echo", *args)
    accepted(server, fields_of(limit))
    refused(server, fields_of(limit + 1), 431)


def test_limit_request_fields_can_be_raised(shared):
    server = shared("echo", "--limit-request-fields", "2000")
    assert accepted(server, fields_of(2000))["environ"]["HTTP_A"][1].count("b") == 1999


@pytest.mark.parametrize(
    "args, limit",
    [
        ((), 8190),
        (("--limit-request-field_size", "100"), 100),
        (("--limit-request-field_size", "60000"), 60000),
    ],
    ids=["default", "100", "60000"],
)
def test_limit_request_field_size(shared, args, limit):
    server = shared("echo", *args)
    accepted(server, field_of(limit))
    refused(server, field_of(limit + 1), 431)


def test_limit_request_field_size_zero_is_no_limit(shared):
    accepted(shared("echo", "--limit-request-field_size", "0"), field_of(100_000))


def test_endless_head(server):
    """Headers without end are refused by the limits, not collected for ever."""
    with server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\n")
        for _ in range(4000):
            if not connection.send_if_open(b"A: " + b"b" * 1000 + b"\r\n"):
                break
        assert connection.read_response().status == 431


# Settings that loosen the rules


def test_permit_obsolete_folding(shared):
    server = shared("echo", "--permit-obsolete-folding")
    answer = accepted(server, get(b"A: b\r\n  c\r\n\td \r\nB: e\r\n"))
    check_environ(answer, {"HTTP_A": "b c d", "HTTP_B": "e"})


def test_strip_header_spaces(shared):
    server = shared("echo", "--strip-header-spaces")
    check_environ(accepted(server, get(b"A : b\r\nC\t: d\r\n")), {"HTTP_A": "b", "HTTP_C": "d"})
    refused(server, get(b" A: b\r\n"), 400)
    refused(server, get(b"A B: b\r\n"), 400)


@pytest.mark.parametrize("method", [b"get", b"a", b"A" * 60, b"#", b"g-t!"])
def test_permit_unconventional_http_method(shared, method):
    server = shared("echo", "--permit-unconventional-http-method")
    answer = accepted(server, get(line=method + b" / HTTP/1.1"))
    check_environ(answer, {"REQUEST_METHOD": method.decode()})


def test_unconventional_method_is_a_token_still(shared):
    server = shared("echo", "--permit-unconventional-http-method")
    refused(server, get(line=b"G(T / HTTP/1.1"), 400)


def test_casefold_http_method(shared):
    server = shared("echo", "--permit-unconventional-http-method", "--casefold-http-method")
    answer = accepted(server, get(line=b"gEt / HTTP/1.1"))
    check_environ(answer, {"REQUEST_METHOD": "GET"})


@pytest.mark.parametrize("version", ["0.9", "2.0", "3.7"])
def test_permit_unconventional_http_version(shared, version):
    server = shared("echo", "--permit-unconventional-http-version")
    data = b"GET / HTTP/" + version.encode() + b"\r\nHost: x\r\nConnection: close\r\n\r\n"
    with server.connect() as connection:
        connection.send(data)
        answer = json.loads(connection.read_response().body)
    check_environ(answer, {"SERVER_PROTOCOL": f"HTTP/{version}"})
    assert "HTTP_VERSION" not in answer["environ"]  # a stream of HTTP/2 has it


def test_unconventional_version_has_one_digit_each(shared):
    server = shared("echo", "--permit-unconventional-http-version")
    refused(server, get(line=b"GET / HTTP/1.10"), 400)


# Header names with an underscore, and who may send what

UNDERSCORED = get(b"X_A: b\r\nX-C: d\r\n")


def test_header_map_refuse(shared):
    server = shared("echo", "--header-map", "refuse")
    refused(server, UNDERSCORED, 400)
    accepted(server, get(b"X-C: d\r\n"))


def test_header_map_dangerous(shared):
    answer = accepted(shared("echo", "--header-map", "dangerous"), UNDERSCORED)
    check_environ(answer, {"HTTP_X_A": "b", "HTTP_X_C": "d"})


def test_header_map_dangerous_merges(shared):
    answer = accepted(shared("echo", "--header-map", "dangerous"), get(b"X_A: b\r\nX-A: c\r\n"))
    check_environ(answer, {"HTTP_X_A": "b,c"})


def test_dropped_framing_look_alikes(server):
    """Content_Length is no Content-Length, whatever header_map does with it."""
    data = get(b"Content_Length: 5\r\nTransfer_Encoding: chunked\r\n")
    answer = accepted(server, data)
    assert answer["size"] == 0
    check_environ(answer, {"CONTENT_LENGTH": None, "HTTP_CONTENT_LENGTH": None})


SCRIPT_NAME = get(b"SCRIPT_NAME: /app\r\n", line=b"GET /app/x HTTP/1.1")


def test_forwarder_headers_of_a_trusted_peer(server):
    answer = accepted(server, SCRIPT_NAME)
    check_environ(answer, {"SCRIPT_NAME": "/app", "PATH_INFO": "/x", "HTTP_SCRIPT_NAME": "/app"})


def test_forwarder_headers_of_anyone_else(shared):
    server = shared("echo", "--forwarded-allow-ips", "10.0.0.0/8")
    check_environ(
        accepted(server, SCRIPT_NAME),
        {"SCRIPT_NAME": "", "PATH_INFO": "/app/x", "HTTP_SCRIPT_NAME": None},
    )


def test_path_info_header_is_only_a_header(server):
    answer = accepted(server, get(b"PATH_INFO: /other\r\n"))
    check_environ(answer, {"PATH_INFO": "/", "HTTP_PATH_INFO": "/other"})


def test_forwarder_headers_setting(shared):
    server = shared("echo", "--forwarder-headers", "REMOTE_USER,X_A")
    answer = accepted(server, get(b"REMOTE_USER: joe\r\nX_A: b\r\nX_B: c\r\nSCRIPT_NAME: /\r\n"))
    check_environ(
        answer,
        {
            "HTTP_REMOTE_USER": "joe",
            "REMOTE_USER": None,
            "HTTP_X_A": "b",
            "HTTP_X_B": None,
            "SCRIPT_NAME": "",
        },
    )


def test_forwarder_headers_star(shared):
    answer = accepted(shared("echo", "--forwarder-headers", "*"), UNDERSCORED)
    check_environ(answer, {"HTTP_X_A": "b"})


def test_path_outside_of_script_name(server):
    response = refused(server, get(b"SCRIPT_NAME: /app\r\n"), 500)
    assert b"does not start with SCRIPT_NAME" in response.body
