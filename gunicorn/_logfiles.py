"""The owner of log files.

A master of root opens log files, and its workers, which run as the setting `user`, open them again
by their paths at USR1. So the master gives each of them to that user.

The user may be able to write to the directory. A file that somebody led the master to by a link is
not given away: a worker that was taken over would become the owner of files of root by it.
"""

import os
import stat


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
