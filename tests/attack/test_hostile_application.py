"""Applications that fork, and that close what is not theirs: the worker goes on, or ends and says
why."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from pathlib import Path

import pytest
from helpers.gate import Gate
from helpers.server import free_port
from helpers.wire import WireError, render, wait_until

APP = "hostile:app"
LOST = r"The application has closed a descriptor of the server \(.*\): this worker ends"


def of_workers(*names: str):
    """The worker classes in which there is a difference."""
    return pytest.mark.parametrize("worker", names, indirect=True)


def descriptors(pid: int) -> list[str]:
    """What the descriptors of a process are."""
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(os.readlink(link))
    return links


def sockets_of(pid: int, port: int) -> set[str]:
    """Those of a process that are the server's: its listeners and its clients."""
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    ours = {f"socket:[{line[9]}]" for line in lines if int(line[1].split(":")[1], 16) == port}
    return ours.intersection(descriptors(pid))


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


@pytest.fixture
def children():
    """Processes that a test has had forked, ended with it."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@of_workers("sync", "gthread", "gevent")
def test_a_forked_process_ends_where_it_comes_back(gunicorn):
    """By the status that it asked for, with a line where it asked for none; nothing is answered,
    and the worker's connections are its own."""
    server = gunicorn(APP, "--keep-alive", "60", expect_trouble=True)
    kept = server.connect()
    before = kept.request(target="/pid").body
    for path, answer in {
        "/fork_exit": b"7",
        "/fork_return": b"0",
        "/fork_raise": b"1",
        "/generate": b"onetwo",
    }.items():
        assert server.request(target=path).body == answer
        assert kept.request(target=path).body == answer
    assert kept.request(target="/pid").body == before
    log = server.log
    back = rf"forked in worker {before.decode()} in the request GET /fork_return, came back"
    assert len(re.findall(back, log)) == 2
    assert len(re.findall(r"GET /fork_raise, is ended by an exception\nTraceback", log)) == 2
    assert "Worker exiting" not in log and "GET /fork_exit" not in log


@of_workers("sync", "gthread", "gevent", "eventlet")
def test_processes_of_a_request_are_ended_by_a_signal(gunicorn, worker):
    """As a signal does by default; the worker, whose handlers they had, does not notice."""
    server = gunicorn(APP)
    before = server.request(target="/pid").body
    for _ in range(3):
        assert server.request(target="/terminate").body == b"-15"
    assert server.request(target="/child_terminates").body == b"-15"
    assert server.request(target="/preexec").body == b"ran"
    if worker != "eventlet":  # where a process of multiprocessing does not end by itself, anywhere
        assert server.request(target="/queue").body == b"0 True"
    assert server.request(target="/pid").body == before


FORKS_AT_IMPORT = """
import os
import signal

from hostile import app

CHILD = os.fork()
if not CHILD:
    signal.pause()
open("child", "w").write(str(CHILD))
"""


@of_workers("sync", "gthread", "gevent")
def test_a_process_that_is_forked_while_the_application_loads(gunicorn, children, tmp_path):
    """As gevent's subprocess does: it has no listener, and ignores what it had ignored."""
    (tmp_path / "forks.py").write_text(FORKS_AT_IMPORT)
    paths = f"{Path(__file__).parent.parent / 'server/apps'}"
    server = gunicorn("forks:app", "--chdir", str(tmp_path), "--pythonpath", paths)
    server.request(target="/pid")
    child = int((tmp_path / "child").read_text())
    children.append(child)
    wait_until(lambda: not sockets_of(child, server.address[1]), "a process without listeners")
    ignored = re.search(r"SigIgn:\s*(\w+)", Path(f"/proc/{child}/status").read_text())[1]
    assert int(ignored, 16) & 1 << signal.SIGPIPE - 1
    assert "Exception ignored" not in server.log


@pytest.mark.parametrize(
    ("worker", "path"),
    [
        *(("sync", "/fork_stays"), ("sync", "/c_fork_stays")),
        *(("gthread", "/fork_stays"), ("gevent", "/fork_stays")),
    ],
    indirect=["worker"],
)
def test_a_process_that_stays_holds_nothing_of_the_server(gunicorn, children, path):
    """Neither connections, whose end clients see, nor listeners, nor what the engine waits in."""
    server = gunicorn(APP, "--keep-alive", "60", workers=2)
    kept = [server.connect() for _ in range(4)]
    for connection in kept:
        connection.request(target="/pid")
    child = int(server.request(target=path).body)  # the connection's end is seen
    children.append(child)
    wait_until(
        lambda: not sockets_of(child, server.address[1]),
        lambda: f"it lets go: {descriptors(child)}",
    )
    os.kill(child, 0)
    for connection in kept:
        assert connection.request(target="/pid", headers=[("Connection", "close")]).status == 200
        connection.expect_closed()
    assert server.stop() == 0
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(server.address)
        again.listen()
    os.kill(child, signal.SIGTERM)
    wait_until(lambda: state_of(child) in ("gone", "Z"), "TERM ends it")


