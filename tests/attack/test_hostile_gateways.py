"""Hostile senders of uwsgi, FastCGI and PROXY headers, beside an honest client of the same worker.

Any client that reaches the port may send anything: the addresses that are allowed are often `*`.
"""

import os
import random
import socket
import struct
from contextlib import ExitStack, suppress

import pytest
from helpers import fastcgi_record, proxy_header, uwsgi_packet
from helpers.fastcgi_record import ABORT, GET_VALUES, PARAMS, STDIN, begin, record, stream
from helpers.meanwhile import repeating
from helpers.proxy_header import CRC32C, LOCAL, PROXY, SSL, TCP4, UNIX, tlv, v1, v2
from helpers.server import SANITIZED, Stopwatch, resident_kib
from helpers.wire import render, wait_until

#: Seconds that the honest client may wait for an answer.
LONGEST = 20.0 if SANITIZED else 4.0
GROWTH = 8 * 1024  # KiB, for as many attacks again as before
CROWD = 500

pytestmark = pytest.mark.parametrize(
    "worker", ["gthread", "gevent", "tornado", "asgi"], indirect=True, scope="session"
)

GET = render("GET", "/", [("Host", "a"), ("Connection", "close")])
INET = proxy_header.addresses("192.0.2.1", 56324)
ODD = ("a\0b", "a\rb", "a\nb", "", "\xff" * 300, "a" * 60_000)
LIES = ("0", "1", "9" * 18, "9" * 30, "-1", "+1", "1,1", "0x1", " 1", "1 ", "\0")


def of_uwsgi():
    packet, pairs = uwsgi_packet.packet, uwsgi_packet.variables("POST", "/", b"hello")
    whole = uwsgi_packet.request("POST", "/", b"hello")
    yield from (whole[:n] for n in range(len(whole)))
    yield from (whole * n for n in (2, 20))
    yield whole + random.randbytes(5000)
    for size in (0, 1, 2, 3, 65534, 65535):
        yield struct.pack("<BHB", 0, size, 0) + b"\xff" * size
        yield struct.pack("<BHB", 0, size, 0) + b"\0" * size
        yield struct.pack("<BHB", size % 256, size, 0) + random.randbytes(size)
    for name in pairs:
        yield from (packet((pairs | {name: odd}).items()) for odd in ODD)
        yield packet([*pairs.items(), (name, pairs[name])])
    yield from (packet((pairs | {"CONTENT_LENGTH": lie}).items()) + b"x" * 99 for lie in LIES)
    yield packet((f"HTTP_{n}", "") for n in range(5000))
    yield packet([("", "")] * 16000)


def of_fastcgi():
    pairs = uwsgi_packet.variables("POST", "/", b"hello")
    whole = fastcgi_record.request("POST", "/", b"hello", keep=True)
    head = begin(1, True) + stream(PARAMS, fastcgi_record.pairs(pairs.items()))
    yield from (whole[:n] for n in range(len(whole)))
    yield whole * 20 + random.randbytes(5000)
    yield from (begin() + record(PARAMS, random.randbytes(n)) + record(PARAMS) for n in range(99))
    for name in pairs:
        sent = (fastcgi_record.pairs((pairs | {name: odd}).items()) for odd in ODD)
        yield from (begin() + stream(PARAMS, data) + record(STDIN) for data in sent)
    for kind in range(256):
        yield head + record(kind, b"x" * (kind % 9), padding=255)
        yield head + record(kind, b"x" * (kind % 9), number=kind % 3)
    yield from (begin() + record(PARAMS, fastcgi_record._length(1 << n)) for n in range(31))
    yield from (
        part + record(ABORT) + whole for part in (begin(), head, head + record(STDIN, b"h"))
    )
    yield head + record(STDIN, b"h" * 65000, number=2) * 40
    yield head + begin(2) * 4000 + record(GET_VALUES, b"\0\0", 0) * 4000
    yield from (fastcgi_record.request("POST", "/", b"hi", CONTENT_LENGTH=lie) for lie in LIES)
    yield begin() + stream(PARAMS, fastcgi_record.pairs((f"A{n}", "") for n in range(5000)))


