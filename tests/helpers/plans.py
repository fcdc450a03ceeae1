"""Applications and requests at random, and what must come over the wire for them.

A plan is what the application of apps/planned.py does for one request. `expect()` works out, by
PEP 3333 and RFC 9112 alone, which answer that gives.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from hypothesis import strategies as st

from helpers.wire import Closed, Connection, WireError, chunked, render

# What a server keeps to itself (RFC 9110 section 7.6.1; PEP 3333, Server and Date).
DROPPED = {
    "connection", "date", "keep-alive", "proxy-authenticate", "proxy-authorization", "server",
    "te", "trailer", "trailers", "transfer-encoding", "upgrade",
}  # fmt: skip

STATUS = re.compile(r"[1-9][0-9]{2}( [\t \x21-\x7e\x80-\xff]*)?")
NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE = re.compile(r"[\t \x21-\x7e\x80-\xff]*")
LENGTH_MAX = 2**64 - 1


class Refused(Exception):
    """The application gets an exception from the server."""


class Raised(Exception):
    """The application raises one itself."""


@dataclass
class Answer:
    """What the client must see of one request."""

    status: int = 500
    headers: list[tuple[str, str]] | None = None  # None: an error page's
    body: bytes = b""
    whole: bool = True  # else it is cut, and so is the connection
    closes: bool = False  # whatever the answer says
    hints: int = 0
    framing: str = "length"  # or "chunks", "close", "none"


@dataclass
class Model:
    """A response as the server has it."""

    request: Request
    status: int = 0
    started: bool = False
    sent_head: bool = False
    finished: bool = False
    can_write: bool = False  # the application has got write()
    length: int | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    hints: int = 0

    @property
    def no_body(self) -> bool:
        return self.request.method == "HEAD" or self.status < 200 or self.status in (204, 304)

    @property
    def framing(self) -> str:
        if self.no_body:
            return "none"
        if self.length is not None:
            return "length"
        return "close" if self.request.version == "1.0" else "chunks"

    @property
    def is_whole(self) -> bool:
        """Whether a client can take what was sent for the whole."""
        if self.framing == "length":
            return len(self.body) == self.length
        return self.framing != "chunks" or self.finished

    # Each method is a call of the server by the application.

    def start(self, status, headers, again) -> None:
        pairs = _pairs(headers)
        if self.started and not again:
            raise Refused
        if again and self.sent_head:
            raise Refused
        self.started, self.length, self.headers = False, None, []
        if not isinstance(status, str) or not STATUS.fullmatch(status):
            raise Refused
        self.status = int(status[:3])
        for name, value in pairs:
            self.add(name, value)
        self.started = self.can_write = True

    def add(self, name, value) -> None:
        if not _is_header(name, value):
            raise Refused
        value = value.strip(" \t")
        if name.lower() == "content-length":
            if not re.fullmatch("[0-9]+", value) or int(value) > LENGTH_MAX:
                raise Refused
            if self.length is not None and self.length != int(value):
                raise Refused
            again, self.length = self.length is not None, int(value)
            if again or self.status < 200 or self.status == 204:
                return
        elif name.lower() == "upgrade" and value.lower() == "websocket":
            pass
        elif name.lower() in DROPPED:
            return
        self.headers.append((name, value))

    def hint(self, headers) -> None:
        if self.sent_head or self.request.version == "1.0":
            return
        for name, value in _pairs(headers, loose=True):
            if not _is_header(_decoded(name), _decoded(value)):
                raise Refused
        self.hints += 1

    def send(self, value, last=False) -> None:
        kind, n = value
        if kind not in ("bytes", "subclass"):
            raise Refused
        if not self.started:
            if n:
                raise Refused
            return
        if self.finished and n:
            raise Refused
        if n == 0 and not (last and not self.sent_head):
            return
        self.put(n)
        self.finished |= last and self.framing == "chunks"

    def put(self, n) -> None:
        self.sent_head = True
        data = self.request.letter * n
        if self.no_body:
            data = b""
        elif self.length is not None:
            data = data[: self.length - len(self.body)]
        self.body += data

    def finish(self) -> None:
        if not self.started:
            raise Refused
        self.sent_head = True
        short = self.length is not None and len(self.body) != self.length
        self.finished = self.no_body or not short


def _decoded(value):
    return bytes(value).decode("latin-1") if isinstance(value, (list, bytes)) else value


def _is_header(name, value) -> bool:
    if not isinstance(name, str) or not isinstance(value, str):
        return False
    return bool(NAME.fullmatch(name) and VALUE.fullmatch(value.strip(" \t")))


def _pairs(headers, loose=False):
    """`loose`: early hints take whatever unpacks into two."""
    shape, pairs = headers["shape"], [tuple(pair) for pair in headers["pairs"]]
    if shape in ("none", "int") or (shape == "triples" and pairs):
        raise Refused
    if shape == "strings" and pairs:
        if not loose:
            raise Refused
        return [("a", "b")]
    if shape == "items":
        return list(dict.fromkeys((_hashable(n), _hashable(v)) for n, v in pairs))
    return pairs


def _hashable(value):
    return bytes(value) if isinstance(value, list) else value


@dataclass
class Request:
    """One request, with the plan for its application."""

    number: int
    method: str
    version: str
    body: bytes | None
    pieces: int  # of a chunked body; 0: it has a length
    keep_alive: bool
    plan: dict

    @property
    def letter(self) -> bytes:
        return b"%c" % (ord("a") + self.number % 26)

    def render(self) -> bytes:
        plan = {**self.plan, "id": self.number, "body": (self.body or b"").decode()}
        headers = [("Host", "example.com"), ("X-Plan", json.dumps(plan))]
        if self.version == "1.0" and self.keep_alive:
            headers.append(("Connection", "keep-alive"))
        if self.version != "1.0" and not self.keep_alive:
            headers.append(("Connection", "close"))
        body = self.body
        if body and self.pieces and self.version != "1.0":
            size = len(body) // self.pieces + 1
            parts = [body[at : at + size] for at in range(0, len(body), size)]
            headers.append(("Transfer-Encoding", "chunked"))
            return render(self.method, "/plan", headers, None) + chunked(*parts)
        return render(self.method, "/plan", headers, body, self.version)


# ---- at random ----

ODD = "aZ09 -:;,\t\r\n\0\x1b\x7f\x80\xa0\xe9\u20ac\U0001f409\ud800"
odd_text = st.text(st.sampled_from(ODD), max_size=8)
other_types = st.one_of(st.none(), st.integers(-5, 300), st.just([65, 66]))
statuses = st.one_of(
    st.sampled_from([
        "200 OK", "200", "200 ", "201 Created", "204 No Content", "304 Not Modified", "404 \xe9",
        "500 Internal Server Error", "599 a\tb", "100 Continue", "103 Early Hints",
        "101 Switching Protocols", "999 x", "099 x", "20", "2000 x", "200OK",
        "\u0662\u0660\u0660 x",
    ]),
    st.builds("{} {}".format, st.integers(100, 999), odd_text),
    odd_text,
    other_types,
)  # fmt: skip
names = st.one_of(
    st.sampled_from([
        "X-A", "X-B", "Content-Type", "Set-Cookie", "x", "Server", "date", "Connection", "TE",
        "Transfer-Encoding", "Upgrade", "Trailer", "trailers", "Keep-Alive", "Proxy-Authenticate",
    ]),
    odd_text,
    other_types,
)  # fmt: skip
values = st.one_of(
    st.sampled_from(["b", "", " b ", "a\tb", "close", "upgrade", "websocket", "chunked", "\xe9"]),
    odd_text,
    other_types,
)
lengths = st.one_of(
    st.sampled_from([0, 1, 2, 10, 20, 100, 1000, 1010, 9000, 70000]).map(str),
    st.sampled_from(
        ["-1", "+1", "", " 5 ", "1,1", "5 5", "\xb2", "1_0", str(2**64), str(2**64 - 1)]
    ),
)
pairs = st.one_of(
    st.tuples(st.just("X-A"), st.sampled_from(["b", "c"])),
    st.tuples(st.sampled_from(["Content-Length", "content-length"]), lengths),
    st.tuples(names, values),
).map(list)
good_pairs = st.one_of(
    st.tuples(st.sampled_from(["X-A", "X-B", "Set-Cookie"]), st.sampled_from(["b", "c=d", ""])),
    st.tuples(st.just("Content-Length"), st.sampled_from(["0", "1", "10", "20", "1000", "1010"])),
).map(list)
shapes = st.sampled_from([
    "list", "list", "list", "list", "list", "tuple", "lists", "generator", "items", "triples",
    "strings", "none", "int",
])  # fmt: skip
good_headers = st.fixed_dictionaries(
    {"shape": st.just("list"), "pairs": st.lists(good_pairs, max_size=3)}
)
any_headers = st.fixed_dictionaries({"shape": shapes, "pairs": st.lists(pairs, max_size=4)})
good_start = st.tuples(
    st.just("start"),
    st.sampled_from(["200 OK", "404 Not Found", "204 No Content", "304 Not Modified"]),
    good_headers,
    st.booleans(),
)
odd_start = st.one_of(
    st.tuples(st.just("start"), statuses, good_headers, st.booleans()),
    st.tuples(st.just("start"), st.just("200 OK"), any_headers, st.booleans()),
)
any_start = st.tuples(st.just("start"), statuses, any_headers, st.booleans())
sizes = st.sampled_from([0, 1, 2, 3, 5, 10, 10, 20, 100, 1000, 9000, 70000, 300000])
good_values = st.tuples(st.just("bytes"), sizes)
any_values = st.tuples(
    st.sampled_from(["subclass", "str", "none", "int", "bytearray", "memoryview", "list"]),
    st.integers(0, 5),
)
body_values = st.one_of(good_values, good_values, good_values, any_values)
errors = st.sampled_from([
    "ValueError", "KeyError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "StopIteration",
    "MemoryError", "BrokenPipeError", "RecursionError", "Failure",
])  # fmt: skip
simple_steps = st.one_of(
    good_start,
    any_start,
    st.tuples(st.just("write"), body_values),
    st.tuples(st.just("hints"), st.one_of(good_headers, any_headers)),
    st.tuples(st.just("raise"), errors),
    st.tuples(
        st.just("read"),
        st.sampled_from(["read", "line", "lines", "iterate", "badly"]),
        st.sampled_from([-1, 0, 1, 5, 100, 100000]),
    ),
    st.sampled_from([("keep",), ("late",)]),
)
steps = st.one_of(simple_steps, st.tuples(st.just("try"), simple_steps))
items = st.one_of(
    st.tuples(st.just("item"), body_values),
    st.tuples(st.just("item"), body_values),
    st.tuples(st.just("item"), body_values),
    steps,
)
plans = st.fixed_dictionaries(
    {
        "before": st.one_of(
            st.tuples(good_start).map(list),
            st.tuples(odd_start).map(list),
            st.builds(lambda start, more: [start, *more], good_start, st.lists(steps, max_size=3)),
            st.lists(steps, max_size=4),
        ),
        "result": st.sampled_from([
            "list", "list", "tuple", "list_subclass", "generator", "generator", "iterator",
            "iterable", "file", "odd_file", "text_file", "no_iterator", "bad_iter", "none", "int",
            "str", "bytes",
        ]),
        "items": st.lists(items, max_size=4),
        "close": st.one_of(st.just([]), st.lists(steps, max_size=2)),
    }
)  # fmt: skip
bodies = st.one_of(
    st.none(),
    st.sampled_from([0, 1, 10, 5000, 100000]).map(lambda n: (b"line\n" * (n // 5 + 1))[:n]),
)


@st.composite
def conversations(draw) -> list[Request]:
    """Requests of one connection; each has a letter of its own, which its body consists of."""
    count = draw(st.integers(1, 4))
    first = draw(st.integers(0, 25))
    return [
        Request(
            number=first + i,
            method=draw(st.sampled_from(["GET", "GET", "HEAD", "POST", "PUT", "OPTIONS"])),
            version=draw(st.sampled_from(["1.1", "1.1", "1.1", "1.0"])),
            body=draw(bodies),
            pieces=draw(st.sampled_from([0, 0, 1, 3])),
            keep_alive=draw(st.sampled_from([True, True, True, False])),
            plan=draw(plans),
        )
        for i in range(count)
    ]


# ---- what a plan comes to ----


def _do(model: Model, step) -> None:
    kind = step[0]
    if kind == "start":
        model.start(*step[1:])
    elif kind == "try":
        try:
            _do(model, step[1])
        except Refused:
            pass
        except Raised as exc:
            if exc.args[0] in ("SystemExit", "KeyboardInterrupt", "GeneratorExit"):
                raise
    elif kind == "write":
        if not model.can_write:
            raise Raised("LookupError")
        model.send(step[1])
    elif kind == "hints":
        model.hint(step[1])
    elif kind == "raise":
        raise Raised(step[1])
    elif kind == "read" and step[1] == "badly":
        raise Refused


def _iterate(model: Model, plan, kind) -> None:
    for step in plan["items"]:
        if step[0] == "item":
            model.send(step[1])
            continue
        try:
            _do(model, step)
        except Raised as exc:
            if kind == "iterator" and exc.args[0] == "StopIteration":
                return
            raise


def _send_file(model: Model, plan, kind) -> None:
    n = sum(step[1][1] for step in plan["items"] if step[0] == "item" and _is_bytes(step[1]))
    if n:
        model.send(("bytes", n))
    if kind == "text_file":
        raise Refused


def _is_bytes(value) -> bool:
    return value[0] in ("bytes", "subclass")


def _send_all(model: Model, plan) -> None:
    kind = plan["result"]
    values = [step[1] for step in plan["items"] if step[0] == "item"]
    if kind in ("list", "tuple"):
        for i, value in enumerate(values):
            model.send(value, last=i == len(values) - 1)
    elif kind == "list_subclass":
        for value in values:
            model.send(value)
    elif kind in ("generator", "iterator", "iterable"):
        _iterate(model, plan, kind)
    elif kind in ("file", "odd_file", "text_file"):
        _send_file(model, plan, kind)
    elif kind in ("str", "bytes"):
        if any(_is_bytes(value) and value[1] for value in values):
            raise Refused
    else:
        raise Refused


CLOSABLE = (
    "list_subclass", "iterator", "iterable", "no_iterator", "bad_iter", "file", "odd_file",
    "text_file",
)  # fmt: skip


def _run(model: Model, plan) -> bool:
    """Whether all went well."""
    try:
        for step in plan["before"]:
            _do(model, step)
    except (Refused, Raised):
        return False
    well = True
    try:
        _send_all(model, plan)
        model.finish()
    except (Refused, Raised):
        well = False
    if plan["result"] in CLOSABLE:
        try:
            for step in plan["close"]:
                _do(model, step)
        except (Refused, Raised):
            well = False
    return well


def expect(request: Request) -> Answer:
    """The answer to a request."""
    model = Model(request)
    well = _run(model, request.plan)
    if not model.sent_head:
        framing = "none" if request.method == "HEAD" else "length"
        return Answer(hints=model.hints, closes=True, framing=framing)
    return Answer(
        status=model.status,
        headers=model.headers,
        body=model.body,
        whole=model.is_whole,
        closes=not well or not model.finished or model.status < 200,
        hints=model.hints,
        framing=model.framing,
    )


# ---- what comes ----


def converse(connection: Connection, requests: list[Request], pipelined: bool) -> None:
    """Send requests and compare the answers. The connection is of no use after."""
    if pipelined and not connection.send_if_open(b"".join(r.render() for r in requests)):
        raise WireError("closed while requests were sent")
    for request in requests:
        if not pipelined:
            connection.send(request.render())
        if not _receive(connection, request, expect(request)):
            connection.expect_closed()
            return


def _receive(connection: Connection, request: Request, answer: Answer) -> bool:
    """Whether the connection goes on after an answer."""
    response = connection.read_head()
    hints = 0
    while response.status == 103 and (hints < answer.hints or answer.status != 103):
        hints += 1
        response = connection.read_head()
    assert hints == answer.hints, f"{hints} early hints, not {answer.hints}: {request}"
    assert response.status == answer.status, f"{response}, not {answer}: {request}"
    if answer.headers is None:
        assert not response.keeps_alive, response
    else:
        _compare_headers(request, response, answer)
    _receive_body(connection, request, response, answer)
    return answer.whole and not answer.closes and response.keeps_alive


def _compare_headers(request, response, answer) -> None:
    own = ["Server", "Date", "Connection"]
    own += ["Transfer-Encoding"] if answer.framing == "chunks" else []
    assert [name for name, _ in response.headers[: len(own)]] == own, response
    theirs = response.headers[len(own) :]
    assert theirs == answer.headers, f"{theirs}, not {answer.headers}: {request}"


def _receive_body(connection, request, response, answer) -> None:
    body, whole = b"", True
    try:
        if answer.framing == "chunks":
            while chunk := connection.read_chunk():
                body += chunk
        elif answer.framing == "length":
            body = connection.read(int(response.header("Content-Length")))
        elif answer.framing == "close":
            assert not response.keeps_alive, response
            body = connection.read_to_end()
    except Closed:
        whole = False
        body += bytes(connection.buffer) if answer.framing == "length" else b""
        connection.buffer.clear()
    assert whole == answer.whole, f"whole: {whole}, not {answer.whole}: {request}"
    if answer.headers is None:
        assert answer.framing == "none" or b"Internal Server Error" in body, body
    else:
        assert body == answer.body, f"{body!r}, not {answer.body!r}: {request}"
