"""HAProxy in front of a server."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.wire import wait_until

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def running(conf: Path, port: int) -> Iterator[tuple[str, int]]:
    """HAProxy with a configuration that binds a port of 127.0.0.1; its address."""
    assert HAPROXY
    address = ("127.0.0.1", port)

    def listens() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(address) == 0

    process = subprocess.Popen([HAPROXY, "-db", "-f", str(conf)])
    try:
        wait_until(listens, "HAProxy listens")
        yield address
    finally:
        process.terminate()
        process.wait(20)
