"""An application's view of a TLS connection: the socket, the client's certificate.

The engine holds the connection; `link` is its end of it (`gunicorn._core.ClientSocket`).
"""

import _ssl
import functools
import io
import socket
import ssl
import time
from typing import Any, NamedTuple

from gunicorn._memory_file import memory_file
from gunicorn.http._client_socket import Looks

RECV_DEFAULT = 1024  # bytes, as ssl.SSLSocket.read
CERTIFICATES_KEPT = 256
WAIT = 3600.0  # seconds; after which one looks again

# OpenSSL's short names, which a DN shows, by the long ones, which ssl uses.
SHORT_NAMES = {
    "commonName": "CN",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "domainComponent": "DC",
    "userId": "UID",
    "surname": "SN",
    "givenName": "GN",
    "streetAddress": "street",
}


# ---- certificates ----


@functools.lru_cache(CERTIFICATES_KEPT)
def decode_certificate(der: bytes) -> dict:
    """Return a certificate as `ssl.SSLSocket.getpeercert()` does.

    The decoder of ssl is to be had for files only.
    """
    with memory_file(ssl.DER_cert_to_PEM_cert(der).encode()) as path:
        return _ssl._test_decode_cert(path)  # type: ignore[attr-defined]


def _escape(value: str) -> str:
    """As RFC 4514 §2.4 wants the value of an attribute."""
    text = "".join("\\" + c if c in ',+"\\<>;' else c for c in value)
    if text[:1] in ("#", " "):
        text = "\\" + text
    return text[:-1] + "\\ " if text[-1:] == " " and len(text) > 1 else text


def distinguished_name(name) -> str:
    """Return a name of `decode_certificate()` as RFC 4514 writes it: the last part first."""
    parts = (
        "+".join(f"{SHORT_NAMES.get(key, key)}={_escape(value)}" for key, value in relative)
        for relative in reversed(name)
    )
    return ",".join(parts)


def _common_name(name) -> str:
    return next((v for relative in name for k, v in relative if k == "commonName"), "")


@functools.lru_cache(CERTIFICATES_KEPT)
def client_variables(der: bytes | None) -> dict[str, str]:
    """Return mod_ssl's variables for a client's verified certificate; None: without one."""
    if der is None:
        return {"SSL_CLIENT_VERIFY": "NONE"}
    certificate = decode_certificate(der)
    return {
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_CLIENT_CERT": ssl.DER_cert_to_PEM_cert(der),
        "SSL_CLIENT_S_DN": distinguished_name(certificate["subject"]),
        "SSL_CLIENT_S_DN_CN": _common_name(certificate["subject"]),
        "SSL_CLIENT_I_DN": distinguished_name(certificate["issuer"]),
        "SSL_CLIENT_M_SERIAL": certificate["serialNumber"],
        "SSL_CLIENT_V_START": certificate["notBefore"],
        "SSL_CLIENT_V_END": certificate["notAfter"],
    }


# ---- the socket ----


class Session(NamedTuple):
    """The attributes of an `ssl.SSLSession`."""

    id: bytes
    time: int
    timeout: int
    ticket_lifetime_hint: int
    has_ticket: bool


