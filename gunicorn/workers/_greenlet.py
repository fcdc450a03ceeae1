"""Requests in greenlets, of any hub."""

import gc
import os

from greenlet import GreenletExit, getcurrent, greenlet

from gunicorn.workers import _overrides
from gunicorn.workers.loop_host import LoopWorker


class GreenletWorker(LoopWorker):
    """Runs the application in greenlets, over a standard library that a package has patched.

    Blocking calls of the application let others run, if they go through the standard library's
    sockets, locks, sleep and the like.

    A subclass supplies the methods that are not implemented here, and those of the loop; its `name`
    is the package's, too. It calls `patch()` before the application is imported.
    """

    patches = True  # the standard library, after the fork
    quiet_exceptions = (GreenletExit,)
    current = staticmethod(getcurrent)

    @staticmethod
    def is_patched() -> bool:
        """Return whether the standard library is patched already."""
        raise NotImplementedError

    def patch(self) -> None:
        """Replace blocking functions of the standard library by the package's."""
        raise NotImplementedError

    @staticmethod
    def spawn_greenlet(function, *args) -> None:
        """Call `function(*args)` in a greenlet of its own, soon."""
        raise NotImplementedError

    @staticmethod
    def kill_greenlet(one) -> None:
        """Raise GreenletExit in a greenlet that waits."""
        raise NotImplementedError

    @classmethod
    def check_config(cls, cfg, log) -> None:
        """Warn when the application is imported before the package can patch its modules."""
        if cfg.preload_app and not cls.is_patched():
            log.warning(
                "preload_app: the application is imported before %s patches the standard "
                "library. What it took from there by name, or opened, will block the whole worker.",
                cls.name,
            )

    def runs_request(self) -> bool:
        return type(getcurrent()) is RequestGreenlet

    def abort_requests(self) -> None:
        for one in running_requests():
            self.kill_greenlet(one)

    _forker = None  # in a process that the application has forked: the greenlet that did so

    @staticmethod
    def leave_to_others() -> None:
        """Switch to the hub, not to be resumed."""
        raise NotImplementedError

    def disown(self) -> None:
        self._forker = getcurrent()
        super().disown()

    def park_copy(self) -> None:
        one = getcurrent()
        while isinstance(one, RequestGreenlet) and one is not self._forker:
            _parked.add(one)
            self.leave_to_others()

    @_overrides.plain
    def handle_request(self, listener_name, req, sock, addr) -> bool:
        """Run the application for one request and send its answer.

        For subclasses: one that overrides it does more before and after, or catches the
        application's exceptions. `listener_name` is the address that was connected to, `req` the
        request as hooks see it, `sock` is `environ["gunicorn.socket"]`, `addr` the client's
        (host, port).

        Returns whether the client asked for the connection to be kept; the result of an override
        has no effect.
        """
        req._proceed(req, addr, listener_name, sock)
        return not req.should_close()

    def pass_request(self, listener, req, client) -> None:
        """Call `handle_request` for the engine, which does so when it is a subclass's."""
        self.handle_request(listener.getsockname(), req, client, req.peer_addr)

    # ---- signals: a handler may interrupt the loop itself, where nothing can wait ----

    def handle_quit(self, sig, frame) -> None:
        """Stop now."""
        self.spawn_greenlet(super().handle_quit, sig, frame)

    def handle_usr1(self, sig, frame) -> None:
        """Open the log files anew."""
        self.spawn_greenlet(self._reopen_logs, sig, frame)

    def _reopen_logs(self, sig, frame) -> None:
        super().handle_usr1(sig, frame)
        os.write(self.PIPE[1], b"\0")  # the engine follows


_parked: set[greenlet] = set()


class RequestGreenlet(greenlet):
    """One request."""

    def throw(self, *args):
        """As ever, but nothing when it has ended: a timer that was forgotten is nobody's error."""
        if not self.dead:
            return super().throw(*args)


def running_requests() -> list[RequestGreenlet]:
    """Return the requests that run.

    The garbage collector finds them: no list is kept for the rare moment at which it is wanted.
    """
    return [one for one in gc.get_objects() if type(one) is RequestGreenlet and one]
