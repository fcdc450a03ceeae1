"""What a reload changes, and how it is taken back when the new configuration does not work."""

import contextlib
import os
import sys

from gunicorn import sock

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
    """The state of an arbiter before a reload."""

    def __init__(self, arbiter, generation: int) -> None:
        self.generation = generation
        self.cfg = arbiter.cfg
        self.callable = getattr(arbiter.app, "callable", None)
        self.num_workers = arbiter.num_workers
        self.last_replaced = 0  # the age of the youngest worker that a newer one will replace
        self.attributes = {name: getattr(arbiter, name) for name in RESTORED}
        self.environ = dict(os.environ)
        self.cwd = _present_directory()
        self.path = sys.path[:]
        self.modules = dict(sys.modules) if arbiter.cfg.preload_app else None

    def restore(self, arbiter) -> None:
        """Put everything back, and close what the reload opened."""
        kept = self.attributes["LISTENERS"]
        sock.close_sockets([one for one in arbiter.LISTENERS if one not in kept])
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

    def close_in_worker(self, arbiter) -> None:
        """In a worker of the new configuration: let go of what only the old one uses."""
        for listener in self.attributes["LISTENERS"]:
            if listener not in arbiter.LISTENERS:
                listener.close()
        self.attributes["_shared"] = None
        self.attributes["_status"].close(unlink=False)

    def discard(self, arbiter) -> None:
        """The reload worked: close what only the old configuration used."""
        gone = [one for one in self.attributes["LISTENERS"] if one not in arbiter.LISTENERS]
        sock.refuse_new_connections(gone, arbiter.log)
        sock.close_sockets(gone)
        if arbiter._status is not self.attributes["_status"]:
            self.attributes["_status"].close()
        _unlink_other(self.attributes["pidfile"], arbiter.pidfile)


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
    """Take back what `raw_env` set, so that the new configuration sets it anew."""
    for name in cfg.env:
        if name in cfg.env_orig:
            os.environ[name] = cfg.env_orig[name]
        else:
            os.environ.pop(name, None)


def rebind(arbiter, log) -> None:
    """Listen where the new configuration says; an address that stays keeps its socket.

    The listeners that are not wanted any more stay open, for the workers that are still to come
    if the reload fails. Raises RuntimeError when an address cannot be bound.
    """
    cfg = arbiter.cfg
    if cfg.reuse_port:
        arbiter.LISTENERS = []
        return
    present = {listener.cfg_addr: listener for listener in arbiter.LISTENERS}
    made = []
    try:
        for address in cfg.address:
            listener = present.get(address)
            if listener is None:
                if isinstance(address, int):
                    listener = sock.take_over(address, cfg, log)
                else:
                    listener = sock.create_socket(address, cfg, log)
                made.append(listener)
                present[address] = listener
    except BaseException as exc:
        sock.close_sockets(made)
        if isinstance(exc, SystemExit):
            raise RuntimeError(f"cannot listen at {address}") from None
        raise
    arbiter.LISTENERS = [present[address] for address in cfg.address]


def forget_application(before: set) -> None:
    """Let the modules that the preloaded application brought in be imported anew.

    Not those of packages with extension modules, most of which cannot be loaded twice in a
    process, nor the standard library's.
    """
    names = [name for name in sys.modules if name not in before]
    kept = {"gunicorn", "__main__", *sys.stdlib_module_names}
    for name in names:
        path = getattr(sys.modules[name], "__file__", None)
        if not path or not path.endswith((".py", ".pyc")):
            spec = getattr(sys.modules[name], "__spec__", None)
            if path or spec is None or not spec.submodule_search_locations:
                kept.add(name.partition(".")[0])
    for name in names:
        if name.partition(".")[0] not in kept:
            del sys.modules[name]
    import importlib

    importlib.invalidate_caches()


def reason_of(exc: BaseException) -> BaseException:
    """What made a reload end: a mistake in the configuration arrives as SystemExit."""
    if isinstance(exc, SystemExit) and exc.__context__ is not None:
        return exc.__context__
    return exc
