"""Hostile dirty workers and callers: the others are served, and the arbiter and master live."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attack import hostile_dirty
from helpers.wire import STEP_TIMEOUT, wait_until
from process.conftest import Master, alive, end

from gunicorn.dirty import (
    DirtyAppError,
    DirtyClient,
    DirtyError,
    DirtyProtocolError,
    DirtyWorkerError,
    protocol,
)
from gunicorn.dirty.tlv import TLVEncoder

JOBS = "process.dirty_app:Jobs"
OTHER = "process.dirty_app:Other"
PATIENCE = 4 * STEP_TIMEOUT


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    """A master with an application that attacks, and another that is to be served meanwhile."""
    args = [f"--dirty-app={JOBS}:1", f"--dirty-app={OTHER}:2", "--dirty-workers=2"]
    directory = tmp_path_factory.mktemp("dirty")
    plain = ["-k", "process.plain.PlainWorker", "--no-control-socket", *args]
    one = Master([*plain, "process.plain:app"], directory, expect_trouble=True)
    one.start()
    yield one
    end(one)


@pytest.fixture
def client(dirty):
    path = dirty.wait_for_log(r"Spawned dirty arbiter \(pid: (\d+)\) at (\S+)")[2]
    return DirtyClient(path, PATIENCE)


@pytest.fixture
def unharmed(dirty, client):
    """The arbiter is the same afterwards, and takes calls of both applications."""
    arbiter = int(dirty.wait_for_log(r"Spawned dirty arbiter \(pid: (\d+)\)")[1])
    client.execute(JOBS, "echo", 0)
    before = open_descriptors(arbiter)
    yield arbiter
    assert client.execute(JOBS, "echo", 1) == 1
    assert client.execute(OTHER, "echo", 2) == 2
    assert alive(arbiter) and dirty.process.poll() is None
    client.close()
    wait_until(lambda: open_descriptors(arbiter) <= before + 4, "no descriptor is left open")


def workers_of(arbiter: int) -> set[int]:
    return set(map(int, Path(f"/proc/{arbiter}/task/{arbiter}/children").read_text().split()))


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("attack", hostile_dirty.ATTACKS, ids=lambda one: one.__name__)
def test_a_worker_that_breaks_the_rules_is_killed(client, unharmed, attack):
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.execute, JOBS, "hostile", attack.__name__)
        for number in range(5):
            assert client.execute(OTHER, "echo", number) == number
        with pytest.raises(DirtyWorkerError):
            call.result()


@pytest.mark.parametrize(("end", "status"), [("returns", 0), ("raises", 1), ("exits", 7)])
def test_a_process_that_an_action_forks_ends_where_it_comes_back(client, unharmed, end, status):
    """The worker alone answers, and the next calls get their own answers."""
    before = client.execute(JOBS, "pid")
    assert client.execute(JOBS, "hostile", f"it_forks_and_{end}") == status
    assert [client.execute(JOBS, "pid") for _ in range(3)] == [before] * 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("an_exception_without_a_text", "^<Textless, whose text cannot be had: RuntimeError>"),
        ("an_exception_with_a_long_text", "^xxx"),
    ],
)
def test_texts_of_exceptions_are_bounded_and_cost_no_worker(client, dirty, unharmed, name, text):
    before, length = client.execute(JOBS, "pid"), len(dirty.log)
    with pytest.raises(DirtyAppError, match=text) as caught:
        client.execute(JOBS, "hostile", name)
    assert len(caught.value.message) <= 2**16
    assert client.execute(JOBS, "pid") == before
    assert length < len(dirty.log) < length + 2**18


def test_an_arbiter_without_descriptors_forks_when_it_has_some(client, dirty, unharmed):
    limits = resource.prlimit(unharmed, resource.RLIMIT_NOFILE)
    resource.prlimit(unharmed, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(client.execute(JOBS, "pid"), signal.SIGKILL)
    dirty.wait_for_log("Cannot fork a dirty worker: .*Too many open files")
    resource.prlimit(unharmed, resource.RLIMIT_NOFILE, limits)
    assert client.execute(JOBS, "echo", 3) == 3


def connect(client) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(client.socket_path)
    return sock


def request(**fields) -> bytes:
    call = {"app_path": OTHER, "action": "echo", "args": [1], "kwargs": {}, **fields}
    return TLVEncoder.encode(call)


def test_callers_that_send_garbage_are_dropped(client, unharmed):
    generator = random.Random(1)
    for size in (1, 15, 16, 17, 100, 5000):
        with connect(client) as sock:
            sock.sendall(generator.randbytes(size))
            sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(100) == b""


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\x21", b"\x21\0\0\0\4", TLVEncoder.encode([1]), TLVEncoder.encode({"action": "x"}),
        TLVEncoder.encode({"app_path": 1, "action": "x"}), bytes(range(100)),
        b"\x21\0\0\0\1\x11\xff\xff\xff\xff",
    ],
    ids=range(8),
)  # fmt: skip
def test_calls_without_names_are_refused(client, unharmed, payload):
    with connect(client) as sock:
        protocol.send(sock, protocol.MSG_TYPE_REQUEST, 1, payload)
        kind, _, answer = protocol.receive(sock)
        assert kind == protocol.MSG_TYPE_ERROR
        error = TLVEncoder.decode_full(answer)["error"]
        assert error["error_type"] == "DirtyProtocolError"
        protocol.send(sock, protocol.MSG_TYPE_REQUEST, 2, request())
        assert protocol.receive(sock)[0] == protocol.MSG_TYPE_RESPONSE


@pytest.mark.parametrize(
    "fields",
    [{"args": None}, {"args": [1, 2, 3]}, {"kwargs": {"no": 1}}, {"args": 5, "kwargs": []}],
)
def test_calls_with_broken_arguments_are_errors_of_the_application(client, unharmed, fields):
    with connect(client) as sock:
        protocol.send(sock, protocol.MSG_TYPE_REQUEST, 1, request(**fields))
        assert protocol.receive(sock)[0] == protocol.MSG_TYPE_ERROR


def test_calls_that_are_cut_off_leave_their_worker_in_service(client, unharmed):
    wait_until(lambda: len(workers_of(unharmed)) == 2, "both workers are there")
    before = workers_of(unharmed)
    payload = request(args=["x" * 10**6])
    for sent in (0, 100, 70_000, 900_000):
        with connect(client) as sock:
            sock.sendall(protocol.header_of(protocol.MSG_TYPE_REQUEST, 1, len(payload)))
            sock.sendall(payload[:sent])
    assert {client.execute(OTHER, "pid") for _ in range(8)} <= before
    assert workers_of(unharmed) == before


def test_callers_that_stall_hold_nobody_up(client, unharmed):
    """Half a header, half a call's beginning: neither has a worker."""
    stalled = [connect(client) for _ in range(20)]
    for number, sock in enumerate(stalled):
        header = protocol.header_of(protocol.MSG_TYPE_REQUEST, 1, 1000)
        sock.sendall(header[: 7 + number % 2 * 9])
    for number in range(5):
        assert client.execute(OTHER, "echo", number) == number
    for sock in stalled:
        sock.close()


