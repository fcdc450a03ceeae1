"""The directory of a master's dirty socket.

The master locks it as long as it lives. So the next master can tell the directory of one that was
killed, and remove it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket

PREFIX = "gunicorn-dirty-"
NAME = "arbiter.sock"


def make() -> tuple[str, int]:
    """Make a directory. Returns the path of its socket, and the descriptor that keeps the lock.

    Raises OSError.
    """
    import tempfile

    directory = tempfile.mkdtemp(prefix=PREFIX)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    _lock(fd)
    return os.path.join(directory, NAME), fd


def remove(path: str) -> None:
    """Remove a socket and its directory, as far as possible."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))


def remove_dead(user: int) -> None:
    """Remove those of masters that are dead, and were this user's or `user`'s."""
    import tempfile

    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                _remove_if_dead(entry.path, (os.geteuid(), user))


def _remove_if_dead(directory: str, users: tuple[int, int]) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(fd).st_uid in users and _lock(fd) and _is_dead(directory):
                os.unlink(NAME, dir_fd=fd)  # not by its path: the user may exchange the directory
                os.rmdir(directory)
        finally:
            os.close(fd)


def _is_dead(directory: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(os.path.join(directory, NAME)) == errno.ECONNREFUSED


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another master's, or the file system has no locks
        return False
    return True
