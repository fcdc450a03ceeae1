"""The binary upgrade: a second master from the program on disk, on the same sockets."""

import fcntl
import os
import sys

from gunicorn import _core, _settings, systemd
from gunicorn.master import exchanges, settings, titles


def start_context() -> dict:
    """Return how this process was started: `args` for exec, `cwd`, and under 0 the program.

    `cwd` is where it was before `chdir`: relative names of the command line, of PYTHONPATH and of
    the configuration mean what they meant at the first start. It is spelled as PWD has it, so that
    a link leads to the deployment of today.
    """
    args = [sys.executable, *sys.argv]
    given = sys.orig_argv
    rest = sys.argv[1:]
    # Started with options of the interpreter, as in `python -m gunicorn`: keep them. Somebody who
    # changed sys.argv means that one.
    if not rest or given[-len(rest) :] == rest:
        args = [sys.executable, *given[1:]]
    return {"args": args, "cwd": _settings.START_DIRECTORY, 0: sys.executable}


def begin(arbiter) -> None:
    """Start a second master, unless there are two already."""
    if arbiter.reexec_pid:
        arbiter.log.warning("USR2 signal ignored. Child exists.")
        return
    if arbiter.master_pid:
        arbiter.log.warning("USR2 signal ignored. Parent exists.")
        return
    master_pid = os.getpid()
    status_pipe = arbiter._core.await_successor()
    _fork(arbiter)
    if os.getpid() != master_pid:
        _start(arbiter, master_pid, status_pipe)
    if status_pipe >= 0:
        os.close(status_pipe)
    exchanges.look_for_another_master(arbiter)


def _fork(arbiter) -> None:
    arbiter._forks = True
    try:
        arbiter.reexec_pid = os.fork()
    except OSError as exc:
        arbiter.log.error("Cannot fork a new master: %s", exc)
    finally:
        arbiter._forks = False


def _start(arbiter, master_pid: int, status_pipe: int) -> None:
    """In the new process. Does not return."""
    try:
        _core.drop_signals()
        arbiter.cfg.pre_exec(arbiter)
        _execute(arbiter, master_pid, status_pipe)
    except BaseException:
        arbiter.log.exception("The new master could not be started")
    finally:
        os._exit(1)


def _execute(arbiter, master_pid: int, status_pipe: int) -> None:
    """Become the new master. Raises OSError when the program cannot be executed."""
    environ = dict(arbiter.cfg.env_orig)
    environ["GUNICORN_PID"] = str(master_pid)
    above = systemd.SD_LISTEN_FDS_START + len(arbiter.LISTENERS)
    arbiter._status.hand_over(status_pipe, environ, above)
    if arbiter.systemd:
        _place_for_systemd([listener.fileno() for listener in arbiter.LISTENERS])
        environ["LISTEN_PID"] = str(os.getpid())
        environ["LISTEN_FDS"] = str(len(arbiter.LISTENERS))
    else:
        fds = [listener.fileno() for listener in arbiter.LISTENERS]
        for fd in fds:
            os.set_inheritable(fd, True)
        environ["GUNICORN_FD"] = ",".join(map(str, fds))
    context = arbiter.START_CTX
    os.chdir(context["cwd"])
    os.execvpe(context[0], context["args"], environ)


def _place_for_systemd(fds: list[int]) -> None:
    """Put the sockets where the protocol wants them, from descriptor 3 on."""
    first = systemd.SD_LISTEN_FDS_START
    aside = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, first + len(fds)) for fd in fds]
    for target, fd in enumerate(aside, first):
        os.dup2(fd, target, inheritable=True)


def promote(arbiter) -> None:
    """Take the place of the master that started this one, once it is gone."""
    if arbiter.master_pid and arbiter.master_pid != os.getppid():
        arbiter.log.info("Master has been promoted.")
        arbiter.master_name = "Master"
        arbiter.master_pid = 0
        exchanges.look_for_another_master(arbiter)
        arbiter._status.take_over(arbiter._core)
        arbiter._control.promote(arbiter.log)
        arbiter.proc_name = arbiter.cfg.proc_name
        os.environ.pop("GUNICORN_PID", None)
        arbiter._promoted_pidfile = arbiter.cfg.pidfile
        titles.show(arbiter, "master")
        systemd.sd_notify(f"MAINPID={arbiter.pid}", arbiter.log)
        settings.pass_to_core(arbiter)
    if arbiter._promoted_pidfile and arbiter.pidfile is not None:
        _rename_pidfile(arbiter)


def _rename_pidfile(arbiter) -> None:
    try:
        arbiter.pidfile.rename(arbiter._promoted_pidfile)
    except RuntimeError:
        return  # its owner is dead, but not yet collected by its parent: next time
    except OSError as exc:
        arbiter.log.error("Cannot rename the pidfile: %s", exc)
    arbiter._promoted_pidfile = None
    settings.pass_to_core(arbiter)
