"""gunicornc: asks a running server, one command or several in a session."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import sys

from gunicorn import __version__
from gunicorn._output import piped
from gunicorn.ctl import find, formats
from gunicorn.ctl.client import ConnectionLost, ControlClient, ControlClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HISTORY = "~/.gunicornc_history"
HISTORY_LINES = 1000
INTERRUPTED = 130  # 128 + SIGINT
LEAVE = ("quit", "exit", "q")


def main() -> int:
    """The command `gunicornc`. Returns its exit status.

    0, 1 for a failure, 130 for Ctrl-C, 141 if the reader of its output has left.
    """
    with piped():
        return _ask(_parser().parse_args())


def _ask(options: argparse.Namespace) -> int:
    if options.version:
        print(f"gunicornc (gunicorn {__version__})")
        return 0
    try:
        client = ControlClient(_absolute(options.socket) if options.socket else _only_server())
        with client:
            if options.command is not None:
                return _run(client, options.command, options.json)
            return _converse(client, options.json)
    except ControlClientError as exc:
        return _fail(exc)
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gunicornc",
        description="Ask a running gunicorn, and steer it, by its control socket.",
        epilog='Example: gunicornc -c "show workers". Without -c it reads commands: "help" lists '
        'them, "top" shows the workers at work.',
    )
    parser.add_argument(
        "-s",
        "--socket",
        metavar="PATH",
        help="the control socket; without it, that of the only server of this user that runs",
    )
    parser.add_argument("-c", "--command", help="run this command, and exit")
    parser.add_argument("-j", "--json", action="store_true", help="print answers as JSON")
    parser.add_argument("-v", "--version", action="store_true", help="print the version, and exit")
    return parser


def _absolute(path: str) -> str:
    return os.path.join(os.getcwd(), path)


def _only_server() -> str:
    """Return the socket of the only server of this user. Raises ControlClientError."""
    servers = find.servers()
    if len(servers) == 1:
        return next(iter(servers))
    if not servers:
        where = " and ".join(find.directories())
        raise ControlClientError(f"no server answers in {where}; name its socket by -s PATH")
    rows = formats.table(("PID", "SOCKET"), ((pid, path) for path, pid in servers.items()))
    raise ControlClientError(f"{len(servers)} servers run; choose one by -s PATH\n{rows}")


def _fail(reason: object) -> int:
    print(f"Error: {formats.harmless(str(reason))}", file=sys.stderr)
    return 1


# ---- one command ----


def _run(client: ControlClient, line: str, as_json: bool) -> int:
    """Run a command and print its answer. Returns 0, or 1 if it failed.

    Raises ConnectionLost.
    """
    words = line.split()
    try:
        if words[:1] == ["top"]:
            return _top(client, words[1:])
        data = client.send_command(_with_absolute_file(line))
    except ConnectionLost:
        raise
    except (ControlClientError, ValueError) as exc:
        return _fail(exc)
    failed = data.get("success") is False
    if as_json:
        print(json.dumps(data, indent=2))
    elif failed:
        return _fail(data.get("error"))
    else:
        print(formats.text_of(line, data))
    return 1 if failed else 0


def _with_absolute_file(line: str) -> str:
    """Return `config check FILE` with a path that is right in the directory of the server, too."""
    words = shlex.split(line) if line.startswith("config") else []
    if len(words) == 3 and words[:2] == ["config", "check"] and os.path.exists(words[2]):
        words[2] = os.path.abspath(words[2])
        return shlex.join(words)
    return line


def _top(client: ControlClient, args: list[str]) -> int:
    from gunicorn.ctl import top

    return top.run(client, args)


# ---- a session ----


def _converse(client: ControlClient, as_json: bool) -> int:
    """Read commands until the end of the input. Returns 0, or 1 if the server is gone."""
    print(f"Connected to {client.socket_path}. help lists the commands, quit ends.")
    with _history():
        while (line := _next_line()) is not None:
            if line and not _run_or_reconnect(client, line, as_json):
                return _fail("the server is gone")
    return 0


def _next_line() -> str | None:
    """Return a line; None at the end."""
    try:
        line = input("gunicorn> ").strip()
    except EOFError:
        print()
        return None
    return None if line.lower() in LEAVE else line


def _run_or_reconnect(client: ControlClient, line: str, as_json: bool) -> bool:
    """Run a command. False: the server cannot be reached any more."""
    try:
        _run(client, line, as_json)
    except ConnectionLost as exc:
        _fail(exc)
        try:
            client.connect()
        except ConnectionLost:
            return False
    return True


@contextlib.contextmanager
def _history() -> Iterator[None]:
    """Lines can be edited, and are kept for the next session, where Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    path = os.path.expanduser(HISTORY)
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(HISTORY_LINES)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            readline.write_history_file(path)


if __name__ == "__main__":
    sys.exit(main())
