"""Gates: a test lets the application go on, so that no test has to guess how long to sleep.

The test opens a Gate and gives its path to the application, which calls ``pass_gate(path)``: the
call returns when the test calls ``open()``. Standard library only: applications import it.
"""

from __future__ import annotations

import os
import socket
import tempfile

TIMEOUT = max(30.0, 4 * float(os.environ.get("GUNICORN_TEST_TIMEOUT", "15")))


def pass_gate(path: str) -> None:
    """Called by the application: wait until the test lets us through."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(path)
        if sock.recv(1) != b"1":
            raise RuntimeError("the test went away")


class Gate:
    """The test's side of a gate. Context manager."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="gate-")
        self.path = os.path.join(self.directory, "s")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(512)
        self.listener.settimeout(15.0)
        self.waiting: list[socket.socket] = []

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in self.waiting:
            sock.close()
        self.listener.close()
        os.unlink(self.path)
        os.rmdir(self.directory)

    def hook(self, signature: str) -> str:
        """A server hook that passes the gate, as text for a configuration file."""
        return (
            f"def {signature}:\n"
            "    from helpers.gate import pass_gate\n"
            f"    pass_gate({self.path!r})\n"
        )

    def wait(self, count: int = 1) -> None:
        """Until so many calls of pass_gate() stand before the gate."""
        while len(self.waiting) < count:
            try:
                sock, _ = self.listener.accept()
            except TimeoutError:
                raise AssertionError(
                    f"only {len(self.waiting)} of {count} reached the gate"
                ) from None
            self.waiting.append(sock)

    def nobody(self, seconds: float = 0.3) -> None:
        """Nobody comes to the gate for so long."""
        self.listener.settimeout(seconds)
        try:
            sock, _ = self.listener.accept()
        except TimeoutError:
            return
        finally:
            self.listener.settimeout(15.0)
        self.waiting.append(sock)
        raise AssertionError("the application got here too early")

    def open(self) -> None:
        """Let through all who wait."""
        for sock in self.waiting:
            sock.sendall(b"1")
            sock.close()
        self.waiting.clear()

    def step(self, count: int = 1) -> None:
        """Wait for so many, then let them through."""
        self.wait(count)
        self.open()
