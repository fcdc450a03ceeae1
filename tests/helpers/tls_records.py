"""A client of TLS that chooses its records, by the OpenSSL that Python's ssl has loaded."""

from __future__ import annotations

import _ssl
import ctypes
import socket
import ssl

KEY_UPDATE_NOT_REQUESTED, KEY_UPDATE_REQUESTED = 0, 1

_openssl = ctypes.CDLL(_ssl.__file__)  # searched with all that it depends on
_openssl.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
_openssl.SSL_do_handshake.argtypes = [ctypes.c_void_p]


class _SslObject(ctypes.Structure):
    """What CPython 3.10 to 3.14 begin an `_ssl._SSLSocket` with."""

    _fields_ = (
        ("head", ctypes.c_byte * object.__basicsize__),
        ("socket", ctypes.c_void_p),
        ("ssl", ctypes.c_void_p),
    )


class RecordClient:
    """A connection whose records are made first and sent by the caller, on `sock`."""

    def __init__(self, address, context: ssl.SSLContext, server_hostname: str, timeout: float):
        self.sock = socket.create_connection(address, timeout)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname
        )
        self._shake_hands()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.sock.sendall(self._outgoing.read())
                self._incoming.write(self.sock.recv(65536))
            else:
                break
        self.sock.sendall(self._outgoing.read())

    def key_updates(self, count: int, wanted: int = KEY_UPDATE_NOT_REQUESTED) -> bytes:
        """Return so many messages KeyUpdate (RFC 8446 §4.6.3)."""
        pointer = _SslObject.from_address(id(self._tls._sslobj)).ssl
        for _ in range(count):
            assert _openssl.SSL_key_update(pointer, wanted) == 1
            assert _openssl.SSL_do_handshake(pointer) == 1
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
