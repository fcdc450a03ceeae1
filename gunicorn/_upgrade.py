"""The binary upgrade: a second master from the program on disk, on the same sockets."""

import fcntl
import os
import sys

from gunicorn import _settings, systemd


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


def execute(arbiter, master_pid: int, status_pipe: int = -1) -> None:
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
