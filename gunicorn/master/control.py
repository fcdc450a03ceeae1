"""The control socket's file: bound, moved at a reload, kept apart from those of other masters.

The master's loop, in C, reads the requests there; `gunicorn.master.commands` answers them.

Each master has a socket of its own. If the configured path belongs to a master that runs (another
server of this user, or the first master of an upgrade), this one takes PATH.2, or the next number
that is free. gunicornc looks for all of them.
"""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time

BACKLOG = 64
MOST = 256  # masters that share a path
LOCK_PATIENCE = 1.0  # seconds to wait for another master that looks for a path
OTHERS = 0o077  # the bits of a mode that let other users connect


class Control:
    """A master's control socket; `path` is None without one."""

    def __init__(self) -> None:
        self.path: str | None = None
        self._wanted: str | None = None
        self._listener: socket.socket | None = None
        self._identity: tuple[int, int] | None = (
            None  # of the file, which another process may have replaced
        )

    def follow(self, arbiter) -> None:
        """Have the socket where the configuration says. One that stays keeps its sessions.

        A path that cannot be used is logged; the server runs without a control socket then, or
        keeps the one it has.
        """
        cfg = arbiter.cfg
        if cfg.control_socket_disable or not cfg.control_socket:
            self.close(arbiter._core)
            return
        try:
            self._move(_absolute(cfg.control_socket), cfg.control_socket_mode, arbiter)
        except OSError as exc:
            log = arbiter.log.warning if cfg.was_set("control_socket") else arbiter.log.info
            where = self.path or "none"
            log("Cannot open %s: %s. Control socket: %s", cfg.control_socket, _reason(exc), where)

    def _move(self, wanted: str, mode: int, arbiter) -> None:
        listener = self._listener
        if listener is not None and wanted == self._wanted and self._is_ours():
            os.chmod(str(self.path), mode)
        else:
            listener, path = _listen(wanted, mode)
            self.close(arbiter._core)
            self._wanted, self._listener, self.path = wanted, listener, path
            self._identity = _identity(path)
            arbiter.log.info("Control socket: %s", path)
        arbiter._core.listen_control(listener.fileno(), not mode & OTHERS)

    def promote(self, log) -> None:
        """Move to the configured path, once the master that had it is gone."""
        path, wanted = self.path, self._wanted
        if path is None or wanted is None or path == wanted or not self._is_ours():
            return
        try:
            with _locked(os.path.dirname(wanted)):
                if not _is_free(wanted):
                    return
                os.rename(path, wanted)
        except OSError as exc:
            log.info("The control socket stays at %s: %s", path, _reason(exc))
            return
        self.path = wanted
        log.info("Control socket: %s", wanted)

    def close(self, core) -> None:
        """Accept no more clients, and remove the file if it is still this master's."""
        if self._listener is None:
            return
        core.listen_control(-1, True)
        if self._is_ours():
            with contextlib.suppress(OSError):
                os.unlink(str(self.path))
        self.leave()

    def leave(self) -> None:
        """In a forked process: close the descriptor alone."""
        if self._listener is not None:
            self._listener.close()
        self._listener = self.path = self._wanted = None

    def _is_ours(self) -> bool:
        return self.path is not None and self._identity == _identity(self.path)


def _absolute(path: str) -> str:
    return os.path.join(os.getcwd(), os.path.expanduser(path))


def _reason(exc: OSError) -> str:
    return exc.strerror or str(exc)


def _identity(path: str):
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _listen(wanted: str, mode: int) -> tuple[socket.socket, str]:
    """Return a listener at the first path that is free, and the path. Raises OSError."""
    directory = os.path.dirname(wanted)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with _locked(directory):
        for number in range(1, MOST + 1):
            path = wanted if number == 1 else f"{wanted}.{number}"
            if _is_free(path):
                return _bind(path, mode), path
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _bind(path: str, mode: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o777 & ~mode)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(umask)
    return listener


def _is_free(path: str) -> bool:
    """Whether nothing is at `path`. The socket of a master that has died is removed, if allowed."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
    except FileNotFoundError:
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) != errno.ECONNREFUSED:
            return False
    try:
        os.unlink(path)
    except PermissionError:  # another user's, in a directory such as /tmp
        return False
    return True


@contextlib.contextmanager
def _locked(directory: str):
    """Keep other masters from looking for a path in `directory` meanwhile.

    A process that keeps the lock for longer than LOCK_PATIENCE does not keep this one from its
    start.
    """
    fd = os.open(directory, os.O_RDONLY)
    try:
        limit = time.monotonic() + LOCK_PATIENCE
        while not _lock(fd) and time.monotonic() < limit:
            time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        return True
    return True
