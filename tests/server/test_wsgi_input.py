"""wsgi.input gives the body whatever way it is read and whatever way it was framed."""

import hashlib
import io
import json
import random

import pytest
from helpers.wire import chunked, render

LINES = b"first\nsecond line\n\n\r\nx" + b"long " * 3000 + b"\nlast without end"


def split(body, count):
    """The body in about so many pieces of unequal size."""
    cuts = sorted(random.Random(count).sample(range(1, len(body)), min(count, len(body) - 1)))
    edges = [0, *cuts, len(body)]
    return [body[a:b] for a, b in zip(edges, edges[1:], strict=False)]


def framed(framing, target, body):
    """A POST of the body in one of the framings."""
    if framing == "length":
        return render("POST", target, body=body)
    pieces = [body] if framing == "chunk" else split(body, 20)
    fields = [("Transfer-Encoding", "chunked")]
    return render("POST", target, fields, chunked(*filter(None, pieces)))


@pytest.fixture
def server(shared):
    return shared("inputs")


@pytest.fixture(params=["length", "chunk", "chunks"])
def framing(request):
    return request.param


def ask(server, framing, operations, body):
    """The results of the operations, as bytes."""
    with server.connect() as connection:
        connection.send(framed(framing, "/?" + ",".join(operations), body))
        response = connection.read_response()
    assert response.status == 200, response
    return json.loads(response.body)


def expected(operations, body):
    """The same operations on a file in memory."""
    stream = io.BytesIO(body)
    results = []
    for operation in operations:
        name, _, argument = operation.partition(":")
        arguments = [None if argument == "None" else int(argument)] if argument else []
        value = list(stream) if name == "iter" else getattr(stream, name)(*arguments)
        if isinstance(value, list):
            results.append([item.decode("latin-1") for item in value])
        else:
            results.append(value.decode("latin-1"))
    return results


OPERATIONS = [
    ["read"],
    ["read", "read", "readline", "readlines", "iter"],
    ["read:-1", "read:5"],
    ["read:None", "read"],
    ["read:0", "read:1", "read:5", "read:1000", "read:100000", "read:1"],
    ["readline", "readline", "readline", "readline", "readline", "readline", "readline"],
    ["readline:0", "readline:3", "readline:3", "readline:-1", "readline:None", "readline:20000"],
    ["readline:6", "readline:5", "readline:100000"],
    ["readlines"],
    ["iter"],
    ["read:3", "iter"],
    ["readline", "read:3", "readline", "read"],
    ["readline", "iter", "read"],
    ["read:7", "readlines", "read"],
]


@pytest.mark.parametrize("operations", OPERATIONS, ids=",".join)
def test_operations(server, framing, operations):
    assert ask(server, framing, operations, LINES) == expected(operations, LINES)


def test_operations_at_random(server, framing):
    choice = random.Random(framing)
    for _ in range(25):
        body = bytes(choice.choices(b"ab\n", k=choice.randrange(1, 3000)))
        operations = []
        for _ in range(choice.randrange(1, 12)):
            name = choice.choice(["read", "readline"])
            operations.append(f"{name}:{choice.choice([0, 1, 2, 7, 64, 1023, 1024, 1025])}")
        operations.append("readlines")
        assert ask(server, framing, operations, body) == expected(operations, body)


def test_next(server, framing):
    operations = ["next", "next", "next", "next", "next", "next", "next"]
    results = ask(server, framing, operations, LINES)
    assert results[:6] == expected(["readlines"], LINES)[0]
    assert results[6] == {"raised": "StopIteration"}


def test_readlines_with_hint(server, framing):
    """A hint may stop after the line that reaches it; no line is lost or cut."""
    first, rest = ask(server, framing, ["readlines:8", "readlines"], LINES)
    assert first + rest == expected(["readlines"], LINES)[0]
    assert first[0] == "first\n"


def test_wrong_arguments(server, framing):
    """What is not a size is a TypeError, and nothing is lost by it."""
    with server.connect() as connection:
        connection.send(framed(framing, "/?read:2,seek:0,read", b"hello"))
        results = json.loads(connection.read_response().body)
    assert results[0] == "he"
    assert results[2] == "llo"


def test_no_body(server):
    for method in ("GET", "POST"):
        with server.connect() as connection:
            connection.send(render(method, "/?read,readline,readlines,iter,read:5"))
            assert json.loads(connection.read_response().body) == ["", "", [], [], ""]


def test_empty_body(server):
    with server.connect() as connection:
        connection.send(render("POST", "/?read,readline:5,readlines", body=b""))
        assert json.loads(connection.read_response().body) == ["", "", []]


SIZES = [1, 1024, 8191, 8192, 65536, 262144, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 20 << 20]


@pytest.mark.parametrize("size", SIZES)
def test_sizes(server, framing, size):
    """Small bodies stay in memory, large ones go through a file: nobody can tell."""
    body = random.Random(size).randbytes(size)
    (result,) = ask(server, framing, ["digest:65536"], body)
    assert result == f"{size} {hashlib.sha256(body).hexdigest()}"


@pytest.mark.parametrize("step", [1000, 1 << 20, 100 << 20])
def test_large_by_steps(server, framing, step):
    body = random.Random(step).randbytes(3 << 20)
    (result,) = ask(server, framing, [f"digest:{step}"], body)
    assert result == f"{len(body)} {hashlib.sha256(body).hexdigest()}"


def test_large_by_lines(server, framing):
    """Lines that cross every boundary of the buffers."""
    lines = [b"%d " % n + b"x" * (n % 977) + b"\n" for n in range(5000)]
    body = b"".join(lines)
    (result,) = ask(server, framing, ["iter"], body)
    assert result == [line.decode() for line in lines]


def test_one_long_line(server, framing):
    body = b"x" * (3 << 20)
    (result, rest) = ask(server, framing, ["readline", "read"], body)
    assert (len(result), rest) == (len(body), "")


def test_byte_by_byte(server, framing):
    """A head and body that arrive in single bytes."""
    body = b"one\ntwo\n"
    with server.connect() as connection:
        connection.send_in_pieces(framed(framing, "/?readline,read", body))
        assert json.loads(connection.read_response().body) == ["one\n", "two\n"]


def test_many_tiny_chunks(server):
    body = bytes(range(256)) * 100
    data = chunked(*(body[n : n + 1] for n in range(len(body))))
    with server.connect() as connection:
        connection.send(render("POST", "/?digest:1000", [("Transfer-Encoding", "chunked")], data))
        (result,) = json.loads(connection.read_response().body)
    assert result == f"{len(body)} {hashlib.sha256(body).hexdigest()}"


def test_tmp_upload_dir(gunicorn, tmp_path):
    """A large body goes to tmp_upload_dir and leaves nothing there."""
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    config = tmp_path / "upload_config.py"
    config.write_text(f"tmp_upload_dir = {str(uploads)!r}\n")
    server = gunicorn("inputs", "-c", str(config))
    body = b"y" * (8 << 20)
    (result,) = ask(server, "length", ["digest:65536"], body)
    assert result.startswith(f"{len(body)} ")
    assert list(uploads.iterdir()) == []
