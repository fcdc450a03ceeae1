"""gunicorn.socket: each attribute of a socket.socket and an ssl.SSLSocket, and whether it takes the
connection over.
"""

from __future__ import annotations

import json
import select
import sys

import pytest
from helpers.tls import serve_tls
from helpers.wire import WireError, render

#: What it says, as a part of its repr; the connection stays with the engine.
LOOKS = {
    "accept": "Invalid argument",
    "bind": "Invalid argument",
    "connect": "already connected",
    "connect_ex": "106",
    "family": "AddressFamily.AF_INET",
    "fileno": "",
    "get_inheritable": "False",
    "getblocking": "True",
    "getpeername": "('127.0.0.1', ",
    "getsockname": "('127.0.0.1', ",
    "getsockopt": "1",
    "gettimeout": "None",
    "listen": "Invalid argument",
    "no_such_attribute": "AttributeError",
    "proto": "6",
    "set_inheritable": "None",
    "setsockopt": "None",
    "timeout": "None",
    "type": "SocketKind.SOCK_STREAM",
    "with": "",
}

#: Over TLS these raise: an ssl.SSLSocket has no use for them either, but `detach` and `unwrap`.
TLS_LOOKS = {
    **LOOKS,
    "connect": "ValueError",
    "connect_ex": "ValueError",
    "cipher": "('TLS_",
    "compression": "None",
    "context": "SSLContext",
    "detach": "OSError",
    "do_handshake": "None",
    "dup": "NotImplementedError",
    "get_channel_binding": "b",
    "get_unverified_chain": "[]",
    "get_verified_chain": "[]",
    "getpeercert": "None",
    "pending": "0",
    "recvfrom": "ValueError",
    "recvfrom_into": "ValueError",
    "recvmsg": "NotImplementedError",
    "recvmsg_into": "NotImplementedError",
    "selected_alpn_protocol": "None",
    "selected_npn_protocol": "None",
    "sendmsg": "NotImplementedError",
    "sendmsg_afalg": "ValueError",
    "sendto": "ValueError",
    "server_hostname": "'localhost'",
    "server_side": "True",
    "session": "Session(id=b",
    "session_reused": "False",
    "shared_ciphers": "[('TLS_",
    "unwrap": "OSError",
    "verify_client_post_handshake": "NotImplementedError",
    "version": "'TLSv1.3'",
}

TLS_TAKES = {
    "close", "leave", "makefile", "read", "recv", "recv_into", "send", "sendall", "sendfile",
    "setblocking", "settimeout", "shutdown", "write",
}  # fmt: skip
TAKES = TLS_TAKES - {"read", "write"} | {
    "detach", "dup", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "sendmsg",
    "sendmsg_afalg", "sendto",
}  # fmt: skip

#: Beside public names: `with`, and a name that there is not.
OTHERS = {"leave", "with", "no_such_attribute"}


LARGE = 16 << 20  # bytes: more than the buffers of a connection hold


@pytest.fixture
def shared_by_two(shared, worker):
    if worker not in ("sync", "gevent"):
        pytest.skip("the same as sync")
    return shared


@pytest.fixture
def plain(shared_by_two):
    return shared_by_two("attributes")


@pytest.fixture
def secure(shared_by_two, pair, client):
    shared = shared_by_two
    return serve_tls(shared("attributes", *pair.args), client)


def stays(server, name):
    """What the attribute says; the connection goes on with another request."""
    with server.connect() as connection:
        response = connection.request(target=f"/{name}")
        assert response.keeps_alive
        assert connection.request(target="/isinstance").body == b"true"
        return json.loads(response.body)


def is_taken(server, name) -> None:
    """The connection ends with the request. Something comes behind it for who receives."""
    with server.connect() as connection:
        assert connection.request(target="/isinstance").body == b"true"  # and tickets of TLS
        connection.send(render(target=f"/{name}"))
        while not select.select([connection.sock], [], [], 0.05)[0]:
            connection.send_if_open(b"more")
        try:
            received = connection.read_to_end()
        except (WireError, OSError):
            received = b""  # by a reset, or without TLS's own end
    assert b"isinstance" not in received
    assert server.request(target="/isinstance").body == b"true"


@pytest.mark.parametrize("name", LOOKS)
def test_looks(plain, name):
    assert LOOKS[name] in stays(plain, name)


@pytest.mark.parametrize("name", sorted(TAKES))
def test_takes(plain, name):
    is_taken(plain, name)


@pytest.mark.parametrize("name", TLS_LOOKS)
def test_looks_over_tls(secure, name):
    assert TLS_LOOKS[name] in stays(secure, name)


@pytest.mark.parametrize("name", sorted(TLS_TAKES))
def test_takes_over_tls(secure, name):
    is_taken(secure, name)


def test_every_attribute_is_decided(plain, worker):
    if worker in ("gevent", "eventlet"):
        pytest.skip("their own socket class has more")
    names = set(plain.json(target="/dir"))
    assert names == (LOOKS.keys() | TAKES) - OTHERS


def test_every_attribute_is_decided_over_tls(secure, worker):
    if worker in ("gevent", "eventlet"):
        pytest.skip("their own socket class has more")
    names = set(secure.json(target="/dir"))
    chains = {"get_unverified_chain", "get_verified_chain"}
    of_objects = {"server_hostname", "server_side"}  # set in __init__ or so
    known = (TLS_LOOKS.keys() | TLS_TAKES) - OTHERS - of_objects
    assert names - of_objects == (known if sys.version_info >= (3, 13) else known - chains)


# ---- a descriptor that blocks ----


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_file_for_a_slow_client_after_setblocking(shared, pair, client, tmp_path, tls):
    """The engine shares the descriptor; it waits for nobody nevertheless, and sends all of it."""
    server = shared("attributes", *(pair.args if tls else []))
    if tls:
        serve_tls(server, client)
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(LARGE)
    with server.connect(receive_buffer=4096) as slow:
        slow.send(render(target="/blocks_then_file", headers=[("X-File", str(path))]))
        assert slow.read_head().status == 200
        for _ in range(3):
            assert server.request(target="/isinstance").body == b"true"
        assert len(slow.read(LARGE)) == LARGE
