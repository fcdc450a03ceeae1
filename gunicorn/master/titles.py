"""The title that ps(1) shows for the processes of the server."""

from gunicorn import _core, util


def prepare() -> None:
    """Let the package setproctitle, which hooks and applications use, find the title's memory.

    It looks for the command line in front of the environment: before either is changed.
    """
    try:
        import setproctitle
    except ImportError:
        return
    setproctitle.getproctitle()


def show(arbiter, role: str) -> None:
    """Show this process by a title, as gunicorn does where setproctitle is installed.

    Else the command line stays, which pgrep -f and supervisors look for, unless `proc_name`
    asks for a title.
    """
    named = arbiter.cfg.settings["proc_name"].get() is not None
    arbiter._titled |= named or util.has_setproctitle()
    if arbiter._titled:
        _core.set_proc_title(f"gunicorn: {role} [{arbiter.proc_name}]")