class TlsSocket(Looks):
    """The connection of a request, with the methods of an `ssl.SSLSocket`.

    Queries leave it with the engine. Sending or receiving takes it over, and it is closed
    when the application returns.
    """

    server_side = True
    do_handshake_on_connect = False
    suppress_ragged_eofs = True

    def __init__(self, link, context: ssl.SSLContext) -> None:
        super().__init__(link)
        self._timeout: float | None = None
        self.context = context

    # ---- looking at it ----

    def getpeercert(self, binary_form: bool = False):
        """Return the client's certificate, None if it has shown none."""
        der = self._link.tls_look("certificate")
        if der is None or binary_form:
            return der
        # Its own to change: the next request gets the original.
        return dict(decode_certificate(der)) if self.context.verify_mode != ssl.CERT_NONE else {}

    def version(self) -> str:
        """Return the version of the protocol, such as TLSv1.3."""
        return self._link.tls_look("version")

    def cipher(self) -> tuple[str, str, int]:
        """Return the cipher's name, the version of TLS that defines it, and its secret bits."""
        return self._link.tls_look("cipher")

    def selected_alpn_protocol(self) -> str | None:
        """Return the protocol that ALPN chose."""
        return self._link.tls_look("alpn")

    def selected_npn_protocol(self) -> None:
        """Return None: nobody speaks NPN any more."""

    def compression(self) -> None:
        """Return None: TLS compresses nothing."""

    def shared_ciphers(self) -> list[tuple[str, str, int]] | None:
        """Return the ciphers that both sides know, as `cipher()` does."""
        return self._link.tls_look("shared_ciphers") or None

    def get_channel_binding(self, cb_type: str = "tls-unique") -> bytes | None:
        """Return the channel binding of this connection (RFC 5929)."""
        if cb_type not in ssl.CHANNEL_BINDING_TYPES:
            raise ValueError(f"{cb_type} channel binding type not implemented")
        return self._link.tls_look("binding")

    def get_unverified_chain(self) -> list[bytes]:
        """Return the certificates that the client has sent, as DER."""
        return self._link.tls_look("sent_chain")

    def get_verified_chain(self) -> list[bytes]:
        """Return the certificates by which the client's was verified, as DER."""
        return self._link.tls_look("verified_chain")

    def do_handshake(self, block: bool = False) -> None:
        """Do nothing: it is done."""

    @property
    def session(self) -> Session:
        """The session."""
        return Session(*self._link.tls_look("session"))

    @property
    def session_reused(self) -> bool:
        """Whether an earlier session was resumed."""
        return self._link.tls_look("reused")

    @property
    def server_hostname(self) -> str | None:
        """The name that the client has asked for (SNI)."""
        return self._link.tls_look("server_name")

    # ---- talking on it ----

    def _wait(self, write: bool, deadline: float | None) -> None:
        if self._timeout == 0:
            raise ssl.SSLWantWriteError() if write else ssl.SSLWantReadError()
        seconds = WAIT if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._link.tls_wait(write, seconds) and deadline is not None:
            raise TimeoutError("timed out")

    def _deadline(self) -> float | None:
        return None if self._timeout is None else time.monotonic() + self._timeout

    def _loop(self, step, argument):
        """Call `step`, of which True is asked for reading and False for writing, until it can."""
        self._taken()
        deadline = self._deadline()
        while isinstance(result := step(argument), bool):
            self._wait(not result, deadline)
        return result

    def recv(self, bufsize: int = RECV_DEFAULT, flags: int = 0) -> bytes:
        """Receive up to `bufsize` bytes; nothing at the end."""
        if flags:
            raise ValueError("a TLS connection knows no flags")
        return self._loop(self._link.tls_read, bufsize) if bufsize else b""

    def recv_into(self, buffer, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into `buffer`; return how many bytes."""
        view = memoryview(buffer).cast("B")
        data = self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    def read(self, len: int = RECV_DEFAULT, buffer=None):
        """Receive, into `buffer` if there is one."""
        return self.recv(len) if buffer is None else self.recv_into(buffer, len)

    def send(self, data, flags: int = 0) -> int:
        """Send as much of `data` as goes at once, at least one byte; return how many."""
        if flags:
            raise ValueError("a TLS connection knows no flags")
        view = memoryview(data).cast("B")
        return self._loop(self._link.tls_write, view) if view.nbytes else 0

    write = send

    def sendall(self, data, flags: int = 0) -> None:
        """Send all of `data`."""
        view = memoryview(data).cast("B")
        while view.nbytes:
            view = view[self.send(view, flags) :]

    def sendfile(self, file, offset: int = 0, count: int | None = None) -> int:
        """Send a file from `offset` on; return how many bytes that were."""
        file.seek(offset)
        sent = 0
        while count is None or sent < count:
            size = io.DEFAULT_BUFFER_SIZE if count is None else count - sent
            data = file.read(min(size, io.DEFAULT_BUFFER_SIZE))
            if not data:
                break
            self.sendall(data)
            sent += len(data)
        return sent

    def pending(self) -> int:
        """Return how many bytes can be had without receiving."""
        return self._link.tls_look("pending")

    def makefile(self, mode: str = "r", buffering: int | None = None, **options):
        """Return a file over the connection, as `socket.socket.makefile()` does."""
        self._taken()
        raw = _RawFile(self, mode)
        size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
        if size == 0:
            return raw
        if raw.readable() and raw.writable():
            file: Any = io.BufferedRWPair(raw, raw, size)
        else:
            file = io.BufferedReader(raw, size) if raw.readable() else io.BufferedWriter(raw, size)
        return file if "b" in mode else io.TextIOWrapper(file, **options)

    # Refused by an `ssl.SSLSocket` too, or possible for the engine only.

    def _refuse(self, *args, **kwargs):
        raise NotImplementedError("not allowed on a TLS connection")

    dup = sendmsg = recvmsg = recvmsg_into = verify_client_post_handshake = _refuse

    def _refuse_value(self, *args, **kwargs):
        raise ValueError("not allowed on a TLS connection")

    sendto = recvfrom = recvfrom_into = sendmsg_afalg = connect = connect_ex = _refuse_value

    # The descriptor never blocks; it is shared with the engine.

    def settimeout(self, value: float | None) -> None:
        """Let receiving and sending wait so many seconds, for ever with None, not at all with 0."""
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        self._taken()
        self._timeout = value

    def gettimeout(self) -> float | None:
        """Return for how many seconds receiving and sending wait."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """Wait for ever, or not at all."""
        self.settimeout(None if flag else 0.0)

    # ---- its end ----

    def shutdown(self, how: int) -> None:
        """Say that nothing more will be sent, and shut the connection down."""
        plain = self._taken()
        if how in (socket.SHUT_WR, socket.SHUT_RDWR):
            self._link.tls_goodbye()
        plain.shutdown(how)

    def close(self) -> None:
        """Say goodbye and close the connection."""
        plain = self._taken()
        try:
            self._link.tls_goodbye()
            plain.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        plain.close()

    def detach(self) -> int:
        """Raise OSError: no descriptor could be used without this object."""
        raise OSError("a TLS connection cannot do without its socket object")

    unwrap = detach

    def __enter__(self):
        return self

    def __exit__(self, *exc) -> None:
        self.close()


class _RawFile(io.RawIOBase):
    """The file below the buffer of makefile()."""

    def __init__(self, sock: TlsSocket, mode: str) -> None:
        self._sock = sock
        self._mode = mode

    def readable(self) -> bool:
        return "r" in self._mode

    def writable(self) -> bool:
        return "w" in self._mode

    def readinto(self, buffer) -> int | None:
        try:
            return self._sock.recv_into(buffer)
        except ssl.SSLWantReadError:
            return None

    def write(self, data) -> int | None:
        try:
            return self._sock.send(data)
        except ssl.SSLWantWriteError:
            return None

    def fileno(self) -> int:
        return self._sock.fileno()  # type: ignore[attr-defined]  # by __getattr__
