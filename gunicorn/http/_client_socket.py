"""An application's view of its client's connection: `environ["gunicorn.socket"]`.

The engine holds the connection; `link` is its end of it (`gunicorn._core.ClientSocket`). Calls
that only look leave it there. A call that sends, receives, shuts down, closes, detaches,
duplicates, or sets whether it blocks takes it over: it is closed when the application returns.
"""

import _socket
import os
import socket


def _enum(kind, number: int):
    """As the properties of `socket.socket`."""
    try:
        return kind(number)
    except ValueError:
        return number


class Looks:
    """The attributes of a `socket.socket` that leave the connection with the engine."""

    _closed = False
    _io_refs = 0

    def __init__(self, link) -> None:
        self._link = link
        self._real: socket.socket | None = None

    def _taken(self) -> socket.socket:
        if self._real is None:
            self._real = self._link.take_over()
        return self._real

    def _ask(self, name: str, *args):
        """Ask the connection; an application that has taken it over asks it itself."""
        if self._real is not None:
            value = getattr(self._real, name)
            return value(*args) if callable(value) else value
        sock = self._link.duplicate()
        try:
            value = getattr(sock, name)
            return value(*args) if callable(value) else value
        finally:
            sock.close()

    @property
    def family(self) -> int:
        """The address family."""
        return _enum(socket.AddressFamily, self._ask("family"))

    @property
    def type(self) -> int:
        """The socket type."""
        return _enum(socket.SocketKind, self._ask("type"))

    @property
    def proto(self) -> int:
        """The protocol."""
        return self._ask("proto")

    def getpeername(self):
        """Return the client's address."""
        return self._ask("getpeername")

    def getsockname(self):
        """Return the server's address."""
        return self._ask("getsockname")

    def getsockopt(self, *args):
        """Return an option of the socket."""
        return self._ask("getsockopt", *args)

    def setsockopt(self, *args) -> None:
        """Set an option of the socket, for as long as the connection lives."""
        self._ask("setsockopt", *args)

    def get_inheritable(self) -> bool:
        """Whether programs that the application starts inherit the descriptor."""
        return os.get_inheritable(self._link.fileno())

    def set_inheritable(self, inheritable: bool) -> None:
        """Let programs that the application starts inherit the descriptor, or not."""
        os.set_inheritable(self._link.fileno(), inheritable)

    def gettimeout(self) -> float | None:
        """Return for how many seconds sending and receiving wait; None: for ever."""
        return None if self._real is None else self._real.gettimeout()

    @property
    def timeout(self) -> float | None:
        """For how many seconds sending and receiving wait; None: for ever."""
        return self.gettimeout()

    def getblocking(self) -> bool:
        """Whether sending and receiving wait."""
        return self.gettimeout() != 0

    # Of no use: they raise the system's error for a connected socket.

    def accept(self):
        """Raise OSError: the socket does not listen."""
        return self._ask("_accept")

    def bind(self, address):
        """Raise OSError: the socket has an address."""
        return self._ask("bind", address)

    def listen(self, *backlog):
        """Raise OSError: the socket is connected."""
        return self._ask("listen", *backlog)


class ClientSocket(Looks):
    """Has the attributes of a `socket.socket`; those that are not here take the connection over."""

    def connect(self, address):
        """Raise OSError: the socket is connected."""
        return self._ask("connect", address)

    def connect_ex(self, address):
        """Return an error: the socket is connected."""
        return self._ask("connect_ex", address)

    def __getattr__(self, name):
        # eventlet's class has some of them in its instances alone.
        if not (hasattr(socket.socket, name) or hasattr(_socket.socket, name)):
            raise AttributeError(f"'socket' object has no attribute {name!r}")
        return getattr(self._taken(), name)
