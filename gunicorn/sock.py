"""The listening sockets: made from addresses, taken over from others, closed."""

import contextlib
import errno
import os
import socket
import stat
import sys
import time
import weakref

from gunicorn import _core, util

BIND_TRIES = 5
BIND_PAUSE = 1.0  # seconds between two tries
UNIX_PATH_MAX = 107  # bytes of a unix socket's path: sockaddr_un less the zero at its end (Linux)
DEFER_ACCEPT = 1  # seconds
FIRST_BYTE_PAUSE = 0.1  # seconds; it comes with the end of the handshake or right behind

TCP_INFO_SIZE = 104
TCP_INFO_UNACKED = 24  # offset of tcpi_unacked: for a listener, the connections that wait


# All that are open in this process, to tell an address that is in use by ourselves.
_ours: weakref.WeakSet = weakref.WeakSet()


class BaseSocket:
    """A listening socket with its address. Other attributes are the socket's.

    `fd` is a descriptor that is bound already; the object takes it over.
    Raises OSError when the address cannot be bound.
    """

    FAMILY: int

    def __init__(self, address, conf, log, fd: int | None = None) -> None:
        self.log = log
        self.conf = conf
        self.cfg_addr = address
        if fd is None:
            sock = socket.socket(self.FAMILY, socket.SOCK_STREAM)
        else:
            sock = socket.socket(self.FAMILY, socket.SOCK_STREAM, fileno=fd)
        try:
            self.sock = self.set_options(sock, bound=fd is not None)
        except BaseException:
            sock.close()
            raise
        _ours.add(self)

    def __str__(self) -> str:
        return f"<socket {self.sock.fileno()}>"

    def __getattr__(self, name):
        if name == "sock":  # not there yet
            raise AttributeError(name)
        return getattr(self.sock, name)

    def set_options(self, sock: socket.socket, bound: bool = False) -> socket.socket:
        """Prepare `sock`, bind it unless it is `bound`, and let it listen."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.conf.reuse_port and hasattr(socket, "SO_REUSEPORT"):
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            except OSError as exc:
                # Not for this kind of socket, such as a unix one.
                if exc.errno not in (errno.ENOPROTOOPT, errno.EINVAL, errno.EOPNOTSUPP):
                    raise
        if not bound:
            self.bind(sock)
        sock.setblocking(False)
        # Workers inherit by fork, which needs no inheritable descriptor; programs that are
        # executed get only descriptors that are passed on purpose.
        sock.set_inheritable(False)
        if not self._is_listening(sock):
            sock.listen(self.conf.backlog)
        return sock

    @staticmethod
    def _is_listening(sock: socket.socket) -> bool:
        try:
            return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        except (AttributeError, OSError):
            return False

    def bind(self, sock: socket.socket) -> None:
        sock.bind(self.cfg_addr)

    def close(self) -> None:
        """Close this process' descriptor; may be called again."""
        if self.sock is None:
            return
        _ours.discard(self)
        try:
            self.sock.close()
        except OSError as exc:
            self.log.info("Error while closing socket %s", exc)
        self.sock = None  # type: ignore[assignment]  # closed

    def get_backlog(self) -> int:
        """Return how many connections wait to be accepted, -1 where that is not known."""
        return -1


class TCPSocket(BaseSocket):
    FAMILY = socket.AF_INET

    def __str__(self) -> str:
        host, port = self.sock.getsockname()[:2]
        return f"{'https' if self.conf.is_ssl else 'http'}://{host}:{port}"

    def set_options(self, sock: socket.socket, bound: bool = False) -> socket.socket:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not bound and not self.conf.reuse_port:
            self._defer_accept(sock)
        return super().set_options(sock, bound=bound)

    @staticmethod
    def _defer_accept(sock: socket.socket) -> None:
        """Have the kernel keep a connection to itself until the client has sent something.

        That saves a worker a third of the work for a request on a connection of its own. A client
        that goes on to be silent is handed over after a second. Not for queues of `reuse_port`,
        which end with their worker.
        """
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_ACCEPT)

    if sys.platform == "linux":

        def get_backlog(self) -> int:
            if self.sock is None:
                return 0
            try:
                info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
            except OSError:
                return 0
            return int.from_bytes(info[TCP_INFO_UNACKED : TCP_INFO_UNACKED + 4], sys.byteorder)


class TCP6Socket(TCPSocket):
    FAMILY = socket.AF_INET6

    def __str__(self) -> str:
        host, port = self.sock.getsockname()[:2]
        return f"{'https' if self.conf.is_ssl else 'http'}://[{host}]:{port}"


class UnixSocket(BaseSocket):
    FAMILY = socket.AF_UNIX

    def __init__(self, address, conf, log, fd: int | None = None) -> None:
        if fd is None and not _is_abstract(address):
            _remove_stale(address)
        super().__init__(address, conf, log, fd=fd)

    def __str__(self) -> str:
        return f"unix:{self.cfg_addr}"

    def bind(self, sock: socket.socket) -> None:
        before = os.umask(self.conf.umask)
        try:
            sock.bind(self.cfg_addr)
        finally:
            os.umask(before)
        if _is_abstract(self.cfg_addr):
            return
        try:
            # Not of a link's target: another user may have put the link in its place.
            os.chown(self.cfg_addr, self.conf.uid, self.conf.gid, follow_symlinks=False)
        except OSError:
            util.unlink(self.cfg_addr)
            raise


