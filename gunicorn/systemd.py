"""Socket activation and notifications of systemd: sd_listen_fds(3) and sd_notify(3)."""

import os
import socket

SD_LISTEN_FDS_START = 3


def _number(name: str) -> int:
    try:
        return int(os.environ.get(name, 0))
    except ValueError:
        return 0


def listen_fds(unset_environment: bool = True) -> int:
    """Return how many sockets were handed to this process, from descriptor 3 on.

    They are meant for us only if LISTEN_PID is our own number. The variables are then removed,
    so that no child takes them for its own, unless `unset_environment` is false.
    """
    if _number("LISTEN_PID") != os.getpid():
        return 0
    count = _number("LISTEN_FDS")
    if unset_environment:
        for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            os.environ.pop(name, None)
    return count


def sd_notify(state: str, logger, unset_environment: bool = False) -> None:
    """Tell the service manager `state`, lines of NAME=VALUE.

    Does nothing without NOTIFY_SOCKET; a failure is logged at debug level only.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if address is None:
        return
    try:
        if address.startswith("@"):
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(address)
            sock.sendall(state.encode())
    except Exception:
        logger.debug("Cannot notify the service manager", exc_info=True)
    finally:
        if unset_environment:
            os.environ.pop("NOTIFY_SOCKET", None)


def watchdog_interval() -> float:
    """Return the seconds within which the service manager wants a WATCHDOG=1, 0 if it wants none.

    Source: sd_watchdog_enabled(3).
    """
    microseconds = _number("WATCHDOG_USEC")
    if microseconds <= 0 or _number("WATCHDOG_PID") not in (0, os.getpid()):
        return 0.0
    return microseconds / 1e6
