"""wsgi.file_wrapper: the bytes of the file and no others, whatever kind of file it is."""

import json
import random
import uuid

import pytest
from helpers.wire import wait_until


@pytest.fixture(params=[(), ("--no-sendfile",)], ids=["sendfile", "no-sendfile"])
def server(request, shared):
    return shared("files", *request.param)


@pytest.fixture
def file(tmp_path):
    """make(size): a file of so many bytes, and its content."""

    def make(size, seed=1):
        path = tmp_path / f"file-{size}"
        content = random.Random(seed).randbytes(size)
        path.write_bytes(content)
        return path, content

    return make


def fetch(server, path, file, method="GET", version="1.1", **headers):
    fields = [("X-File", str(file))]
    fields += [(name.replace("_", "-"), str(value)) for name, value in headers.items()]
    return server.request(method, f"/{path}", fields, version=version)


KINDS = ["plain", "block_size", "unbuffered", "memory", "only_read", "bad_fileno", "unlinked"]


@pytest.mark.parametrize("kind", [*KINDS, "iterated", "indirect"])
@pytest.mark.parametrize("size", [0, 1, 8191, 100_000])
def test_file(server, file, kind, size):
    path, content = file(size)
    response = fetch(server, kind, path)
    assert response.status == 200
    assert response.body == content


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_file_with_length(server, file, kind, size):
    path, content = file(size)
    response = fetch(server, kind, path, X_Length=size)
    assert response.header("Content-Length") == str(size)
    assert response.chunks is None
    assert response.body == content


@pytest.mark.parametrize("kind", KINDS)
def test_file_longer_than_its_length(server, file, kind):
    path, content = file(10_000)
    assert fetch(server, kind, path, X_Length=1234).body == content[:1234]


@pytest.mark.parametrize("kind", ["shrinks", "plain"])
def test_file_shorter_than_its_length(server, file, kind):
    """The connection ends where the file does."""
    path, content = file(50)
    request = f"GET /{kind} HTTP/1.1\r\nHost: a\r\nX-File: {path}\r\nX-Length: 100\r\n\r\n"
    with server.connect() as connection:
        connection.send(request.encode())
        assert connection.read_head().header("Content-Length") == "100"
        assert connection.read_to_end() == (b"short" if kind == "shrinks" else content)


@pytest.mark.parametrize("kind", ["offset", "read_before"])
@pytest.mark.parametrize("at", [0, 1, 5000, 100_000])
def test_offset(server, file, kind, at):
    path, content = file(100_000)
    assert fetch(server, f"{kind}?{at}", path).body == content[at:]


@pytest.mark.parametrize("kind", ["offset", "read_before"])
def test_offset_and_length(server, file, kind):
    """A range of a file, as static file applications answer one."""
    path, content = file(100_000)
    response = fetch(server, f"{kind}?5000", path, X_Length=100, X_Status="206 Partial Content")
    assert response.status == 206
    assert response.body == content[5000:5100]


def test_offset_past_the_end(server, file):
    path, _ = file(100)
    assert fetch(server, "offset?200", path).body == b""


def test_large_file(server, file):
    path, content = file(20 << 20)
    assert fetch(server, "plain", path).body == content
    assert fetch(server, "plain", path, X_Length=len(content)).body == content


@pytest.mark.parametrize("length", [None, 14])
def test_pipe(server, file, length):
    headers = {} if length is None else {"X_Length": length}
    assert fetch(server, "pipe", "/dev/null", **headers).body == b"through a pipe"


@pytest.mark.parametrize("kind", ["plain", "memory"])
@pytest.mark.parametrize("length", [None, 100])
def test_head(server, file, kind, length):
    path, _ = file(100)
    headers = {} if length is None else {"X_Length": length}
    response = fetch(server, kind, path, "HEAD", **headers)
    assert response.status == 200
    assert response.header("Content-Length") == (None if length is None else "100")


@pytest.mark.parametrize("kind", ["plain", "memory"])
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_body(server, file, kind, status):
    path, _ = file(100)
    response = fetch(server, kind, path, X_Status=status)
    assert response.status == int(status[:3])


@pytest.mark.parametrize("kind", ["plain", "memory"])
def test_http_1_0(server, file, kind):
    path, content = file(50_000)
    response = fetch(server, kind, path, version="1.0")
    assert response.chunks is None
    assert response.body == content


def test_kept_alive(server, file):
    """Files on one connection, with and without length, an empty one between."""
    path, content = file(10_000)
    empty, _ = file(0)
    with server.connect() as connection:
        for name, wanted, length in [
            (path, content, None),
            (empty, b"", None),
            (path, content, len(content)),
            (empty, b"", 0),
            (path, content, None),
        ]:
            fields = [("X-File", str(name))]
            if length is not None:
                fields.append(("X-Length", str(length)))
            response = connection.request("GET", "/plain", fields)
            assert response.body == wanted
            assert response.keeps_alive


def test_a_file_for_head_is_warned_of_as_any_body_is(server, file):
    start = len(server.log)
    path, _content = file(100)
    assert fetch(server, "plain", path, "HEAD").body == b""
    wait_until(
        lambda: "body bytes on a no-body response (method=HEAD" in server.log[start:],
        lambda: f"the warning\n{server.log[start:]}",
    )


@pytest.mark.parametrize("size", [0, 100_000])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_closed_once(server, file, size, method):
    path, _ = file(size)
    name = uuid.uuid4().hex
    fetch(server, f"counted?{name}", path, method)
    wait_until(lambda: closes(server).count(name) == 1, "the file is closed")
    fetch(server, "plain", path)  # all of the first request is over by then
    assert closes(server).count(name) == 1


def closes(server):
    return json.loads(server.request(target="/closed").body)[0]


def test_closed_when_the_client_has_gone(server, file):
    path, _ = file(20 << 20)
    name = uuid.uuid4().hex
    request = f"GET /counted?{name} HTTP/1.1\r\nHost: a\r\nX-File: {path}\r\n\r\n"
    with server.connect(receive_buffer=4096) as connection:
        connection.send(request.encode())
        assert connection.read_head().status == 200
        connection.abort()
    wait_until(lambda: closes(server).count(name) == 1, "the file is closed")


def test_no_descriptor_is_lost(server, file):
    path, _ = file(1000)
    fetch(server, "plain", path)

    def descriptors():
        return json.loads(server.request(target="/closed").body)[1]

    before = descriptors()
    for kind in [*KINDS, "pipe", "counted?x", "offset?5"] * 5:
        fetch(server, kind, path)
    wait_until(lambda: descriptors() <= before + 2, "all descriptors are closed")


def test_wrapper_attributes(server, file):
    path, _ = file(10)
    response = fetch(server, "wrapper_attributes", path)
    assert json.loads(response.body) == [True, 123, True, True, True]


def test_file_without_close(server, file):
    assert fetch(server, "no_close", "/dev/null").body == b"no close"
