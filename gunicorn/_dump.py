"""`gunicorn --dump PID`: what the workers of a running master do, with their Python stacks."""

import os
import socket
import struct

TIMEOUT = 20.0  # seconds
PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Unreachable(Exception):
    """No master answers for this process."""


def dump(pid: int) -> str:
    """Return the stacks of all workers of the master `pid`, or of the worker `pid`.

    Raises Unreachable, with the reason.
    """
    try:
        return _ask(pid, "/dump")
    except FileNotFoundError:
        master = _parent_of(pid)
    try:
        return _ask(master, f"/dump/{pid}")
    except FileNotFoundError:
        raise Unreachable(f"{pid} is neither a master of gunicorn nor one of its workers") from None


def _parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        raise Unreachable(f"there is no process {pid}") from None


def _ask(master: int, path: str) -> str:
    """Return the body of the answer of a master. Raises FileNotFoundError when there is none."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise Unreachable("this system has no such dumps")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(TIMEOUT)
        try:
            client.connect(f"\0gunicorn-master-{master}")
        except ConnectionRefusedError:
            raise FileNotFoundError from None
        except OSError as exc:
            raise Unreachable(f"the master takes no client: {exc}") from None
        # Anybody may have taken the name.
        peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
        if PEER.unpack(peer)[0] != master:
            raise FileNotFoundError
        return _body(_exchange(client, path), master)


def _exchange(client: socket.socket, path: str) -> bytes:
    try:
        client.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
        return b"".join(iter(lambda: client.recv(65536), b""))
    except OSError as exc:
        raise Unreachable(f"the master gave no answer: {exc}") from None


def _body(answer: bytes, master: int) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    text = body.decode("utf-8", "backslashreplace")
    if not head:
        owner = os.stat(f"/proc/{master}").st_uid
        raise Unreachable(f"the master answers only its own user ({owner}) and root")
    if head.split()[1] != b"200":
        raise Unreachable(text.strip())
    return text
