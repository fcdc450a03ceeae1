"""What Starlette and FastAPI need of an ASGI server; test_frameworks has the common application."""

from __future__ import annotations

import gzip
import json
import re
import signal
from pathlib import Path

import pytest
from helpers.server import Server, server_has
from helpers.websocket import WebSocket, handshake
from helpers.wire import render, wait_until

HERE = Path(__file__).resolve().parent
JSON = [("Content-Type", "application/json")]


def serve(directory, framework, *args):
    if not server_has(framework):
        pytest.skip(f"{framework} is not installed")
    options = ["-k", "asgi", "--pythonpath", str(HERE), *args, f"{framework}_app:app"]
    return Server(options, directory, expect_trouble=True).start()


@pytest.fixture(scope="module")
def starlette(tmp_path_factory):
    server = serve(tmp_path_factory.mktemp("starlette"), "starlette")
    yield server
    assert not server.close()


@pytest.fixture(scope="module")
def fastapi(tmp_path_factory):
    server = serve(tmp_path_factory.mktemp("fastapi"), "fastapi")
    yield server
    assert not server.close()


def done(server, *wanted):
    """Until the application has noted all of these."""
    wait_until(lambda: set(wanted) <= set(server.json(target="/done")), f"{wanted} are done")


@pytest.mark.parametrize("loop", ["auto", "asyncio"])
def test_libraries_find_their_loop_and_task(starlette, tmp_path, loop):
    server = starlette if loop == "auto" else serve(tmp_path, "starlette", "--asgi-loop", loop)
    for _ in range(2):
        answer = server.json(target="/tasks")
        assert answer.pop("passed")[0] == "wait_for"
        assert answer == {
            "library": "asyncio",
            "cancelled": True,
            "is_task": True,
            "variable": "unset",
            "state": "there",
        }
    if loop != "auto":
        assert not server.close()


def test_middleware_between(starlette):
    assert starlette.request().header("x-middleware") == "passed"


@pytest.mark.parametrize("sendfile", [True, False])
def test_compressing_middleware_before_a_file(starlette, tmp_path, sendfile):
    """It sends a file as it is, and says so; only what comes as bytes is compressed."""
    server = starlette if sendfile else serve(tmp_path, "starlette", "--no-sendfile")
    answer = server.request(target="/gzip/style.css", headers=[("Accept-Encoding", "gzip")])
    content = (HERE / "static" / "style.css").read_bytes()
    encoding, length = answer.header("content-encoding"), answer.header("content-length")
    if sendfile:
        assert (encoding, length, answer.body) == (None, str(len(content)), content)
    else:
        assert encoding == "gzip"
        assert gzip.decompress(answer.body) == content
        assert not server.close()


def test_events(starlette):
    with starlette.connect() as connection:
        connection.send(render(target="/events?number=3"))
        assert connection.read_head().header("content-type").startswith("text/event-stream")
        assert [connection.read_chunk() for _ in range(4)] == [
            *(b"data: %d\n\n" % n for n in range(3)),
            b"",
        ]


def test_events_end_with_their_client(starlette):
    """The generator's finally runs, and the log has no word of it."""
    before = starlette.json(target="/done").count("events")
    log = len(starlette.log)
    with starlette.connect() as connection:
        connection.send(render(target="/events"))
        connection.read_head()
        connection.read_chunk()
    wait_until(
        lambda: starlette.json(target="/done").count("events") > before, "the generator's end"
    )
    assert "Traceback" not in starlette.log[log:]


def test_events_end_with_the_server(tmp_path):
    """Endless answers are cancelled at graceful_timeout, and the worker is not killed."""
    server = serve(tmp_path, "starlette", "--graceful-timeout", "1")
    with server.connect() as connection:
        connection.send(render(target="/events"))
        connection.read_head()
        connection.read_chunk()
        server.kill(signal.SIGTERM)
        assert server.wait() == 0
    assert "was sent SIGKILL" not in server.log


def test_background_tasks(starlette):
    assert starlette.request(target="/background").body == b"begun"
    done(starlette, "first", "second")


def test_dependencies_and_models(fastapi):
    item = {"name": "pear", "price": 1.5}
    answer = fastapi.json("POST", "/items", JSON, json.dumps(item).encode())
    assert answer == {"item": item, "held": "a resource"}
    done(fastapi, "the resource is closed", "pear is kept")


def test_invalid_model(fastapi):
    response = fastapi.request("POST", "/items", JSON, b'{"name": 1}')
    assert response.status == 422


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_exception_behind_the_page_of_a_framework(framework, request):
    """The traceback is logged, once, with its request."""
    server = request.getfixturevalue(framework)
    log = len(server.log)
    assert server.request(target="/error").status == 500
    server.wait_for_log("RuntimeError: raised in a view")
    added = server.log[log:]
    assert added.count("RuntimeError: raised in a view") == 1
    assert re.search("Error .*GET /error", added)


def test_endpoint_of_starlette(starlette):
    with WebSocket.open(starlette, "/upper", [("Sec-WebSocket-Protocol", "a, b")]) as client:
        assert client.answer.header("Sec-WebSocket-Protocol") == "a"
        client.send(b"pear")
        assert client.receive()[1] == b"PEAR"
        client.close(4321)
    done(starlette, "closed with 4321")


@pytest.mark.parametrize("path, status", [("/denied", 401), ("/missing", 403)])
def test_refusals_of_starlette(starlette, path, status):
    with starlette.connect() as connection:
        connection.send(handshake(path))
        assert connection.read_response().status == status


def test_endpoint_of_fastapi(fastapi):
    """A disconnect that the endpoint does not catch is no error of its own."""
    log = len(fastapi.log)
    with WebSocket.open(fastapi, "/rooms/green") as client:
        client.send(b'"pear"')
        assert json.loads(client.receive()[1]) == {
            "room": "green",
            "held": "a resource",
            "message": "pear",
        }
        client.close()
    done(fastapi, "the resource is closed")
    assert "Traceback" not in fastapi.log[log:]


def test_endpoint_of_fastapi_that_raises(fastapi):
    with WebSocket.open(fastapi, "/rooms/green") as client:
        client.send(b'"raise"')
        assert client.answer_close()[0] == 1011
    fastapi.wait_for_log("Error in the WebSocket of GET /rooms/green.*raised in a room")