def test_lengths_that_are_only_announced_take_no_memory(client, unharmed):
    before = resident(unharmed)
    header = protocol.header_of(protocol.MSG_TYPE_STASH, 1, protocol.MAX_MESSAGE_SIZE)
    stalled = [connect(client) for _ in range(8)]
    for sock in stalled:
        sock.sendall(header + b"x")
    assert client.execute(OTHER, "echo", 1) == 1
    assert resident(unharmed) < before + 32 * 2**20
    for sock in stalled:
        sock.close()


def resident(pid: int) -> int:
    """Bytes of memory that a process occupies."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_answers_that_are_not_read_hold_up_their_own_worker_alone(client, unharmed):
    with connect(client) as sock:
        call = TLVEncoder.encode(
            {"app_path": OTHER, "action": "make", "args": [10**7], "kwargs": {}}
        )
        protocol.send(sock, protocol.MSG_TYPE_REQUEST, 1, call)
        sock.recv(16)
        for number in range(5):
            assert client.execute(OTHER, "echo", number) == number


@pytest.mark.parametrize("op", [0, 11, -1, "1", None, 3.5])
def test_operations_that_the_stash_does_not_have(client, unharmed, op):
    with connect(client) as sock:
        payload = TLVEncoder.encode({"op": op, "table": "t"})
        protocol.send(sock, protocol.MSG_TYPE_STASH, 1, payload)
        assert protocol.receive(sock)[0] == protocol.MSG_TYPE_ERROR


def test_operations_of_the_stash_at_random(client, unharmed):
    generator = random.Random(2)
    good = TLVEncoder.encode({"op": 1, "table": "t", "key": "k", "value": [1, {"a": b"b"}]})
    with connect(client) as sock:
        for number in range(300):
            payload = bytearray(good)
            for _ in range(generator.randint(1, 4)):
                payload[generator.randrange(len(payload))] = generator.randrange(256)
            protocol.send(sock, protocol.MSG_TYPE_STASH, number, bytes(payload))
            assert protocol.receive(sock)[1] == number


def test_values_are_decoded_within_bounds():
    deep = b"\x20\0\0\0\1" * 10_000 + b"\0"
    for data in (deep, b"\x20\xff\xff\xff\xff", b"\x20\0\x0f\xff\xff", b"\x11\0\0\0\5abc", b"\x07"):
        with pytest.raises(DirtyProtocolError):
            TLVEncoder.decode_full(data)
    generator = random.Random(3)
    for _ in range(3000):
        data = generator.randbytes(generator.randrange(40))
        try:
            TLVEncoder.decode_full(data)
        except DirtyError:
            pass


def test_a_dirty_worker_has_no_socket_of_the_others(client, unharmed):
    """Neither the listener, nor connections of callers and of other workers."""
    pid = client.execute(OTHER, "pid")
    assert sockets_of(unharmed) & sockets_of(pid) == set()


def sockets_of(pid: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(path))
    return {one for one in found if one.startswith("socket:")}
