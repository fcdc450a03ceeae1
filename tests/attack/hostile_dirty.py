"""What a hostile dirty worker tries, in the thread of a call."""

from __future__ import annotations

import gc
import os
import socket
import struct

from gunicorn.dirty import protocol
from gunicorn.dirty.tlv import TLVEncoder
from gunicorn.dirty.worker import CLASSES, LEAVING, SEAT, DirtyWorker

HEADER = struct.Struct(">2sBBIQ")


def worker() -> DirtyWorker:
    workers = [one for one in gc.get_objects() if isinstance(one, DirtyWorker)]
    return next(one for one in workers if one.pid == os.getpid())


def control() -> socket.socket:
    return worker()._control


def hang() -> None:
    while True:
        gc.collect()


def garbage_to_the_arbiter() -> None:
    control().sendall(os.urandom(4096))
    hang()


def a_huge_message() -> None:
    control().sendall(HEADER.pack(b"GD", 1, CLASSES, 64 * 2**20, 0))
    hang()


def a_message_that_does_not_belong() -> None:
    worker().say(CLASSES, {"no": "such"})
    hang()


def it_leaves_without_end() -> None:
    while True:
        worker().say(LEAVING)


def seats_without_end() -> None:
    pairs = []
    while True:
        pairs.append(socket.socketpair())
        worker().say(SEAT, None, (pairs[-1][1].fileno(),))


def a_file_as_a_seat() -> None:
    with open(os.devnull) as file:
        worker().say(SEAT, None, (file.fileno(),))
    hang()


def many_descriptors() -> None:
    with open(os.devnull) as file:
        worker().say(SEAT, None, (file.fileno(),) * 200)
    hang()


def it_closes_the_control_connection() -> None:
    control().shutdown(socket.SHUT_RDWR)
    hang()


class Endless:
    """An application whose end does not come."""

    def close(self):
        hang()


def it_closes_the_control_connection_and_hangs() -> None:
    worker().apps = {"endless": Endless()}
    it_closes_the_control_connection()


def it_closes_all_descriptors() -> None:
    os.closerange(3, 4096)


def it_forks(go_on) -> int:
    """Return the exit status of the forked process, which goes on in the server."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return go_on()


def it_forks_and_returns() -> int:
    return it_forks(int)


def it_forks_and_raises() -> int:
    return it_forks(an_exception_without_a_text)


def it_forks_and_exits() -> int:
    return it_forks(lambda: exit_with(7))


def exit_with(status: int):
    raise SystemExit(status)


class Textless(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def an_exception_without_a_text():
    raise Textless


def an_exception_with_a_long_text():
    raise ValueError("x" * 4 * 2**20)


def its_seat() -> socket.socket:
    """The socket of this thread."""
    import sys

    frame = sys._getframe()
    while frame is not None and "seat" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["seat"]


def an_answer_that_is_no_message() -> None:
    its_seat().sendall(b"HTTP/1.1 200 OK\r\n\r\n" * 10)
    hang()


def an_answer_to_another_call() -> None:
    payload = TLVEncoder.encode({"result": "forged"})
    protocol.send(its_seat(), protocol.MSG_TYPE_RESPONSE, 2**63, payload)
    hang()


def an_answer_beyond_the_limit() -> None:
    its_seat().sendall(HEADER.pack(b"GD", 1, 2, 2**32 - 1, 0))
    hang()


#: Each ends the worker, and its caller gets DirtyWorkerError.
ATTACKS = [
    it_closes_the_control_connection, it_closes_the_control_connection_and_hangs,
    it_closes_all_descriptors, garbage_to_the_arbiter, a_huge_message,
    a_message_that_does_not_belong, it_leaves_without_end,
    seats_without_end, a_file_as_a_seat, many_descriptors, an_answer_that_is_no_message,
    an_answer_to_another_call, an_answer_beyond_the_limit,
]  # fmt: skip
