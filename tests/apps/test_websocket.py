"""flask-sock on gunicorn: WebSockets over the socket that the environ carries."""

import base64
import os
import struct
import threading
from pathlib import Path

import pytest
from helpers.server import server_has
from helpers.tls import Authority, serve_tls
from helpers.wire import Closed, render

HERE = Path(__file__).resolve().parent

TEXT, CLOSE = 1, 8


@pytest.fixture(params=["http", "https"])
def server(request, gunicorn, tmp_path):
    if not server_has("flask_sock"):
        pytest.skip("flask-sock is not installed")
    args = ["sock_app:app", "--pythonpath", str(HERE), "--threads", "8"]
    if request.param == "http":
        return gunicorn(*args)
    authority = Authority(tmp_path)
    return serve_tls(gunicorn(*args, *authority.issue().args), authority.client())


class WebSocket:
    """Enough of RFC 6455 to be a client."""

    def __init__(self, server, path):
        self.connection = server.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        fields = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", key),
        ]
        self.connection.send(render(target=path, headers=fields))
        head = self.connection.read_head()
        assert head.status == 101
        assert head.header("Upgrade").lower() == "websocket"

    def send(self, payload, opcode=TEXT):
        assert len(payload) < 126
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
        self.connection.send(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)

    def receive(self):
        first, second = self.connection.read(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.connection.read(2))
        return first & 0xF, self.connection.read(size)

    def close(self):
        """Say goodbye, perhaps hear it, and see the end.

        The view ends when its library's thread has read our goodbye, which may be before that
        thread has answered it.
        """
        self.send(struct.pack("!H", 1000), CLOSE)
        try:
            assert self.receive()[0] == CLOSE
        except Closed:
            pass
        self.connection.expect_closed()
        self.connection.close()


def test_echo(server):
    ws = WebSocket(server, "/echo")
    for n in range(20):
        ws.send(b"message %d" % n)
        assert ws.receive() == (TEXT, b"echo: message %d" % n)
    ws.close()
    assert server.request().body == b"hello"


def test_server_ends(server):
    ws = WebSocket(server, "/three")
    assert [ws.receive() for _ in range(3)] == [(TEXT, b"0"), (TEXT, b"1"), (TEXT, b"2")]
    assert ws.receive()[0] == CLOSE
    ws.connection.close()
    assert server.request().body == b"hello"


def test_client_goes_away(server):
    for _ in range(10):
        ws = WebSocket(server, "/until-closed")
        ws.connection.abort()
    assert server.request().body == b"hello"


def test_beside_other_requests(server):
    """WebSockets that come and go disturb no other connection."""
    problems = []

    def chat(number):
        try:
            for _ in range(8):
                ws = WebSocket(server, "/echo")
                ws.send(b"from %d" % number)
                assert ws.receive() == (TEXT, b"echo: from %d" % number)
                ws.close()
        except Exception as e:
            problems.append(repr(e))

    def browse():
        try:
            with server.connect() as connection:
                for _ in range(150):
                    response = connection.request()
                    assert response.body == b"hello"
                    assert response.keeps_alive
        except Exception as e:
            problems.append(repr(e))

    threads = [threading.Thread(target=chat, args=(n,)) for n in range(4)]
    threads += [threading.Thread(target=browse) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not problems
