"""ASGI applications at random: messages in any order, wrong types, cancellations, exceptions.

Beside them clients that leave. A client gets what send() has accepted and nothing else, and the
worker goes on. `apps/scripted.py` does what a script says.
"""

from __future__ import annotations

import itertools
import os

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from helpers.server import Server
from helpers.websocket import BINARY, CLOSE, CONTINUATION, PING, TEXT, WebSocket, frame, handshake
from helpers.wire import Closed, WireError, chunked, render

SHORT = st.sampled_from([0.0, 0.01])

bodies = st.sampled_from([0, 1, 5, 5000, 200_000])  # bytes
#: Objects of `scripted.ODD`, of which each is wrong in its own way.
odd = st.sampled_from(["raises", "equal", "hashless", "buffer", "index", "text", "none", "nested"])
headers = st.lists(
    st.sampled_from(
        [
            (b"content-length", b"5"),
            (b"content-length", b"0"),
            (b"content-length", b"x"),
            (b"connection", b"close"),
            (b"transfer-encoding", b"chunked"),
            (b"x-a", b"1"),
            (b"x a", b"1"),
            ("x", "y"),
        ]
    ),
    max_size=3,
)
starts = st.fixed_dictionaries(
    {"type": st.just("http.response.start"), "status": st.sampled_from([200, 204, 304, 404, 99])},
    optional={"headers": headers, "trailers": st.booleans()},
)
parts = st.fixed_dictionaries(
    {"type": st.just("http.response.body")},
    optional={"body": bodies, "more_body": st.booleans()},
)
others = st.sampled_from(
    [
        {"type": "http.response.pathsend", "path": "/nonexistent"},
        {"type": "http.response.pathsend", "path": "/dev/null"},
        {"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]},
        {"type": "http.response.informational", "status": 103, "headers": []},
        {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]},
        {"type": "http.response.trailers", "headers": [(b"host", b"a")], "more_trailers": True},
        {"type": "http.response.zerocopysend", "file": 1},
        {"type": "http.disconnect"},
        {"type": "websocket.accept"},
        {},
    ]
)
messages = st.one_of(starts, parts, parts, others)
accepts = st.fixed_dictionaries(
    {"type": st.just("websocket.accept")},
    optional={"subprotocol": st.sampled_from(["a", "c", None]), "headers": headers},
)
frames = st.fixed_dictionaries(
    {"type": st.just("websocket.send")},
    optional={"text": st.sampled_from(["", "text", "t" * 70_000]), "bytes": bodies},
)
socket_others = st.sampled_from(
    [
        {"type": "websocket.close"},
        {"type": "websocket.close", "code": 3000, "reason": "r" * 200},
        {"type": "websocket.close", "code": 1005},
        {"type": "websocket.http.response.start", "status": 418, "headers": []},
        {"type": "websocket.http.response.body", "body": 5},
        {"type": "websocket.http.response.body", "body": 5, "more_body": True},
        {"type": "http.response.start", "status": 200},
    ]
)
socket_messages = st.one_of(accepts, frames, frames, socket_others)
EXCEPTIONS = (
    "ValueError", "OSError", "CancelledError", "GeneratorExit", "StopIteration", "BaseException",
    "Unprintable", "BaseExceptionGroup",
)  # fmt: skip


def steps_of(messages):
    """What an application may do, with these messages."""
    return st.one_of(
        st.tuples(st.just("send"), messages),
        st.tuples(st.just("send"), messages),
        st.tuples(st.just("forget"), messages),
        st.tuples(st.just("send_all"), st.lists(messages, max_size=3)),
        st.tuples(st.just("send_elsewhere"), messages),
        st.tuples(st.just("send_odd"), st.tuples(messages, st.integers(0, 3), odd)),
        st.tuples(st.just("send_within"), st.tuples(messages, messages)),
        st.tuples(st.just("send_by_hand"), messages),
        st.tuples(st.just("receive"), SHORT),
        st.tuples(st.just("receive_twice"), SHORT),
        st.tuples(st.just("receive_by_hand"), st.integers(0, 3)),
        st.tuples(st.just("pause"), SHORT),
        st.tuples(st.just("cancel"), st.none()),
        st.tuples(st.just("leave_behind"), messages),
        st.tuples(st.just("raise"), st.sampled_from(EXCEPTIONS)),
    )


def scripts_of(first, messages):
    steps = steps_of(messages)
    return st.one_of(
        st.lists(steps, max_size=6),
        st.tuples(st.tuples(st.just("send"), first), st.lists(steps, max_size=5)).map(
            lambda pair: [pair[0], *pair[1]]
        ),
    )


