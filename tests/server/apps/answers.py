"""Applications that answer in every way PEP 3333 allows, and in some that it does not.

The path names the function that answers.
"""

import json
import sys

from helpers.gate import pass_gate

PLAIN = [("Content-Type", "text/plain")]

#: How often close() was called, by the name in the query.
closes = {}


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)


class Body:
    """An iterable that counts its close() under the name in the query."""

    def __init__(self, environ, items):
        self.name = environ["QUERY_STRING"]
        self.items = iter(items)

    def __iter__(self):
        return self

    def __next__(self):
        item = next(self.items)
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self):
        closes[self.name] = closes.get(self.name, 0) + 1


def closed(environ, start_response):
    payload = json.dumps(closes.get(environ["QUERY_STRING"], 0)).encode()
    start_response("200 OK", [("Content-Length", str(len(payload)))])
    return [payload]


def ok(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "2")])
    return [b"ok"]


# Framing


def length(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "5")])
    return Body(environ, [b"hel", b"", b"lo"])


def no_length(environ, start_response):
    start_response("200 OK", PLAIN)
    return Body(environ, [b"hel", b"", b"lo"])


def one_item(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"hello"]


def no_items(environ, start_response):
    start_response("200 OK", PLAIN)
    return []


def only_empty_items(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"", b""]


