"""Certificates made at test time, and a client that speaks TLS."""

from __future__ import annotations

import json
import signal
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization as pem

from helpers.server import Server
from helpers.wire import Connection, wait_until

NAME = "localhost"
RELOAD_TIMEOUT = 20.0  # seconds


@dataclass
class Pair:
    """The files of a certificate with its chain, and of its key."""

    certfile: Path
    keyfile: Path

    @property
    def args(self) -> list[str]:
        """The flags of a server that uses them."""
        return ["--certfile", str(self.certfile), "--keyfile", str(self.keyfile)]

    def encrypted(self, path: Path, phrase: str) -> Pair:
        """The same with the key encrypted, in a file of its own."""
        key = pem.load_pem_private_key(self.keyfile.read_bytes(), None)
        how = pem.BestAvailableEncryption(phrase.encode())
        path.write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, how))
        return Pair(self.certfile, path)


class Authority:
    """Signs certificates; its own is in `cafile`."""

    def __init__(self, directory: Path, parent: Authority | None = None, name: str = "ca"):
        self.directory = directory
        self.root = parent.root if parent else self
        if parent is None:
            self.ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        else:
            self.ca = parent.ca.create_child_ca(key_type=trustme.KeyType.ECDSA)
        self.cafile = directory / f"{name}.pem"
        self.ca.cert_pem.write_to_path(self.cafile)

    def issue(
        self, *names: str, file: str = "server", subject: str = NAME, rsa: bool = False, **times
    ) -> Pair:
        """A certificate for these names, written as FILE.pem and FILE.key.

        times: not_before and not_after.
        """
        made = self.ca.issue_cert(
            *(names or (NAME, "127.0.0.1")),
            common_name=subject,
            organization_name="Monoceros, Tests",
            key_type=trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA,
            **times,
        )
        pair = Pair(self.directory / f"{file}.pem", self.directory / f"{file}.key")
        pair.certfile.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        made.private_key_pem.write_to_path(pair.keyfile)
        return pair

    def client(self, own: Pair | None = None, version: str | None = None) -> ssl.SSLContext:
        """The context of a client that trusts the root, and may have a certificate of its own."""
        context = ssl.create_default_context(cafile=self.root.cafile)
        if own is not None:
            context.load_cert_chain(own.certfile, own.keyfile)
        if version is not None:
            wanted = ssl.TLSVersion[version]
            context.minimum_version = context.maximum_version = wanted
        return context


class TlsConnection(Connection):
    """A Connection over TLS.

    An end without TLS's own closing counts as an error, unless `ends_ragged`: it is an end then.
    """

    def __init__(
        self,
        address,
        context: ssl.SSLContext,
        server_hostname: str | None = NAME,
        session: ssl.SSLSession | None = None,
        ends_ragged: bool = False,
        **options,
    ):
        super().__init__(address, **options)
        try:
            self.sock = context.wrap_socket(
                self.sock,
                server_hostname=server_hostname,
                suppress_ragged_eofs=ends_ragged,
                session=session,
            )
        except BaseException:
            self.sock.close()
            raise

    def send_if_open(self, data: bytes) -> bool:
        try:
            return super().send_if_open(data)
        except ssl.SSLEOFError:
            return False

    def end_of_input(self) -> None:
        """Close our direction of TCP; the TLS session is left as it is."""
        super(ssl.SSLSocket, self.sock).shutdown(1)


def serve_tls(server: Server, context: ssl.SSLContext, **defaults) -> Server:
    """Let the requests of `server`'s own methods go over TLS."""

    def connect(**options) -> TlsConnection:
        options = {"context": context, **defaults, **options}
        return TlsConnection(server.address, **options)

    server.connect = connect
    return server


def look(server, **options):
    """What the application sees of one connection."""
    with server.connect(**options) as connection:
        return json.loads(connection.request("GET", "/look").body)


def reload(server):
    """HUP, and wait until the old workers are gone."""
    old = set(server.worker_pids())
    server.kill(signal.SIGHUP)
    wait_until(
        lambda: server.worker_pids() and not old & set(server.worker_pids()),
        lambda: f"new workers\n{server.log}",
        RELOAD_TIMEOUT,
    )