#: What a client does: method, body, framing of the body, and how far it goes.
clients = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.sampled_from([0, 10, 300_000]),
    st.sampled_from(["length", "chunked"]),
    st.sampled_from(["reads", "reads", "leaves", "resets", "half", "half-closes"]),
)
#: What a client of a WebSocket sends, and how it goes.
speeches = st.tuples(
    st.lists(
        st.sampled_from(
            [
                frame(TEXT, b"text"),
                frame(BINARY, bytes(70_000)),
                frame(TEXT, b"a", 0),
                frame(CONTINUATION, b"b", 0),
                frame(CONTINUATION, b"c"),
                frame(PING, b"?" * 125),
                frame(CLOSE, b"\x03\xe8"),
                frame(CLOSE),
                frame(TEXT, b"\xff"),
                b"\x81\x85mas",
                b"\xc1\x85mask" + b"\x00" * 5,
                b"\xff" * 20,
            ]
        ),
        max_size=4,
    ),
    st.sampled_from(["reads", "leaves", "resets", "half-closes"]),
    st.booleans(),
)


class Scripted:
    """Conversations with a server of `scripted:app`."""

    def __init__(self, server: Server):
        self.server = server
        self.numbers = itertools.count()
        self.pids = server.worker_pids()

    def converse(self, count: int, first_seed: int) -> None:
        """So many of each kind; a failing one is made as small as it gets."""
        options = settings(
            max_examples=count,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        seed(first_seed)(options(given(scripts_of(starts, messages), clients)(self.ask)))()
        scripts = scripts_of(accepts, socket_messages)
        seed(first_seed)(options(given(scripts, speeches)(self.talk)))()

    def ask(self, script, client) -> None:
        """One request, and another that finds the worker well."""
        method, size, framing, ending = client
        number = str(next(self.numbers))
        fields = [("X-Script", repr(script)), ("TE", "trailers")]
        body = os.urandom(size)
        if framing == "chunked":
            fields.append(("Transfer-Encoding", "chunked"))
            body = chunked(body) if size else chunked()
        data = render(method, f"/?{number}", fields, body)
        with self.server.connect() as connection:
            connection.send_if_open(data[: len(data) // 2] if ending == "half" else data)
            if ending == "reads":
                self.check(number, answer_to(connection, method), method)
            else:
                end(connection, ending)
        self.check_worker()

    def talk(self, script, speech) -> None:
        """The same of a WebSocket."""
        frames, ending, compressed = speech
        fields = [("X-Script", repr(script)), ("Sec-WebSocket-Protocol", "a, b")]
        if compressed:
            fields.append(("Sec-WebSocket-Extensions", "permessage-deflate"))
        with self.server.connect() as connection:
            connection.send_if_open(handshake(f"/?{next(self.numbers)}", fields) + b"".join(frames))
            if ending == "reads":
                read_to_close(connection)
            else:
                end(connection, ending)
        self.check_worker()

    def check_worker(self) -> None:
        assert self.server.request().body == b"hello"
        assert self.server.worker_pids() == self.pids

    def check(self, number, response, method) -> None:
        """The body is that of the messages that were accepted."""
        if response is None or response.status == 500:
            return
        accepted = self.server.json(target=f"/noted?{number}")
        sizes, ended = 0, False
        for kind, size, more in accepted:
            if kind == "http.response.body" and not ended:
                sizes += size
                ended = not more
            ended |= kind == "http.response.pathsend"
        no_body = method == "HEAD" or response.status in (204, 304)
        if ended and not no_body and len(response.body) != sizes:
            raise WireError(f"{len(response.body)} bytes came, {sizes} were sent: {accepted}")


def answer_to(connection, method):
    """The answer, or None where the connection ends without a whole one."""
    try:
        return connection.read_response(method)
    except Closed:
        return None


def end(connection, ending) -> None:
    if ending == "resets":
        connection.abort()
    elif ending == "half-closes":
        connection.end_of_input()


def read_to_close(connection) -> None:
    """The answer to a handshake, and what follows, to the end; it answers the server's close."""
    try:
        answer = connection.read_head()
        if answer.status != 101:
            return
        client = WebSocket(connection, answer)
        while client.receive_frame()[0] != CLOSE:
            client.connection.send_if_open(frame(CLOSE, b"\x03\xe8"))
        client.connection.send_if_open(frame(CLOSE, b"\x03\xe8"))
    except Closed:
        pass
