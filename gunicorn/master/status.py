"""The status port's socket: bound, bound anew at a reload, handed over in an upgrade.

The master's loop, in C, answers at it.
"""

import os
from types import SimpleNamespace

from gunicorn import sock

BACKLOG = 64
# In the environment of a second master: the socket, and a pipe by which it says that it answers.
VARIABLE = "GUNICORN_STATUS_FD"


class Status:
    """A master's status port; `listener` is None without one."""

    def __init__(self) -> None:
        self.address = None
        self.listener = None
        self._first_master = -1  # a pipe to it, until we answer

    def open(self, cfg, log, core) -> None:
        """Listen, at the socket of the first master or at one of our own.

        Ends the process with status 1 when the address cannot be bound.
        """
        self.address = cfg.status_bind
        handed = self._inherit(cfg, log)
        self.listener = handed
        if self.address is not None and handed is None:
            self.listener = sock.create_socket(self.address, _socket_settings(cfg), log)
        core.status_paused = handed is not None  # the first master answers until we have a worker
        self.watch(core)
        if self.listener is not None:
            log.info("Status at: %s", self.listener)

    def _inherit(self, cfg, log):
        handed = os.environ.pop(VARIABLE, "")
        if not handed:
            return None
        fd, self._first_master, address = handed.split(",", 2)
        self._first_master = int(self._first_master)
        os.set_inheritable(self._first_master, False)
        if address == repr(self.address):
            return sock.take_over(int(fd), _socket_settings(cfg), log)
        os.close(int(fd))
        return None

    def watch(self, core) -> None:
        """Let `core` answer here."""
        core.status_socket = self.listener.fileno() if self.listener else -1

    def rebind(self, cfg, log, core) -> "Status":
        """Return the status port of a new configuration, which is this one if it may stay.

        Raises RuntimeError when the new address cannot be bound.
        """
        if cfg.status_bind == self.address:
            return self
        made = Status()
        try:
            made.open(cfg, log, core)
        except SystemExit:
            raise RuntimeError(f"cannot listen at {cfg.status_bind}, the status port") from None
        return made

    def close(self, unlink: bool = True) -> None:
        if self._first_master >= 0:
            os.close(self._first_master)
            self._first_master = -1
        if self.listener is not None:
            sock.close_sockets([self.listener], unlink=unlink)
            self.listener = None

    # ---- upgrade ----

    def hand_over(self, pipe: int, environ, above: int) -> None:
        """In the process that becomes the second master: let it inherit the socket and `pipe`.

        Their descriptors are `above` or higher then.
        """
        environ.pop(VARIABLE, None)  # of this process, if it was a second master
        if self.listener is None or pipe < 0:
            return
        import fcntl

        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD, above) for fd in (self.listener.fileno(), pipe)]
        environ[VARIABLE] = f"{fds[0]},{fds[1]},{self.address!r}"

    def take_over(self, core) -> None:
        """Answer from now on, in place of the first master."""
        core.status_paused = False
        if self._first_master >= 0:
            try:
                os.write(self._first_master, b"1")
            except OSError:
                pass  # it is gone
            os.close(self._first_master)
            self._first_master = -1


def _socket_settings(cfg):
    """Return the settings of the status port's socket, which is nobody else's."""
    return SimpleNamespace(
        reuse_port=False,
        is_ssl=False,
        backlog=BACKLOG,
        umask=0o777 & ~cfg.status_mode,
        uid=cfg.uid,
        gid=cfg.gid,
    )
