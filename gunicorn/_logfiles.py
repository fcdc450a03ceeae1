"""Log files that are opened again, and their owner.

A master of root opens log files, and its workers, which run as the setting `user`, open them again
by their paths at USR1. So the master gives each of them to that user.

The user may be able to write to the directory. A file that somebody led the master to by a link is
not given away: a worker that was taken over would become the owner of files of root by it.
A file stays a file, too: the master would wait for the reader of a pipe in its place.
"""

import errno
import logging
import os
import stat


def open_again(handler: logging.FileHandler):
    """Open the file of `handler` once more and return the stream.

    Raises OSError, also when the path has become that of a pipe or a device.
    """
    if type(handler)._open is not logging.FileHandler._open:
        return handler._open()  # it may have a path of its own
    before = handler.stream
    was_file = before is not None and stat.S_ISREG(os.fstat(before.fileno()).st_mode)

    def opener(path: str, flags: int) -> int:
        fd = os.open(path, flags | os.O_NONBLOCK, 0o666)
        if was_file and not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "it is no file any more", path)
        os.set_blocking(fd, True)
        return fd

    return open(
        handler.baseFilename,
        handler.mode,
        encoding=handler.encoding,
        errors=handler.errors,
        opener=opener,
    )


def give_to_user(path: str, fd: int, cfg, *, only_empty: bool = False) -> None:
    """Make `user` and `group` of `cfg` the owners of the log file that `fd` has opened at `path`.

    only_empty: leave a file alone that has something in it, because it is not the one that was
    made in a rotation. Raises OSError when the system refuses.
    """
    if os.geteuid() != 0:
        return
    file = os.fstat(fd)
    if (file.st_uid, file.st_gid) == (cfg.uid, cfg.gid) or not stat.S_ISREG(file.st_mode):
        return
    if file.st_nlink == 1 and not (only_empty and file.st_size) and _is_no_trap(path, file):
        os.fchown(fd, cfg.uid, cfg.gid)


def _is_no_trap(path: str, file: os.stat_result) -> bool:
    """Whether `path` is the file itself, or a link that only root can have made."""
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        return found.st_uid == 0
    return os.path.samestat(found, file)


def error_descriptor(log) -> int:
    """Return the descriptor of the error log; that of standard error if it has none."""
    for handler in getattr(getattr(log, "error_log", None), "handlers", ()):
        try:
            return handler.stream.fileno()
        except (AttributeError, OSError, ValueError):
            continue
    return 2