def of_proxy():
    header = v2(PROXY, TCP4, INET + tlv(CRC32C, b"\0\0\0\0"))
    good = v2(PROXY, TCP4, INET)
    yield from (good[:n] for n in range(len(good)))
    yield from (v1("192.0.2.1", 1)[:n] for n in range(40))
    yield header + GET
    yield from (good * n + GET for n in (2, 20))
    yield good + v1("192.0.2.1", 1) + GET
    for size in (0, 1, 2, 11, 12, 13, 255, 520, 536, 2000, 65535):
        yield v2(LOCAL, 0, random.randbytes(size)) + GET
        yield v2(PROXY, TCP4, b"\0" * size) + GET
        yield v2(PROXY, UNIX, random.randbytes(size)) + GET
        yield v2(PROXY, TCP4, (INET + random.randbytes(size))[:65535]) + GET
    for length in range(0, 65536, 1311):
        yield v2(PROXY, TCP4, INET + struct.pack(">BH", SSL, length) + b"\0" * 20) + GET
        yield v2(PROXY, TCP4, INET + tlv(SSL, b"\1\0\0\0\0" + struct.pack(">BH", 33, length)))
    yield from (v2(one, TCP4, INET) + GET for one in range(256))
    yield from (v2(PROXY, one, INET) + GET for one in range(256))
    yield b"PROXY " + b"A" * 200 + b"\r\n" + GET


KINDS = {
    "uwsgi": (of_uwsgi, "--protocol=uwsgi", "--uwsgi-allow-from=*"),
    "fastcgi": (of_fastcgi, "--protocol=fastcgi", "--fastcgi-allow-from=*"),
    "proxy": (of_proxy, "--proxy-protocol=auto", "--proxy-allow-from=*"),
}


def send(server, data, way):
    """Each way of leaving: close, half close and read on, reset, stay silent."""
    sock = socket.create_connection(server.address, 30)
    with suppress(OSError):
        sock.sendall(data)
        if way == 1:
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        elif way == 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if way == 3:
        return sock
    sock.close()
    return None


def storm(server, messages):
    """All of them, each leaving in another way; those that stay are closed at the end."""
    silent = [send(server, data, n % 4) for n, data in enumerate(messages())]
    for sock in silent:
        if sock:
            sock.close()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_storm(gunicorn, kind):
    messages, *options = KINDS[kind]
    random.seed(7)
    server = gunicorn(
        "echo", *options, "--header-timeout", "2", "--limit-request-body", "100000",
        expect_trouble=True,
    )  # fmt: skip
    (worker,) = server.worker_pids()
    assert ask(server, kind).status == 200  # it has booted
    waits, failures = [], []

    def honest():
        try:
            waits.append(waited(server, kind))
        except (AssertionError, OSError) as exc:
            failures.append(exc)

    with repeating(honest, 0.02):
        storm(server, messages)
        before = resident_kib(worker)
        open_before = descriptors(worker)
        storm(server, messages)
    if not SANITIZED:  # it keeps memory that was freed
        assert resident_kib(worker) - before < GROWTH
    wait_until(lambda: descriptors(worker) <= open_before, "all connections are closed", 30)
    assert server.worker_pids() == [worker]
    assert failures == []
    print(f"{len(waits)} requests of the honest client, the longest {max(waits):.3f} s")
    assert max(waits) < LONGEST


#: A request, of which each client of the crowd sends a part.
WHOLE = {
    "uwsgi": uwsgi_packet.request("POST", "/", b"hello"),
    "fastcgi": fastcgi_record.request("POST", "/", b"hello", keep=True),
    "proxy": v2(PROXY, TCP4, INET) + GET,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_crowd_that_stalls(gunicorn, kind):
    """Each has stopped after another byte of a request; the honest client is answered at once."""
    server = gunicorn("echo", *KINDS[kind][1:], "--header-timeout", "60", expect_trouble=True)
    (worker,) = server.worker_pids()
    assert ask(server, kind).status == 200
    memory, open_before = resident_kib(worker), descriptors(worker)
    with ExitStack() as crowd:
        for n in range(CROWD):
            sock = crowd.enter_context(socket.create_connection(server.address, 30))
            sock.sendall(WHOLE[kind][: n % len(WHOLE[kind])])
        waits = [waited(server, kind) for _ in range(20)]
        assert descriptors(worker) > CROWD
        assert SANITIZED or resident_kib(worker) - memory < GROWTH
    assert max(waits) < LONGEST
    wait_until(lambda: descriptors(worker) <= open_before, "all connections are closed", 30)
    assert server.worker_pids() == [worker]


def waited(server, kind):
    """Seconds until the honest client has its answer."""
    watch = Stopwatch()
    assert ask(server, kind).status == 200
    return watch.seconds


def ask(server, kind):
    with server.connect() as connection:
        if kind == "uwsgi":
            connection.send(uwsgi_packet.request())
        elif kind == "fastcgi":
            connection.send(fastcgi_record.request())
            return fastcgi_record.read_response(connection)
        else:
            connection.send(v2(PROXY, TCP4, INET) + GET)
        return connection.read_response()