@of_workers("gevent", "eventlet")
def test_greenlets_that_wait_for_a_client_do_not_end_a_forked_process(gunicorn):
    """What they watch is the parent's: the event loop of a child finds no such descriptor."""
    server = gunicorn(APP, "--stream-window", "64K")
    with server.connect(receive_buffer=4096) as slow:
        slow.send(render(target="/stream"))
        slow.await_answer()
        assert server.request(target="/fork_sleeps").body == b"5"


@of_workers("gevent", "eventlet")
def test_requests_of_others_do_not_go_on_in_a_forked_process(gunicorn, gate):
    """With greenlets the child has a copy of each: only the one that forked goes on."""
    server = gunicorn(APP)
    with server.connect() as slow:
        slow.send(render(target="/slow", headers=[("X-Gate", gate.path)]))
        gate.wait()
        with server.connect() as forking:
            forking.send(render(target="/fork_sleeps"))
            gate.open()
            assert slow.read_response().body == b"slow"
            assert forking.read_response().body == b"5"
        slow.expect_silence(0.3)
    assert "came back into the server" not in server.log


WAYS_TO_LOSE = {
    "sync": [
        *("/close_all", "/close_epoll", "/reuse_epoll"),
        *("/close_listener", "/reuse_listener", "/close_pipes"),
    ],
    "gthread": ["/close_all", "/reuse_epoll", "/close_listener", "/close_pipes"],
    "gevent": ["/reuse_listener"],  # its os.close() comes later, its loop tells of its own
    "tornado": ["/close_all", "/close_pipes"],
}


def lose(server, path: str) -> None:
    """A request that closes something, after which another worker serves."""
    before = server.request(target="/pid").body
    start = len(server.log)
    with contextlib.suppress(WireError):
        server.request(target=path)
    server.wait_for_log(LOST, start=start)
    wait_until(lambda: pid_of(server) not in (before, b""), f"another worker serves after {path}")


def pid_of(server) -> bytes:
    try:
        return server.request(target="/pid").body
    except (WireError, OSError):
        return b""


@of_workers(*WAYS_TO_LOSE)
def test_a_worker_whose_descriptors_were_closed_is_replaced(gunicorn, worker):
    """Also if their numbers are those of other files by then. TERM ends the server after it."""
    server = gunicorn(APP, expect_trouble=True)
    for path in WAYS_TO_LOSE[worker]:
        lose(server, path)
    assert len(re.findall(LOST, server.log)) == len(WAYS_TO_LOSE[worker])


@of_workers("sync")
def test_a_closed_listener_of_its_own_is_noticed_without_a_client(gunicorn):
    """With reuse_port nobody else has it: no client will ever come."""
    address = ("127.0.0.1", free_port())
    server = gunicorn(APP, "--reuse-port", bind=[f"127.0.0.1:{address[1]}"], expect_trouble=True)
    server.addresses = [address]
    wait_until(lambda: pid_of(server), "it serves")
    assert server.request(target="/close_listener").body == b"closed"
    server.wait_for_log(LOST)
    server.wait_for_log("Booting worker.*Booting worker")
    wait_until(lambda: pid_of(server), "another worker serves")


@of_workers("sync", "gthread")
def test_a_closed_client_costs_no_other(gunicorn):
    server = gunicorn(APP, "--keep-alive", "60", expect_trouble=True)
    kept = server.connect()
    before = kept.request(target="/pid").body
    with pytest.raises(WireError):
        server.request(target="/close_client")
    for _ in range(3):
        with server.connect() as stolen:
            stolen.request(target="/pid")
            stolen.send(render(target="/steal_client"))
            stolen.send_if_open(render(target="/pid"))
    assert kept.request(target="/pid").body == before
    assert server.request(target="/pid").body == before
    server.wait_for_log("has closed a client's descriptor")


@of_workers("gthread")
def test_an_answer_goes_to_no_client_that_has_the_number_of_a_closed_one(gunicorn):
    server = gunicorn(APP, "--keep-alive", "60", "--threads", "2", expect_trouble=True)
    pid = server.request(target="/pid").body
    (worker,) = server.worker_pids()
    before = len(descriptors(worker))
    with contextlib.ExitStack() as stack:
        gate = stack.enter_context(Gate())
        closed = stack.enter_context(server.connect())
        closed.send(render(target=f"/close_client_early?{gate.path}"))
        gate.wait()
        others = [stack.enter_context(server.connect()) for _ in range(5)]
        for other in others:
            assert other.request(target="/pid").body == pid
        gate.open()
        server.wait_for_log("has closed a client's descriptor")
        for other in others:
            assert other.request(target="/pid").body == pid
        closed.expect_closed()
    wait_until(lambda: len(descriptors(worker)) == before, "all descriptors to be closed")