def _is_abstract(address: str | bytes) -> bool:
    return address[:1] in ("\0", b"\0")


def _remove_stale(path: str | bytes) -> None:
    """Make room for a socket. Raises ValueError when something else is there."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ValueError(f"{path!r} is not a socket: remove it, or bind another path")
    os.remove(path)


def _sock_type(address) -> type[BaseSocket]:
    if isinstance(address, tuple):
        return TCP6Socket if util.is_ipv6(address[0]) else TCPSocket
    if isinstance(address, (str, bytes)):
        return UnixSocket
    raise TypeError(f"Unable to create socket from: {address!r}")


# The system does not have the address, or nothing of its family.
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _is_name(address) -> bool:
    if not isinstance(address, tuple) or not address[0] or util.is_ipv6(address[0]):
        return False
    try:
        socket.inet_pton(socket.AF_INET, address[0])
    except (OSError, ValueError):
        return True
    return False


def _choices(address) -> list:
    """Return the choices for binding `address`: [(class, address)]. Raises OSError.

    A name's IPv4 addresses come first, as gunicorn knows no others, then those of IPv6; each in
    the order of getaddrinfo(3).
    """
    if not _is_name(address):
        return [(_sock_type(address), address)]
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)  # type: ignore[misc]
    kinds = {socket.AF_INET: TCPSocket, socket.AF_INET6: TCP6Socket}
    choices = [(kinds[family], to) for family, *_, to in found if family in kinds]
    return sorted(choices, key=lambda choice: choice[0] is TCP6Socket)


def _bind_first(address, conf, log) -> BaseSocket:
    """Return a listener at the first choice that this system has. Raises OSError."""
    choices = _choices(address)
    for number, (kind, choice) in enumerate(choices, 1):
        try:
            listener = kind(choice, conf, log)
        except OSError as exc:
            if exc.errno in NOT_HERE and number < len(choices):
                continue
            if _is_name(address) and exc.errno in NOT_HERE:
                tried = " and ".join(choice[0] for _, choice in choices[:number])
                raise OSError(exc.errno, f"{exc.strerror} (tried {tried})") from exc
            raise
        listener.cfg_addr = address
        return listener
    raise OSError(errno.EADDRNOTAVAIL, "The name has no address")


def _own_listener(address) -> BaseSocket | None:
    """Return a listener of this process that keeps `address` from being bound."""
    if not isinstance(address, tuple):
        return None
    choices = [choice for _, choice in _choices(address)]
    for listener in list(_ours):
        if isinstance(listener, TCPSocket) and listener.sock is not None:
            present = listener.getsockname()
            if any(_overlap(present, choice) for choice in choices):
                return listener
    return None


def _overlap(one: tuple, other: tuple) -> bool:
    hosts = {one[0] or "0.0.0.0", other[0] or "0.0.0.0"}
    same_family = util.is_ipv6(one[0]) == util.is_ipv6(other[0])
    every = "::" in hosts or (same_family and "0.0.0.0" in hosts)  # [::] takes IPv4 as well
    return one[1] == other[1] and (every or len(hosts) == 1)


def take_over(fd: int, conf, log) -> BaseSocket:
    """Return the listener for a descriptor that this process was started with.

    Raises RuntimeError when it is no socket.
    """
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=fd)
    except OSError as exc:
        raise RuntimeError(
            f"Cannot listen at descriptor {fd}: {exc.strerror}. Whoever starts the server has to "
            "open a socket for each fd://N, or count them in LISTEN_FDS"
        ) from exc
    try:
        address = sock.getsockname()
    finally:
        sock.detach()
    return _sock_type(address)(address, conf, log, fd=fd)


def _what_helps(exc, address, conf) -> str | None:
    """Return the remedy if `address` cannot be bound; None if the error is clear."""
    number = getattr(exc, "errno", None)
    if isinstance(address, tuple):
        own = _own_listener(address) if number == errno.EADDRINUSE else None
        if own is not None:
            return (
                f"This server itself has the address: it listens at {own}. Name each address once "
                "in bind and status_bind; [::] is for IPv4 as well. A reload opens the new "
                "sockets before it closes the old ones"
            )
        if number == errno.EACCES and address[1] < 1024:
            return (
                f"Port {address[1]} needs root or the capability CAP_NET_BIND_SERVICE: bind one "
                "from 1024 on, behind a proxy, or have systemd open it"
            )
        return None
    path = os.fsdecode(address)
    directory = os.path.dirname(path) or "."
    if len(os.fsencode(path)) > UNIX_PATH_MAX:
        return f"The path of a unix socket has at most {UNIX_PATH_MAX} bytes"
    if number == errno.EPERM and exc.filename is not None:  # of chown(2)
        return (
            f"To give the socket to user {conf.uid} and group {conf.gid} takes root with the "
            "capability CAP_CHOWN: start it so, or without the settings user and group"
        )
    if number == errno.EACCES:
        return f"The user with id {os.geteuid()} may not make a socket in {directory!r}"
    if not _is_abstract(path) and not os.path.isdir(directory):
        return f"There is no directory {directory!r}: make it, before the server is started"
    return None


def _may_pass(exc: Exception, address) -> bool:
    """Whether waiting helps: it gives no rights, no shorter path (an OSError without errno), and
    does not close the descriptors of this process."""
    if not isinstance(exc, OSError) or exc.errno in (errno.EACCES, errno.EPERM, None):
        return False
    return exc.errno != errno.EADDRINUSE or _own_listener(address) is None


def create_socket(address, conf, log) -> BaseSocket:
    """Bind `address`; an address in use is tried again for a few seconds.

    Ends the process with status 1 when it stays in use, or is not ours to bind.
    """
    for attempt in range(BIND_TRIES):
        try:
            return _bind_first(address, conf, log)
        except (OSError, ValueError) as exc:
            number = getattr(exc, "errno", None)
            if number == errno.EADDRINUSE:
                log.error("Connection in use: %s", address)
            if number == errno.EADDRNOTAVAIL:
                log.error("Invalid address: %s", address)
            log.error("connection to %s failed: %s", address, exc)
            last = attempt == BIND_TRIES - 1 or not _may_pass(exc, address)
            help = _what_helps(exc, address, conf) if last else None
        if last:
            break
        log.debug("Retrying in 1 second.")
        time.sleep(BIND_PAUSE)
    if help is not None:
        log.error("%s", help)
    log.error("Can't connect to %s", address)
    sys.exit(1)


def check_certificates(conf) -> None:
    """Raise ValueError when the certificate or its key is not there."""
    for name in ("certfile", "keyfile"):
        path = getattr(conf, name)
        if path and not os.path.exists(path):
            raise ValueError(f'{name} "{path}" does not exist')


def create_sockets(conf, log, fds=None) -> list[BaseSocket]:
    """Return the listeners of `conf`.

    Descriptors that are bound already, `fds` and those of the addresses fd://N, take the place of
    every other address. Raises ValueError for a bad certificate path, RuntimeError for a descriptor
    that is no socket; ends the process with status 1 when an address cannot be bound.
    """
    check_certificates(conf)
    addresses = conf.address
    inherited = [address for address in addresses if isinstance(address, int)] + list(fds or ())
    if inherited:
        return [take_over(fd, conf, log) for fd in inherited]
    return [create_socket(address, conf, log) for address in distinct(addresses)]


def distinct(addresses) -> list:
    """Return the addresses without paths that are named twice.

    A second socket at a path would take the place of the first, where nobody could reach it.
    """
    kept: list = []
    for address in addresses:
        if isinstance(address, tuple) or address not in kept:
            kept.append(address)
    return kept


def close_sockets(listeners, unlink: bool = True) -> None:
    """Close every listener, and remove the files of unix sockets if `unlink` is true."""
    for listener in listeners:
        name = listener.getsockname()
        listener.close()
        if unlink and _sock_type(name) is UnixSocket and name and not _is_abstract(name):
            util.unlink(name)


def leave_open(listeners) -> None:
    """Leave the descriptors to the end of the process: its threads may still use them."""
    for listener in listeners:
        if isinstance(listener, BaseSocket) and listener.sock is not None:
            listener.sock.detach()


def refuse_new_connections(listeners, log) -> None:
    """Let TCP listeners take no new connection, for every process that shares them.

    Connections in their queues can still be accepted. So none arrives between a worker's last
    accept and its close, to be lost. The kernel keeps connections without a first byte to itself:
    returns once those have had time to get one.
    """
    deferred = False
    for listener in listeners:
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            deferred |= _accept_at_once(listener)
            try:
                _core.refuse_new_connections(listener)
            except OSError as exc:
                log.debug("Cannot shut %s to new connections: %s", listener, exc)
    if deferred:
        time.sleep(FIRST_BYTE_PAUSE)


def _accept_at_once(listener) -> bool:
    """Undo `_defer_accept()`; return whether there was anything to undo."""
    if not hasattr(socket, "TCP_DEFER_ACCEPT"):
        return False
    try:
        if listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) == 0:
            return False
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 0)
    except OSError:
        return False
    return True


# ---- TLS ----


def ssl_context(conf):
    """Return the `ssl.SSLContext` of the settings, or of the hook `ssl_context`."""
    from gunicorn import _ssl_context

    return _ssl_context.make(conf)


def ssl_wrap_socket(sock: socket.socket, conf):
    """Return `sock` behind TLS, as the server's side."""
    return ssl_context(conf).wrap_socket(
        sock,
        server_side=True,
        suppress_ragged_eofs=conf.suppress_ragged_eofs,
        do_handshake_on_connect=conf.do_handshake_on_connect,
    )