def too_long(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return Body(environ, [b"hel", b"lo world", b"again"])


def too_short(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return Body(environ, [b"hello"])


def status(environ, start_response):
    """The status in the query, with a body and its length."""
    start_response(environ["QUERY_STRING"].replace("+", " "), [("Content-Length", "5")])
    return Body(environ, [b"hello"])


def status_no_length(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("+", " "), PLAIN)
    return Body(environ, [b"hello"])


def status_no_body(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("+", " "), PLAIN)
    return []


def generator(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"hel"
    yield b"lo"


def late_start(environ, start_response):
    """start_response() is called when the first item is asked for."""
    start_response("200 OK", PLAIN)
    yield b"hello"


class OldSequence:
    """Iterable by __getitem__ alone."""

    def __getitem__(self, index):
        return [b"hel", b"lo"][index]


def body_tuple(environ, start_response):
    start_response("200 OK", PLAIN)
    return (b"hel", b"lo")


def body_iterator(environ, start_response):
    start_response("200 OK", PLAIN)
    return iter([b"hel", b"lo"])


def body_map(environ, start_response):
    start_response("200 OK", PLAIN)
    return map(bytes, [b"hel", b"lo"])


def body_dict(environ, start_response):
    start_response("200 OK", PLAIN)
    return {b"hel": 1, b"lo": 2}


def body_old_sequence(environ, start_response):
    start_response("200 OK", PLAIN)
    return OldSequence()


class BytesSubclass(bytes):
    pass


def body_subclass(environ, start_response):
    start_response("200 OK", PLAIN)
    return [BytesSubclass(b"hello")]


def large(environ, start_response):
    """As many bytes as the query says, in one item."""
    size = int(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Length", str(size))])
    return [b"x" * size]


def large_chunked(environ, start_response):
    count, size = map(int, environ["QUERY_STRING"].split(","))
    start_response("200 OK", PLAIN)
    return (bytes([65 + n % 26]) * size for n in range(count))


# Headers


def headers(environ, start_response):
    start_response(
        "200 OK",
        [
            ("X-First", "1"),
            ("Set-Cookie", "a=b"),
            ("x-lower", " \tspaces \t"),
            ("Set-Cookie", "c=d"),
            ("X-Latin", "caf\xe9"),
            ("X-Empty", ""),
            ("X-Tab", "a\tb"),
            ("Content-Length", "0"),
            ("X-Last", "9"),
        ],
    )
    return []


def hop_by_hop(environ, start_response):
    start_response(
        "200 OK",
        [
            ("Connection", "x-app"),
            ("Keep-Alive", "timeout=99"),
            ("Proxy-Authenticate", "Basic"),
            ("Proxy-Authorization", "Basic"),
            ("TE", "trailers"),
            ("Trailers", "X-T"),
            ("Transfer-Encoding", "gzip"),
            ("Upgrade", "h2c"),
            ("Server", "app"),
            ("dAtE", "yesterday"),
            ("X-Kept", "1"),
            ("Content-Length", "0"),
        ],
    )
    return []


def websocket(environ, start_response):
    start_response("101 Switching Protocols", [("Connection", "Upgrade"), ("Upgrade", "websocket")])
    return []


def many_headers(environ, start_response):
    fields = [(f"X-{n}", "v" * 100) for n in range(1000)]
    start_response("200 OK", [*fields, ("Content-Length", "0")])
    return []


BAD_HEADERS = {
    "name-bytes": [(b"X-A", "b")],
    "name-int": [(1, "b")],
    "name-none": [(None, "b")],
    "name-empty": [("", "b")],
    "name-space": [("X A", "b")],
    "name-colon": [("X-A:", "b")],
    "name-newline": [("X-A\r\nX-B", "b")],
    "name-nul": [("X-A\0", "b")],
    "name-latin-1": [("X-\xc9", "b")],
    "name-wide": [("X-\u20ac", "b")],
    "value-bytes": [("X-A", b"b")],
    "value-int": [("X-A", 1)],
    "value-none": [("X-A", None)],
    "value-cr": [("X-A", "b\rX-B: c")],
    "value-lf": [("X-A", "b\nX-B: c")],
    "value-crlf": [("X-A", "b\r\nX-B: c")],
    "value-crlf-last": [("X-A", "b\r\n")],
    "value-nul": [("X-A", "b\0")],
    "value-escape": [("X-A", "\x1b[31m")],
    "value-del": [("X-A", "\x7f")],
    "value-wide": [("X-A", "\u20ac")],
    "triple": [("X-A", "b", "c")],
    "single": [("X-A",)],
    "string": ["X-A: b"],
    "number": [5],
    "not-a-list": 5,
    "none": None,
    "length-word": [("Content-Length", "five")],
    "length-negative": [("Content-Length", "-5")],
    "length-empty": [("Content-Length", "")],
}


def bad_headers(environ, start_response):
    start_response("200 OK", BAD_HEADERS[environ["QUERY_STRING"]])
    return [b"hello"]


BAD_STATUS = {
    "bytes": b"200 OK",
    "int": 200,
    "none": None,
    "empty": "",
    "two-digits": "20 OK",
    "four-digits": "2000 OK",
    "no-space": "200OK",
    "word": "OK",
    "crlf": "200 OK\r\nX-B: c",
    "lf": "200 OK\nX-B: c",
    "nul": "200 O\0K",
    "wide": "200 \u20ac",
    "digits-not-ascii": "\u0662\u0660\u0660 OK",
}


def bad_status(environ, start_response):
    start_response(BAD_STATUS[environ["QUERY_STRING"]], PLAIN)
    return [b"hello"]


# start_response() again, and exc_info


def start_twice(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("201 Created", PLAIN)
    return [b"hello"]


def replace(environ, start_response):
    start_response("200 OK", [("X-Old", "1"), ("Content-Length", "3"), ("Set-Cookie", "a=b")])
    try:
        raise KeyError("inner")
    except KeyError:
        start_response("503 Sorry", [("X-New", "2")], sys.exc_info())
    return [b"replaced"]


def replace_with_length(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        raise KeyError("inner")
    except KeyError:
        start_response("503 Sorry", [("Content-Length", "3")], sys.exc_info())
    return [b"abc"]


def replace_in_generator(environ, start_response):
    start_response("200 OK", [("X-Old", "1")])
    try:
        raise KeyError("inner")
    except KeyError:
        start_response("503 Sorry", [("X-New", "2")], sys.exc_info())
    yield b"replaced"


def replace_too_late(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"hello"
    try:
        raise KeyError("the inner error")
    except KeyError:
        start_response("503 Sorry", PLAIN, sys.exc_info())
    yield b"never"


def replace_with_none(environ, start_response):
    """exc_info of None is as if there were none."""
    start_response("200 OK", [("Content-Length", "2")], None)
    return [b"ok"]


def start_keywords(environ, start_response):
    start_response(status="200 OK", headers=[("Content-Length", "2")])
    return [b"ok"]


# write()


def write(environ, start_response):
    writer = start_response("200 OK", PLAIN)
    assert writer(b"one") is None
    writer(b"")
    writer(b"two")
    return Body(environ, [b"three"])


def write_length(environ, start_response):
    writer = start_response("200 OK", [("Content-Length", "6")])
    writer(b"one")
    writer(b"two")
    writer(b"too much")
    return []


def write_str(environ, start_response):
    start_response("200 OK", PLAIN)("text")
    return []


def write_gated(environ, start_response):
    writer = start_response("200 OK", PLAIN)
    writer(b"first")
    pass_gate(environ["HTTP_X_GATE"])
    writer(b"second")
    return []


def items_gated(environ, start_response):
    """Items, with a gate before each but the first."""
    start_response("200 OK", PLAIN)
    yield b"item 0"
    for n in range(1, 4):
        pass_gate(environ["HTTP_X_GATE"])
        yield b"item %d" % n


def items_gated_length(environ, start_response):
    start_response("200 OK", [("Content-Length", "24")])
    for n in range(4):
        if n:
            pass_gate(environ["HTTP_X_GATE"])
        yield b"item %d" % n


def head_gated(environ, start_response):
    """An empty first item does not have to flush the headers; the first real one has to."""
    start_response("200 OK", PLAIN)
    yield b""
    pass_gate(environ["HTTP_X_GATE"])
    yield b"body"


def gated(environ, start_response):
    pass_gate(environ["HTTP_X_GATE"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def endless_gated(environ, start_response):
    """Announces itself at the gate, then goes on until nobody listens."""
    start_response("200 OK", PLAIN)

    def items():
        yield b"first"
        pass_gate(environ["HTTP_X_GATE"])
        while True:
            yield b"x" * 65536

    return Body(environ, items())


# Errors


def raises(environ, start_response):
    raise RuntimeError("raised by the application")


def raises_after_start(environ, start_response):
    start_response("200 OK", [*PLAIN, ("X-Secret", "1")])
    raise RuntimeError("raised by the application")


def raises_first(environ, start_response):
    start_response("200 OK", PLAIN)
    return Body(environ, [RuntimeError("raised by the application")])


def raises_later(environ, start_response):
    start_response("200 OK", PLAIN)
    return Body(environ, [b"hello", RuntimeError("raised by the application")])


def raises_later_length(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return Body(environ, [b"hello", RuntimeError("raised by the application")])


def raises_at_end_length(environ, start_response):
    """The whole body is out when it raises."""
    start_response("200 OK", [("Content-Length", "5")])
    return Body(environ, [b"hello", RuntimeError("raised by the application")])


def raises_in_close(environ, start_response):
    class Closing(Body):
        def close(self):
            super().close()
            raise RuntimeError("raised by close")

    start_response("200 OK", [("Content-Length", "5")])
    return Closing(environ, [b"hello"])


def raises_type(environ, start_response):
    kind = environ["QUERY_STRING"]
    builtins = __builtins__ if isinstance(__builtins__, dict) else vars(__builtins__)
    raise builtins[kind]("raised by the application")


def raises_type_later(environ, start_response):
    start_response("200 OK", PLAIN)
    kind = environ["QUERY_STRING"]
    builtins = __builtins__ if isinstance(__builtins__, dict) else vars(__builtins__)
    return Body(environ, [b"hello", builtins[kind]("raised by the application")])


def no_start(environ, start_response):
    return [b"hello"]


def no_start_empty(environ, start_response):
    return []


def no_start_generator(environ, start_response):
    return Body(environ, [b"hello"])


WRONG_BODIES = {
    "none": None,
    "int": 5,
    "str": "hello",
    "bytes": b"hello",
    "list-of-str": ["hello"],
    "list-of-int": [5],
    "list-of-none": [None],
    "list-of-list": [[b"hello"]],
    "object": object(),
}


def wrong_body(environ, start_response):
    start_response("200 OK", PLAIN)
    return WRONG_BODIES[environ["QUERY_STRING"]]


def wrong_item_later(environ, start_response):
    start_response("200 OK", PLAIN)
    return Body(environ, [b"hello", "text"])


# The rest of the environ


def errors(environ, start_response):
    stream = environ["wsgi.errors"]
    stream.write("one line of errors\n")
    stream.writelines(["second line\n", "third \xe9\u20ac\n"])
    print("by print", file=stream)
    stream.flush()
    return ok(environ, start_response)


def early_hints(environ, start_response):
    hints = environ["wsgi.early_hints"]
    hints([("Link", "</a.css>; rel=preload"), ("X-Hint", "1")])
    hints((("Link", "</b.css>; rel=preload"),))
    start_response("200 OK", [("Content-Length", "2")])
    return Body(environ, [b"ok"])


def early_hints_late(environ, start_response):
    writer = start_response("200 OK", [("Content-Length", "4")])
    writer(b"ok")
    environ["wsgi.early_hints"]([("Link", "</a.css>")])
    return [b"ok"]


BAD_HINTS = {
    "name": [("X A", "b")],
    "value": [("X-A", "b\r\nX-B: c")],
    "type": [(5, "b")],
}


def early_hints_bad(environ, start_response):
    environ["wsgi.early_hints"](BAD_HINTS[environ["QUERY_STRING"]])
    return ok(environ, start_response)


def modifies_environ(environ, start_response):
    """The environ is a dict of the application's own."""
    payload = json.dumps("mark" in environ).encode()
    environ.clear()
    environ["mark"] = "1"
    start_response("200 OK", [("Content-Length", str(len(payload)))])
    return [payload]


def keeps_environ(environ, start_response, kept=[]):  # noqa: B006
    """A request's environ outlives it."""
    kept.append(environ)
    payload = json.dumps([e["QUERY_STRING"] for e in kept]).encode()
    start_response("200 OK", [("Content-Length", str(len(payload)))])
    return [payload]
