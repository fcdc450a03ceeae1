"""ASGI applications at random: messages in any order, cancellations, exceptions.

The client gets what send() has accepted and nothing else, and the worker goes on.
`make fuzz` goes on for longer.
"""

from __future__ import annotations

import itertools
import os

from helpers.server import Server
from helpers.wire import Closed, WireError, chunked, render
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

COUNT = int(os.environ.get("GENERATED", "150"))
SHORT = st.sampled_from([0.0, 0.01])

bodies = st.sampled_from([0, 1, 5, 5000, 200_000])  # bytes
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
steps = st.one_of(
    st.tuples(st.just("send"), messages),
    st.tuples(st.just("send"), parts),
    st.tuples(st.just("forget"), messages),
    st.tuples(st.just("send_all"), st.lists(messages, max_size=3)),
    st.tuples(st.just("receive"), SHORT),
    st.tuples(st.just("receive_twice"), SHORT),
    st.tuples(st.just("pause"), SHORT),
    st.tuples(st.just("cancel"), st.none()),
    st.tuples(st.just("raise"), st.sampled_from(["ValueError", "OSError", "CancelledError"])),
)
scripts = st.one_of(
    st.lists(steps, max_size=6),
    st.tuples(st.tuples(st.just("send"), starts), st.lists(steps, max_size=5)).map(
        lambda pair: [pair[0], *pair[1]]
    ),
)
#: What a client does: method, body, framing of the body, and how far it goes.
clients = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.sampled_from([0, 10, 300_000]),
    st.sampled_from(["length", "chunked"]),
    st.sampled_from(["reads", "reads", "leaves", "resets", "half"]),
)


def test_generated_asgi_applications(tmp_path):
    one = Server(["-k", "asgi", "scripted:app"], tmp_path, expect_trouble=True)
    one.start()
    numbers = itertools.count()
    pids = one.worker_pids()

    @settings(
        max_examples=COUNT, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(scripts, clients)
    def run(script, client):
        converse(one, str(next(numbers)), script, *client)
        assert one.worker_pids() == pids

    run()
    assert not one.close()


def converse(server, number, script, method, size, framing, ending):
    """One request, and another that finds the worker well."""
    with server.connect() as connection:
        fields = [("X-Script", repr(script)), ("TE", "trailers")]
        body = bytes(size)
        if framing == "chunked":
            fields.append(("Transfer-Encoding", "chunked"))
            body = chunked(body) if size else chunked()
        data = render(method, f"/?{number}", fields, body)
        connection.send_if_open(data[: len(data) // 2] if ending == "half" else data)
        if ending == "resets":
            connection.abort()
        elif ending == "reads":
            check(server, number, answer_to(connection, method), method)
    assert server.request().body == b"hello"


def answer_to(connection, method):
    """The answer, or None where the connection ends without a whole one."""
    try:
        return connection.read_response(method)
    except Closed:
        return None


def check(server, number, response, method):
    """The body is that of the messages that were accepted."""
    if response is None or response.status == 500:
        return
    accepted = server.json(target=f"/noted?{number}")
    sizes, ended = 0, False
    for kind, size, more in accepted:
        if kind == "http.response.body" and not ended:
            sizes += size
            ended = not more
        ended |= kind == "http.response.pathsend"
    no_body = method == "HEAD" or response.status in (204, 304)
    if ended and not no_body and len(response.body) != sizes:
        raise WireError(f"{len(response.body)} bytes came, {sizes} were sent: {accepted}")
