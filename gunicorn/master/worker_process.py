"""A worker's life, in the process that was forked for it."""

import os
import sys
from _thread import get_ident

from gunicorn import sock, util
from gunicorn.errors import AppImportError, AppModuleNotFound, ConfigError
from gunicorn.master import ending, exchanges, titles
from gunicorn.workers import _forked


class Forked(BaseException):
    """Raised in a new worker by each call that is the master's, until `run()` has caught it.

    So a worker has none of the master's frames below it, nor the objects of their variables.
    """


def run(arbiter, master) -> None:
    """Call `master()`. In the processes that it forks, live when its frames are gone."""
    arbiter._unwinds = get_ident()
    try:
        master()
        return
    except Forked:
        pass
    begin(arbiter)


def forked(arbiter, live) -> None:
    """This process is new: leave the master's frames, if `run()` is below them, and `live()`."""
    arbiter._newborn = live
    if arbiter._unwinds == get_ident():
        raise Forked
    begin(arbiter)


def raise_again(arbiter) -> None:
    """The C core is used in a forked process: some method has caught Forked, so raise it again."""
    if arbiter._newborn is not None:
        raise Forked


def begin(arbiter) -> None:
    """Live. Raises SystemExit alone: nothing of the master's may go on in here."""
    live, arbiter._newborn = arbiter._newborn, None
    try:
        exchanges.keep_own(arbiter)
        live()
    except SystemExit:
        raise
    except BaseException:  # of the logger
        os._exit(255)


def be_worker(arbiter, worker) -> None:
    """Be a web worker. Raises SystemExit."""
    try:
        _live(arbiter, worker)
    except SystemExit:
        raise
    except BaseException:  # of the logger
        os._exit(255 if worker.booted else arbiter.WORKER_BOOT_ERROR)


def _live(arbiter, worker) -> None:
    worker.pid = os.getpid()
    try:
        _become(arbiter, worker)
        arbiter.cfg.post_fork(arbiter, worker)
        _serve(worker)
        sys.exit(0)
    except SystemExit:
        raise
    except (AppImportError, ConfigError) as exc:
        _log_bad_start(arbiter, exc)
        found = not isinstance(exc, (AppModuleNotFound, ConfigError))
        sys.exit(arbiter.APP_LOAD_ERROR if found else arbiter.WORKER_BOOT_ERROR)
    except BaseException as exc:
        arbiter.log.exception("Exception in worker process")
        util.say(exc)
        sys.exit(-1 if worker.booted else arbiter.WORKER_BOOT_ERROR)
    finally:
        _end(arbiter, worker)


def _become(arbiter, worker) -> None:
    """Release the master's resources, and take the worker's own."""
    ending.forget_processes()
    worker.master_pipe = arbiter._core.master_pipe
    arbiter._status.close(unlink=False)
    arbiter._control.leave()
    arbiter._dirty.leave()
    titles.show(arbiter, "worker")
    if arbiter._reloading is not None:
        arbiter._reloading.close_in_worker(arbiter)
    arbiter.log.info("Booting worker with pid: %s", worker.pid)
    if arbiter.cfg.reuse_port:
        worker.sockets = sock.create_sockets(arbiter.cfg, arbiter.log)


def _log_bad_start(arbiter, exc) -> None:
    arbiter.log.debug("The worker cannot start", exc_info=True)
    if arbiter.cfg.errorlog != "-":
        arbiter.log.error("%s", exc)
    util.say(exc)


def _serve(worker) -> None:
    """Run the worker. A process that its application has forked does not come back."""
    try:
        worker.init_process()
    except BaseException as exc:
        _forked.end_if_child(worker, exc)
        raise
    _forked.end_if_child(worker)


def _end(arbiter, worker) -> None:
    arbiter.log.info("Worker exiting (pid: %s)", worker.pid)
    ending.guard(arbiter.log, f"Worker (pid:{worker.pid})", worker.patience())
    try:
        worker.tmp.close()
        arbiter.cfg.worker_exit(arbiter, worker)
    except Exception:
        arbiter.log.warning("Exception during worker exit:", exc_info=True)
    sock.leave_open([*arbiter.LISTENERS, *worker.sockets])
