"""Headers of the PROXY protocol, as HAProxy's specification has them."""

from __future__ import annotations

import struct
from ipaddress import ip_address

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
UNSPEC, TCP4, UDP4, TCP6, UNIX = 0x00, 0x11, 0x12, 0x21, 0x31

CRC32C, AUTHORITY, UNIQUE_ID, SSL = 0x03, 0x02, 0x05, 0x20
SSL_VERSION, SSL_CN, SSL_CIPHER = 0x21, 0x22, 0x23


def v1(client: str, port: int | str, server: str = "192.0.2.2", to: int | str = 443) -> bytes:
    family = "TCP6" if ":" in client else "TCP4"
    return f"PROXY {family} {client} {server} {port} {to}\r\n".encode()


def v2(command: int, family: int, block: bytes = b"") -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(block)) + block


def addresses(client: str, port: int, server: str = "192.0.2.2", to: int = 443) -> bytes:
    """The block of TCP4 or TCP6."""
    return ip_address(client).packed + ip_address(server).packed + struct.pack(">HH", port, to)


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack(">BH", kind, len(value)) + value


def tls(version: bytes, cipher: bytes, name: bytes | None = None, verified: bool = True) -> bytes:
    """PP2_TYPE_SSL of a client that used TLS, with a certificate if it has a name."""
    values = tlv(SSL_VERSION, version) + tlv(SSL_CIPHER, cipher)
    flags = 1
    if name is not None:
        values += tlv(SSL_CN, name)
        flags |= 2 | 4
    return tlv(SSL, struct.pack(">BI", flags, 0 if verified else 10) + values)
