"""`gunicorn --dump PID`: the requests of a running master's workers, with their Python stacks."""

import os
import socket
import struct

TIMEOUT = 20.0  # seconds
ANSWER_MAX = 16 * 2**20  # bytes
PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid
NAME = "gunicorn-master-"  # the sockets' abstract names begin so; the rest cannot be guessed


class Unreachable(Exception):
    """No master answers for this process."""


def dump(pid: int) -> str:
    """Return the stacks of all workers of the master `pid`, or of the worker `pid`.

    Raises Unreachable, with the reason.
    """
    refused = None
    for process, path in ((pid, "/dump"), (_parent_of(pid), f"/dump/{pid}")):
        try:
            name = private_name(process)
        except PermissionError:
            refused = refused or process
            continue
        if name is not None:
            return _ask(process, name, path)
    if refused is not None:
        owner = os.stat(f"/proc/{refused}").st_uid
        raise Unreachable(f"only root and user {owner} may look into process {refused}")
    raise Unreachable(f"{pid} is neither a master of gunicorn nor one of its workers")


def _parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        raise Unreachable(f"there is no process {pid}") from None


def private_name(process: int) -> str | None:
    """Return the address of the socket that a master has for its own user; None without one.

    Found by the descriptors of the process, so nobody else's socket is taken for it.
    Raises PermissionError, and Unreachable where there is nothing of the kind.
    """
    try:
        inodes = {_inode(f"/proc/{process}/fd/{fd}") for fd in os.listdir(f"/proc/{process}/fd")}
        with open("/proc/net/unix", errors="replace") as table:
            lines = [line.split() for line in table]
    except FileNotFoundError:
        if os.path.exists("/proc/net/unix"):
            return None
        raise Unreachable("this system has no such dumps") from None
    for fields in lines:  # Num RefCount Protocol Flags Type St Inode Path
        if len(fields) == 8 and fields[6] in inodes and fields[7].startswith(f"@{NAME}"):
            return "\0" + fields[7][1:]
    return None


def _inode(path: str) -> str:
    """Return the number of the socket that a descriptor is; an empty text for anything else."""
    try:
        return os.readlink(path).partition("socket:[")[2].rstrip("]")
    except FileNotFoundError:  # closed meanwhile
        return ""


def _ask(master: int, name: str, path: str) -> str:
    """Return the body of the answer of a master."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(TIMEOUT)
        try:
            client.connect(name)
        except OSError as exc:
            raise Unreachable(f"the master takes no client: {exc}") from None
        # Once the master is gone anybody may have taken the name.
        peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size)
        if PEER.unpack(peer)[0] != master:
            raise Unreachable(f"process {PEER.unpack(peer)[0]} has taken the master's name")
        return _body(_exchange(client, path), master)


def _exchange(client: socket.socket, path: str) -> bytes:
    try:
        client.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
        answer = b""
        while len(answer) < ANSWER_MAX and (data := client.recv(65536)):
            answer += data
        return answer
    except OSError as exc:
        raise Unreachable(f"the master gave no answer: {exc}") from None


def _body(answer: bytes, master: int) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    text = _harmless(body.decode("utf-8", "backslashreplace"))
    if not head:
        owner = os.stat(f"/proc/{master}").st_uid
        raise Unreachable(f"the master answers only its own user ({owner}) and root")
    if head.split()[1] != b"200":
        raise Unreachable(text.strip())
    return text


def _harmless(text: str) -> str:
    """Return `text` without characters that steer a terminal: workers can write to it."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)
