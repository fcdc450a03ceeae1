"""The demo, the engine without Python, under valgrind: no error, no leak, nothing left open."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from helpers.tls import Authority, TlsConnection
from helpers.wire import Connection, chunked, render, wait_until

pytestmark = [
    pytest.mark.skipif("ECHO" not in os.environ, reason="it takes minutes: make valgrind"),
    pytest.mark.slow,
]

#: Valgrind makes all of it some thirty times slower.
PATIENCE = 60.0
BODY = b"0123456789abcdef" * (3 << 16)  # 3 MiB: more than is kept in memory, either way
SUPPRESSIONS = Path(__file__).resolve().parents[2] / "tools" / "valgrind.supp"
CHUNKED = [("Transfer-Encoding", "chunked")]

BAD = [
    b"nonsense\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
    b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 20000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
]

#: Clients that go away in the middle, by the bytes they have sent.
BROKEN_OFF = [
    b"",
    b"GET /",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n" + BODY[:70000],
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n" + BODY,
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n30000\r\n" + BODY[:100000],
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    render() * 100,
]


class Echo:
    """The demo, a process under valgrind."""

    def __init__(self, directory, threads, loop, pair=None):
        self.report = directory / "valgrind.log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = free.getsockname()
        arguments = ["--threads", str(threads), "--loop", loop, str(self.address[1])]
        if pair:
            arguments += ["--certificates", str(pair.certfile), "--key", str(pair.keyfile)]
        self.process = subprocess.Popen(
            [
                *("valgrind", f"--log-file={self.report}", "--leak-check=full", "--track-fds=yes"),
                *("--show-leak-kinds=all", "--errors-for-leak-kinds=all", "--error-exitcode=99"),
                *("--fair-sched=yes", f"--suppressions={SUPPRESSIONS}", os.environ["ECHO"]),
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(directory)},
        )

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.report.read_text()
        with socket.socket() as client:
            return client.connect_ex(self.address) == 0

    def end(self) -> None:
        """It ends as it was told to, and valgrind has nothing to say."""
        code = self.process.wait(PATIENCE)
        report = self.report.read_text()
        assert code == 0, report
        assert "ERROR SUMMARY: 0 errors" in report, report
        opened = re.findall(
            r"Open (?:file descriptor|AF_\w+ socket) \d+:(?! .*\n.*<inherited)", report
        )
        assert not opened, report


def ask_on_and_on(connect):
    with connect() as client:
        for _ in range(50):
            assert client.request().body == b"Hello, World!\n"
        for method in ("HEAD", "OPTIONS", "DELETE"):
            assert client.request(method).status == 200
        assert client.request("POST", body=b"x" * 70000).body == b"x" * 70000


def ask_at_once(connect):
    kinds = [
        render(),
        render("POST", body=b"abc"),
        render("PUT", "/", CHUNKED, chunked(b"ab", b"c")),
    ]
    with connect() as client:
        client.send(b"".join(kinds * 20))
        for _ in range(20):
            assert client.read_response().body == b"Hello, World!\n"
            assert client.read_response().body == b"abc"
            assert client.read_response().body == b"abc"


def ask_byte_by_byte(connect):
    with connect() as client:
        client.send_in_pieces(render("POST", "/", CHUNKED, chunked(b"a", b"bc")))
        assert client.read_response().body == b"abc"


def ask_badly(connect):
    for data in BAD:
        with connect() as client:
            client.send_if_open(data)
            assert client.read_response().status >= 400


def upload(connect):
    for fields, body in ([], BODY), (CHUNKED, chunked(BODY[: 2 << 20], BODY[2 << 20 :])):
        with connect(receive_buffer=4096) as client:
            client.send(render("POST", "/", [*fields, ("Expect", "100-continue")], body))
            assert client.read_response().body == BODY


def break_off(connect):
    for data in BROKEN_OFF:
        for end in "abort", "end_of_input", "close":
            with connect() as client:
                client.send_if_open(data)
                getattr(client, end)()


def stay_idle(connect):
    with connect() as client:
        assert client.request().keeps_alive
        client.expect_closed()


KINDS = [ask_on_and_on, ask_at_once, ask_byte_by_byte, ask_badly, upload, break_off, stay_idle]


@pytest.mark.parametrize("transport", ["plain", "tls"])
@pytest.mark.parametrize("loop", ["epoll", "poll"])
@pytest.mark.parametrize("threads", [1, 4])
def test_nothing_to_say(tmp_path, threads, loop, transport):
    assert shutil.which("valgrind"), "valgrind is not installed"
    connect = Connection
    pair = None
    if transport == "tls":
        authority = Authority(tmp_path)
        pair = authority.issue()
        connect = partial(TlsConnection, context=authority.client())
    server = Echo(tmp_path, threads, loop, pair)
    try:
        wait_until(server.is_up, "it listens", PATIENCE)
        connect = partial(connect, server.address, timeout=PATIENCE)
        for kind in KINDS:
            kind(connect)
        with ExitStack() as stack:
            for data in BROKEN_OFF:
                stack.enter_context(connect()).send_if_open(data)
            server.process.send_signal(signal.SIGTERM)
        server.end()
    finally:
        server.process.kill()
