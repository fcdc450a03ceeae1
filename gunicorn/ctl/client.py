"""A client of the control socket, for scripts in Python:

with ControlClient("/run/shop/gunicorn.ctl") as client:
    print(client.send_command("show workers"))
"""

from __future__ import annotations

import shlex
import socket
import time

from gunicorn.ctl.protocol import ControlProtocol, ProtocolError, make_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


RETRY_PAUSE = 0.02  # seconds


class ControlClientError(Exception):
    """The server cannot be reached, or answers that a command did not work."""


class ConnectionLost(ControlClientError):
    """The server cannot be reached, or its answer is no answer."""


class ControlClient:
    """A connection to the control socket at `socket_path`; it is made when it is needed.

    `timeout`: seconds to wait for the server.
    """

    def __init__(self, socket_path: str, timeout: float = 30.0) -> None:
        self.socket_path = socket_path
        self.timeout = timeout
        self._sock: socket.socket | None = None
        self._request_id = 0

    def connect(self) -> None:
        """Connect, unless that is done. Raises ControlClientError."""
        if self._sock is None:
            self._sock = self._connected()

    def _connected(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.timeout)
        try:
            _connect(sock, self.socket_path, time.monotonic() + self.timeout)
        except OSError as exc:
            sock.close()
            reason = exc.strerror or exc
            raise ConnectionLost(f"cannot connect to {self.socket_path}: {reason}") from exc
        return sock

    def close(self) -> None:
        """Close the connection; the next command makes a new one."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def send_command(self, command: str, args: list[Any] | None = None) -> dict[str, Any]:
        """Return the data of the answer to a command. Raises ControlClientError."""
        self._request_id += 1
        answer = self._exchange(make_request(self._request_id, command, args))
        if answer.get("status") != "ok":
            raise ControlClientError(str(answer.get("error", "the server gave no reason")))
        data: dict[str, Any] = answer.get("data") or {}
        return data

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        self.connect()
        assert self._sock is not None
        try:
            ControlProtocol.write_message(self._sock, request)
            return ControlProtocol.read_message(self._sock)
        except (OSError, ProtocolError) as exc:
            self.close()
            raise ConnectionLost(f"the server gave no answer: {exc}") from exc

    def __enter__(self) -> ControlClient:
        self.connect()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _connect(sock: socket.socket, path: str, limit: float) -> None:
    """Connect. Until `limit` it waits for room in the queue of the listener. Raises OSError."""
    while True:
        try:
            sock.connect(path)
        except BlockingIOError:
            if time.monotonic() >= limit:
                raise
            time.sleep(RETRY_PAUSE)
        else:
            return


def parse_command(line: str) -> tuple[str, list[str]]:
    """Return the words of a command, and its arguments from the first number or option on.

    Raises ValueError for a quotation that does not end.
    """
    words = shlex.split(line)
    count = 0
    while count < len(words) and not (words[count].isdigit() or words[count].startswith("-")):
        count += 1
    return " ".join(words[:count]), words[count:]
