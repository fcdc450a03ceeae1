"""The changes of a reload, and their undoing when the new configuration does not work."""

import contextlib
import os
import sys

from gunicorn import sock
from gunicorn.master import shutdown
from gunicorn.pidfile import Pidfile

RESTORED = (
    "worker_class",
    "address",
    "timeout",
    "proc_name",
    "LISTENERS",
    "pidfile",
    "tls",
    "_status",
    "_shared",
)


class Snapshot:
    """The state of an arbiter before a reload; before the first one, when they overtake each other.

    `listeners` are those of that time, and all that were opened since.
    """

    def __init__(self, arbiter, generation: int) -> None:
        self.generation = generation
        self.cfg = arbiter.cfg
        self.callable = getattr(arbiter.app, "callable", None)
        self.num_workers = arbiter.num_workers
        self.log_level = arbiter._log_level.level
        self.last_replaced = 0  # the age of the youngest worker that a newer one will replace
        self.attributes = {name: getattr(arbiter, name) for name in RESTORED}
        self.listeners = list(arbiter.LISTENERS)
        self.environ = dict(os.environ)
        self.cwd = _present_directory()
        self.path = sys.path[:]
        self.modules = dict(sys.modules) if arbiter.cfg.preload_app else None

    def restore(self, arbiter) -> None:
        """Put everything back, and close the descriptors that the reload opened."""
        kept = self.attributes["LISTENERS"]
        sock.close_sockets([one for one in self.listeners if one not in kept])
        if arbiter._status is not self.attributes["_status"]:
            arbiter._status.close()
        _unlink_other(arbiter.pidfile, self.attributes["pidfile"])
        if self.modules is not None:
            sys.modules.clear()
            sys.modules.update(self.modules)
        sys.path[:] = self.path
        if self.cwd is not None:
            with contextlib.suppress(OSError):  # it is gone: there is no way back
                os.chdir(self.cwd)
        _set_environ(self.environ)
        arbiter.app.cfg = arbiter.cfg = self.cfg
        if hasattr(arbiter.app, "callable"):
            arbiter.app.callable = self.callable
        for name, value in self.attributes.items():
            setattr(arbiter, name, value)
        arbiter.num_workers = self.num_workers
        arbiter.log.setup(self.cfg)
        arbiter._log_level.apply(arbiter, self.log_level)

    def close_in_worker(self, arbiter) -> None:
        """In a worker of the new configuration: release the resources of the old one."""
        for listener in self._unused(arbiter):
            listener.close()
        self.attributes["_shared"] = None
        self.attributes["_status"].close(unlink=False)

    def discard(self, arbiter) -> None:
        """Close resources of older configurations: the reload worked, or the server stops."""
        gone = self._unused(arbiter)
        shared = shutdown.shares_sockets(arbiter)
        if not shared:
            sock.refuse_new_connections(gone, arbiter.log)
        sock.close_sockets(gone, unlink=not shared)
        if arbiter._status is not self.attributes["_status"]:
            self.attributes["_status"].close()
        _unlink_other(self.attributes["pidfile"], arbiter.pidfile)

    def _unused(self, arbiter) -> list:
        return [one for one in self.listeners if one not in arbiter.LISTENERS]


def _present_directory() -> str | None:
    """Return where this process is; None when that directory was removed, as by a deployment."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def _unlink_other(pidfile, kept) -> None:
    if pidfile is not None and (kept is None or pidfile.fname != kept.fname):
        pidfile.unlink()


def _set_environ(wanted: dict) -> None:
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def reset_environ(cfg) -> None:
    """Remove the variables of `raw_env`, so that the new configuration sets it anew."""
    for name in cfg.env:
        if name in cfg.env_orig:
            os.environ[name] = cfg.env_orig[name]
        else:
            os.environ.pop(name, None)


def rebind(arbiter, snapshot: Snapshot) -> None:
    """Listen where the new configuration says; an address that stays keeps its socket.

    The listeners that are not wanted any more stay open, for the workers that are still to come
    if the reload fails. Raises RuntimeError when an address cannot be bound.
    """
    cfg, log = arbiter.cfg, arbiter.log
    if cfg.reuse_port:
        arbiter.LISTENERS = []
        return
    present = list(snapshot.listeners)
    made, chosen = [], []
    try:
        for address in sock.distinct(cfg.address):
            listener = next((one for one in present if one.cfg_addr == address), None)
            if listener is not None:
                present.remove(listener)
            elif isinstance(address, int):
                listener = sock.take_over(address, cfg, log)
                made.append(listener)
            else:
                listener = sock.create_socket(address, cfg, log)
                made.append(listener)
            chosen.append(listener)
    except BaseException as exc:
        sock.close_sockets(made)
        if isinstance(exc, SystemExit):
            raise RuntimeError(f"cannot listen at {address}") from None
        raise
    snapshot.listeners += made
    arbiter.LISTENERS = chosen


def move_status(arbiter, snapshot: Snapshot) -> None:
    """Have the status port where the new configuration says.

    Raises RuntimeError when that cannot be bound.
    """
    first, present = snapshot.attributes["_status"], arbiter._status
    if arbiter.cfg.status_bind == first.address:
        arbiter._status = first
        first.watch(arbiter._core)
    else:
        arbiter._status = present.rebind(arbiter.cfg, arbiter.log, arbiter._core)
    if present not in (first, arbiter._status):
        present.close()


def move_pidfile(arbiter, snapshot: Snapshot, old) -> None:
    """Have the pidfile where the new configuration says; `old` is the one before.

    Raises RuntimeError or OSError when it cannot be written.
    """
    path, present = arbiter.cfg.pidfile, arbiter.pidfile
    if old.pidfile == path:
        if present is not None:
            present.create(arbiter.pid)  # somebody may have removed it
        return
    wanted = None
    if path is not None:
        wanted = Pidfile(path + (".2" if arbiter.master_pid else ""))
        wanted.create(arbiter.pid)
    arbiter.pidfile = wanted
    if present is not snapshot.attributes["pidfile"]:
        _unlink_other(present, wanted)
