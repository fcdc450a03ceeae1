"""ASGI applications beside uvicorn: what they see, and what their clients get.

`make compare` runs this. Both give the same answer to each request, but for DIFFERENCES.
"""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from compare import asgi
from helpers.original import original_uvicorn
from helpers.server import Server, free_port
from helpers.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    HANDSHAKE,
    PING,
    TEXT,
    WebSocket,
    frame,
    handshake,
)
from helpers.wire import Closed, Connection, render, wait_until

SOCKET_APP = """
async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    path, message = scope["path"], await receive()
    assert message == {"type": "websocket.connect"}
    if path == "/refuse":
        return await send({"type": "websocket.close"})
    if path == "/raise":
        raise RuntimeError("on purpose")
    if path == "/deny":
        await send({"type": "websocket.http.response.start", "status": 418, "headers": []})
        return await send({"type": "websocket.http.response.body", "body": b"teapot"})
    names = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": names[0] if names else None})
    if path == "/close":
        await send({"type": "websocket.close", "code": 3001, "reason": "enough"})
    if path == "/return":
        return
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return print(message.get("code"), flush=True)
        if message.get("text") == "raise":
            raise RuntimeError("on purpose")
        await send({**message, "type": "websocket.send"})
"""


def altered(name: str, value: str) -> bytes:
    """A handshake with another value of a field."""
    fields = [(field, value if field == name else own) for field, own in HANDSHAKE]
    return render(headers=fields)


NEXT = b""  # the client takes a frame before it goes on
BYE = frame(CLOSE, b"\3\xe8")
#: The handshake, and the frames that follow it.
SOCKETS = {
    "echo": [handshake(), frame(TEXT, "ä".encode()), NEXT, frame(BINARY, b"\0"), NEXT, BYE],
    "pieces": [
        handshake(), frame(TEXT, b"a", 0), frame(PING, b"p"), NEXT, frame(CONTINUATION, b"b"), NEXT,
        BYE,
    ],
    "subprotocol": [handshake(headers=[("Sec-WebSocket-Protocol", "a, b")]), BYE],
    "no code": [handshake(), frame(CLOSE)],
    "reason": [handshake(), frame(CLOSE, b"\x0f\xa0bye")],
    "bad code": [handshake(), frame(CLOSE, b"\3\xed")],
    "no UTF-8": [handshake(), frame(TEXT, b"\xff")],
    "reserved bit": [handshake(), frame(TEXT, b"a", 0xC0)],
    "reserved opcode": [handshake(), frame(3)],
    "no mask": [handshake(), b"\x81\x01a"],
    "refused": [handshake("/refuse")],
    "denied": [handshake("/deny")],
    "raises": [handshake("/raise")],
    "closes": [handshake("/close")],
    "returns": [handshake("/return")],
    "raises open": [handshake(), frame(TEXT, b"raise")],
    "version": [altered("Sec-WebSocket-Version", "8")],
    "key": [altered("Sec-WebSocket-Key", "short")],
}  # fmt: skip

#: Kind, what the request, their answer and ours are about, and why.
DIFFERENCES = (
    ("targets", r"GET http://b\.example HTTP", "httptools refuses it; RFC 9110, 4.2.3 has a /"),
    ("targets", r"GET \* ", "RFC 9112, 3.2.4: for OPTIONS alone"),
    ("fields", r"X-A: \\t 1", "blanks around a value are no part of it"),
    ("fields", r"X_A", "forwarded headers could be forged by it: header_map"),
    ("fields", r"Host: b", "two Hosts: RFC 9112, 3.2"),
    ("bodies", r"Expect", "the body is there: nobody waits for 100 Continue"),
    ("bodies", r"X-T", "a trailer is no header: RFC 9110, 6.5.1"),
    ("bodies", r"POST / HTTP/1\.0", "Transfer-Encoding is none of HTTP/1.0's"),
    ("answers", r"GET /\?(204|304)", "uvicorn drops the request behind it, or sends a body"),
    ("answers", r"GET /\?(long|injected)", "an error of the application, before anything is sent"),
    ("answers", r"HTTP/1\.0", "uvicorn answers in HTTP/1.1, with chunks"),
    ("answers", r"HTTP/(1\.2|2\.0)", "as our other workers"),
    ("websockets", r"returns|raises open", "uvicorn sends no close frame: 1000 and 1011"),
    ("websockets", r"version", "RFC 6455, 4.4: 426 names the version"),
)


class Uvicorn:
    """One that serves `application:app` of a directory."""

    def __init__(self, directory: Path):
        self.address = ("127.0.0.1", free_port())
        port = str(self.address[1])
        command = [*original_uvicorn(), "application:app", "--port", port, "--no-access-log"]
        with (directory / "uvicorn.log").open("w") as log:
            self.process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
        wait_until(self._listens, "uvicorn listens")

    def _listens(self) -> bool:
        assert self.process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(self.address) == 0

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def both(tmp_path):
    """both(code): the addresses of uvicorn and of ours, which serve the same application."""
    servers = []

    def start(code):
        (tmp_path / "application.py").write_text(code)
        servers.append(Uvicorn(tmp_path))
        ours = Server(["-k", "asgi", "application:app"], tmp_path, expect_trouble=True).start()
        servers.append(ours)
        return [server.address for server in servers]

    yield start
    for server in servers:
        server.close()


def assert_alike(kind, about, theirs, ours):
    """Equal, or one of DIFFERENCES."""
    if theirs == ours:
        return
    text = f"{about}\n{theirs}\n{ours}"
    known = [why for at, pattern, why in DIFFERENCES if at == kind and re.search(pattern, text)]
    assert known, f"uvicorn and ours differ: {text}"


@pytest.mark.parametrize("kind", asgi.REQUESTS)
def test_requests(both, kind):
    addresses = both(asgi.APP)
    for data in asgi.REQUESTS[kind]:
        stages = [SimpleNamespace(port=address[1]) for address in addresses]
        answers = [asgi.shown(asgi.conversation(stage, data)) for stage in stages]
        assert_alike(kind, repr(data), *answers)


def test_websockets(both):
    addresses = both(SOCKET_APP)
    for name, data in SOCKETS.items():
        assert_alike("websockets", name, *(heard(address, data) for address in addresses))


def heard(address, steps) -> str:
    """The answer to a handshake and to the frames behind it, up to the end."""
    with Connection(address) as connection:
        connection.send(steps[0])
        answer = connection.read_head()
        told = [f"{answer.status} {answer.header('sec-websocket-protocol')}"]
        if answer.status != 101:
            return told[0]
        client = WebSocket(connection, answer)
        try:
            for step in steps[1:]:
                if step == NEXT:
                    told.append(shown(client.receive_frame()))
                else:
                    connection.send_if_open(step)
            while not told[-1].startswith("close"):
                told.append(shown(client.receive_frame()))
        except Closed:
            told.append("closed")
    return " | ".join(told)


def shown(received) -> str:
    """A frame; of a close the code alone."""
    opcode, payload, last = received
    return f"close {payload[:2]!r}" if opcode == CLOSE else f"{opcode} {payload!r} {last}"
