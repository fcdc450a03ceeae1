"""A client of TLS that chooses its records, by the OpenSSL that Python's ssl has loaded."""

from __future__ import annotations

import _ssl
import ctypes
import socket
import ssl
import struct
from collections.abc import Callable, Iterable

KEY_UPDATE_NOT_REQUESTED, KEY_UPDATE_REQUESTED = 0, 1
SET_SERVER_NAME, HOST_NAME = 55, 0

_openssl = ctypes.CDLL(_ssl.__file__)  # searched with all that it depends on
_openssl.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
_openssl.SSL_do_handshake.argtypes = [ctypes.c_void_p]
_openssl.SSL_ctrl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p]


class _SslObject(ctypes.Structure):
    """What CPython 3.10 to 3.14 begin an `_ssl._SSLSocket` with."""

    _fields_ = (
        ("head", ctypes.c_byte * object.__basicsize__),
        ("socket", ctypes.c_void_p),
        ("ssl", ctypes.c_void_p),
    )


def whole(record: bytes) -> list[bytes]:
    return [record]


def split_record(record: bytes, size: int) -> bytes:
    """Return the message of a record in records of `size` bytes (RFC 8446 §5.1)."""
    kind, message = record[:3], record[5:]
    parts = (message[at : at + size] for at in range(0, len(message), size))
    return b"".join(kind + struct.pack(">H", len(part)) + part for part in parts)


class RecordClient:
    """A connection whose records are made first and sent by the caller, on `sock`.

    name: the server's, which may be what ssl would not send, if `context` does not check it;
    first: makes the segments to send of the record with the ClientHello.
    """

    def __init__(
        self,
        address,
        context: ssl.SSLContext,
        name: bytes,
        timeout: float,
        first: Callable[[bytes], Iterable[bytes]] = whole,
    ):
        self.sock = socket.create_connection(address, timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        checked = name.decode() if context.check_hostname else None
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=checked)
        self._pointer = _SslObject.from_address(id(self._tls._sslobj)).ssl
        assert _openssl.SSL_ctrl(self._pointer, SET_SERVER_NAME, HOST_NAME, name) == 1
        try:
            self._shake_hands(first)
        except BaseException:
            self.sock.close()
            raise

    def _shake_hands(self, first: Callable[[bytes], Iterable[bytes]]) -> None:
        segments = first
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                for segment in segments(self._outgoing.read()):
                    self.sock.sendall(segment)
                segments = whole
                self._incoming.write(self.sock.recv(65536))
            else:
                break
        self.sock.sendall(self._outgoing.read())

    def key_updates(self, count: int, wanted: int = KEY_UPDATE_NOT_REQUESTED) -> bytes:
        """Return so many messages KeyUpdate (RFC 8446 §4.6.3)."""
        for _ in range(count):
            assert _openssl.SSL_key_update(self._pointer, wanted) == 1
            assert _openssl.SSL_do_handshake(self._pointer) == 1
        return self._outgoing.read()

    def records(self, data: bytes, size: int = 1) -> bytes:
        """Return records of `size` bytes of data."""
        for at in range(0, len(data), size):
            self._tls.write(data[at : at + size])
        return self._outgoing.read()

    def receive(self) -> bytes:
        """Return data of the server; nothing at its end."""
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                data = self.sock.recv(65536)
                if not data:
                    return b""
                self._incoming.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *exc) -> None:
        self.sock.close()
