"""No request waits in a busy worker while another is idle, and none is lost on its way there."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
from pathlib import Path

import pytest
from helpers.held import Busy, busy_workers, worker_of
from helpers.server import PACKAGED, WORKER_ARGS, server_has
from helpers.status_port import Port
from helpers.wire import chunked, render, wait_until
from process.load import Load, check, reload_under

from gunicorn.master.dump import private_name

KINDS = {
    name: arguments
    for name, arguments in WORKER_ARGS.items()
    if name not in PACKAGED or server_has(name)
} | {"gthread": ["-k", "gthread", "--threads", "2"]}


@pytest.fixture(params=list(KINDS))
def kind(request) -> str:
    return request.param


@pytest.fixture
def threads(kind) -> int:
    """How many requests make a worker busy."""
    return 2 if kind == "gthread" else 1


@pytest.fixture
def start(kind, master):
    def start(*args, workers=2, **options):
        return master(
            *KINDS[kind], "--keep-alive", "60", *args,
            app="helpers.held:app", workers=workers, plain=False, **options,
        )  # fmt: skip

    return start


def workers_of_newcomers(one) -> set[int]:
    """Who has answered twenty new clients."""
    pids = set()
    for _ in range(20):
        with one.connect() as client:
            pids.add(worker_of(client.request()))
    return pids


def phases(port) -> list[str]:
    """Of a master's workers; none while it is about to open its status port."""
    try:
        return [worker["phase"] for worker in port.workers()]
    except ConnectionRefusedError:
        return []


def test_an_idle_worker_takes_what_waits(start, threads):
    one = start()
    busy = Busy(one, threads)
    kept = busy.kept[0]
    other = worker_of(kept.request())
    assert other != busy.pid
    busy.release()
    # The connection lives on there, and so does the client's address.
    assert [worker_of(kept.request()) for _ in range(3)] == [other] * 3
    assert one.stop() == 0
    assert "[ERROR]" not in one.log


def test_what_no_worker_has_taken_is_counted(start, threads):
    one = start()
    port = Port.private(one.pid)
    busy = busy_workers(one, 2, threads)
    for each in busy:
        each.kept[0].send(render())
    wait_until(lambda: port.figures()["gunicorn_requests_queued", None] == 2, "both wait")
    for each in busy:
        each.release()
        assert each.kept[0].read_response().status == 200
    assert port.figures()["gunicorn_requests_queued", None] == 0


def test_new_clients_go_to_the_idle_worker(start, threads):
    one = start()
    busy = Busy(one, threads)
    assert workers_of_newcomers(one) == set(one.worker_pids()) - {busy.pid}
    busy.release()


def test_new_clients_while_all_workers_are_busy(start, threads):
    """They are taken and read; who is free first runs what they ask for."""
    one = start()
    busy = busy_workers(one, 2, threads)
    with one.connect() as client:
        client.send(b"nonsense\r\n\r\n")
        assert client.read_response().status == 400
    with one.connect() as client:
        client.send(render("POST", "/p", body=b"x" * 1000))
        port = Port.private(one.pid)
        wait_until(lambda: port.figures()["gunicorn_requests_queued", None] == 1, "it waits")
        busy[1].release()
        assert worker_of(client.read_response()) == busy[1].pid
    busy[0].release()


def test_a_queue_for_each_worker(start, threads):
    """With reuse_port the kernel gives new clients to busy workers, too: they hand them over."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))  # and does not listen
        address = holder.getsockname()
        one = start("--reuse-port", bind=[f"127.0.0.1:{address[1]}"], workers=None, launch=True)
        one.addresses = [address]
        one.wait_workers(1)
        one.kill(signal.SIGTTIN)
        one.wait_workers(2)
        busy = Busy(one, threads)
        assert workers_of_newcomers(one) == set(one.worker_pids()) - {busy.pid}
        busy.release()


@pytest.mark.parametrize("size", [0, 1000, 100_000, 3 << 20])
def test_uploads(start, threads, size):
    one = start()
    busy = Busy(one, threads, kept=2)
    body = os.urandom(size)
    digest = hashlib.sha256(body).hexdigest()
    lengths, chunks = busy.kept
    answers = [lengths.request("POST", "/p", body=body)]
    pieces = [body[at : at + 50_000] for at in range(0, size, 50_000)]
    chunks.send(render("POST", "/p", headers=[("Transfer-Encoding", "chunked")]))
    chunks.send(chunked(*pieces))
    answers.append(chunks.read_response())
    for answer in answers:
        pid, path, got = answer.body.decode().split()
        assert int(pid) != busy.pid
        assert (path, got) == ("/p", digest)
    busy.release()


def test_pipelined_requests_stay_in_order(start, threads):
    one = start()
    busy = Busy(one, threads)
    kept = busy.kept[0]
    kept.send(b"".join(render(target=f"/{number}") for number in range(20)))
    answers = [kept.read_response().body.decode().split() for _ in range(20)]
    assert [path for _, path, _ in answers] == [f"/{number}" for number in range(20)]
    assert str(busy.pid) not in {pid for pid, _, _ in answers}
    busy.release()


def test_the_access_log_names_who_has_run_it(start, threads):
    one = start("--access-logfile", "-", "--access-logformat", "%(p)s %(U)s %(h)s")
    busy = Busy(one, threads)
    other = worker_of(busy.kept[0].request(target="/logged"))
    busy.release()
    one.stop()
    assert f"<{other}> /logged 127.0.0.1\n" in one.stdout


def test_who_is_free_first_takes_it(start, threads):
    one = start()
    first, second = busy_workers(one, 2, threads)
    first.kept[0].send(render(target="/a"))
    second.kept[0].send(render(target="/b"))
    second.release()
    for kept in (first.kept[0], second.kept[0]):
        assert worker_of(kept.read_response()) == second.pid
    first.release()


def test_who_has_waited_longest_is_first(start):
    one = start("--threads", "1", "--access-logfile", "-", "--access-logformat", "%(U)s")
    port = Port.private(one.pid)
    busy = busy_workers(one, 2, 1)
    paths = [f"/{number}" for number in range(12)]
    waiting = []
    for path in paths:
        waiting.append(busy[0].kept[0] if path == "/5" else one.connect())
        waiting[-1].send(render(target=path))
        wait_until(
            lambda: port.figures()["gunicorn_requests_queued", None] == len(waiting), "it waits"
        )
    busy[1].release()
    for client in waiting:
        assert worker_of(client.read_response()) == busy[1].pid
        client.close()
    busy[0].release()
    one.stop()
    assert [line for line in one.stdout.splitlines() if line in paths] == paths


def test_more_than_the_exchange_holds(start, threads):
    """What does not fit waits where it is; in the end all of it is answered."""
    one = start("--worker-connections", "2000", "--backlog", "2000")
    waiting = [one.connect() for _ in range(800)]
    for connection in waiting:
        connection.request()
    busy = busy_workers(one, 2, threads)
    for connection in waiting:
        connection.send(render(target="/late"))
    for each in busy:
        each.release()
    for connection in waiting:
        assert connection.read_response().status == 200
        connection.close()


def test_bounds_of_the_queue(start, threads):
    """An idle worker is a place more than max_queue has; when none is idle the bound is its own."""
    one = start("--max-queue", "2")
    first = Busy(one, threads, kept=6)
    for kept in first.kept[:3]:
        assert worker_of(kept.request()) != first.pid
    second = Busy(one, threads, kept=0)
    waiting, refused = first.kept[3:5], first.kept[5]
    for kept in waiting:
        kept.send(render(target="/late"))
    wait_until(lambda: refused.request().status == 503, "the queue is full")
    first.release()
    second.release()
    for kept in waiting:
        assert kept.read_response().status == 200


def hand_over(one, busy: list[Busy]) -> None:
    """Each of the busy workers has sent its client's request away: no number of it is left."""
    clients = {each.kept[0].sock.getsockname()[1]: each.pid for each in busy}
    for each in busy:
        each.kept[0].send(render(target="/late"))
    wait_until(lambda: not any(has_client(pid, port) for port, pid in clients.items()), "it left")


def has_client(pid: int, port: int) -> bool:
    """Whether a process holds our connection from that port."""
    inodes = set()
    with open("/proc/net/tcp") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if int(fields[2].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    links = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            continue
    return bool(inodes & links)


def test_what_was_sent_outlives_its_sender(start, threads):
    one = start()
    first, second = busy_workers(one, 2, threads)
    hand_over(one, [first, second])
    os.kill(first.pid, signal.SIGKILL)
    one.wait_gone([first.pid])
    for kept in (first.kept[0], second.kept[0]):
        assert worker_of(kept.read_response()) not in (first.pid, second.pid)
    second.release()


def test_what_waits_outlives_the_only_worker(start, threads):
    """Kept connections and new ones alike."""
    one = start(workers=1)
    [busy] = busy_workers(one, 1, threads)
    clients = [busy.kept[0], *(one.connect() for _ in range(5))]
    for client in clients:
        client.send(render())
    port = Port.private(one.pid)
    wait_until(
        lambda: port.figures()["gunicorn_requests_queued", None] == len(clients)
        and port.workers()[0]["queued"] == 0,
        "they wait outside of it",
    )
    os.kill(busy.pid, signal.SIGKILL)
    for client in clients:
        assert worker_of(client.read_response()) != busy.pid


def test_what_was_sent_outlives_all_workers(start, threads):
    one = start()
    busy = busy_workers(one, 2, threads)
    hand_over(one, busy)
    for each in busy:
        os.kill(each.pid, signal.SIGSTOP)
    for each in busy:
        os.kill(each.pid, signal.SIGKILL)
    for each in busy:
        assert worker_of(each.kept[0].read_response()) not in {other.pid for other in busy}


def test_a_graceful_stop_runs_what_waits(start, threads):
    one = start()
    busy = busy_workers(one, 2, threads)
    hand_over(one, busy)
    one.kill(signal.SIGTERM)
    one.wait_for_log("Handling signal: term")
    busy[1].release()
    for each in busy:
        assert worker_of(each.kept[0].read_response()) == busy[1].pid
    busy[0].release()
    assert one.wait() == 0


def test_after_a_reload_new_clients_go_to_the_new_workers(start, threads):
    """However stuck the old ones are, and even if they have taken them already."""
    one = start()
    port = Port.private(one.pid)
    busy = busy_workers(one, 2, threads)
    old = {each.pid for each in busy}
    with one.connect() as early:
        early.send(render())
        wait_until(lambda: port.figures()["gunicorn_requests_queued", None] == 1, "it waits")
        one.kill(signal.SIGHUP)
        assert worker_of(early.read_response()) not in old
    assert workers_of_newcomers(one).isdisjoint(old)
    for each in busy:
        each.release()


def test_after_a_reload_nobody_is_refused(start, threads):
    """The bounds of the queue are those of the new workers, which have room."""
    one = start("--max-queue", "1")
    busy = busy_workers(one, 2, threads)
    old = {each.pid for each in busy}
    port = Port.private(one.pid)
    one.kill(signal.SIGHUP)
    wait_until(
        lambda: {w["pid"] for w in port.workers() if w["phase"] == "ready"}.isdisjoint(old),
        "the new workers serve",
    )
    assert workers_of_newcomers(one).isdisjoint(old)
    for each in busy:
        each.release()


def test_a_second_master_gets_the_new_clients(start, threads, tmp_path):
    """They do not wait in the first one's workers, which are stuck."""
    pidfile = tmp_path / "pid"
    one = start("--pid", str(pidfile))
    busy = busy_workers(one, 2, threads)
    old = {each.pid for each in busy}
    one.kill(signal.SIGUSR2)
    wait_until(Path(f"{pidfile}.2").exists, "the second master")
    second = int(Path(f"{pidfile}.2").read_text())
    wait_until(lambda: private_name(second), "its private socket")
    port = Port.private(second)
    wait_until(lambda: phases(port) == ["ready", "ready"], "its workers")
    try:
        assert workers_of_newcomers(one).isdisjoint(old)
        for each in busy:
            each.release()
        one.kill(signal.SIGTERM)
        assert one.wait() == 0
    finally:
        os.kill(second, signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{second}").exists(), "the second master is gone")


def test_a_reload_runs_what_waits(start, threads):
    """The new workers take it, before the old ones have ended what they are at."""
    one = start()
    busy = busy_workers(one, 2, threads)
    old = {each.pid for each in busy}
    hand_over(one, busy)
    one.kill(signal.SIGHUP)
    for each in busy:
        assert worker_of(each.kept[0].read_response()) not in old
    for each in busy:
        each.release()
    one.wait_gone(old)
    assert one.stop() == 0


APP = """
import os, time

def app(environ, start_response):
    if os.urandom(1)[0] < 5:
        time.sleep(0.03)
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""


@pytest.fixture
def uneven(kind, master, tmp_path):
    """Some requests are slow, so that others are handed over all the time."""
    (tmp_path / "uneven.py").write_text(APP)

    def start(*args, workers=3):
        return master(*KINDS[kind], *args, app="uneven:app", workers=workers, plain=False)

    return start


def check_all(load: Load, one) -> None:
    check(load, one)
    assert "[ERROR]" not in one.log


def test_nothing_is_lost_by_reloading(uneven):
    one = uneven()
    with Load(one.address, kept=48, closing=16) as load:
        reload_under(load, one, 2)
    check_all(load, one)
    assert one.stop() == 0


def test_nothing_is_lost_by_recycling(uneven):
    one = uneven("--max-requests", "150", "--max-requests-jitter", "50")
    with Load(one.address, kept=48, closing=16) as load:
        old = set(one.worker_pids())
        one.wait_gone(old, timeout=40)
        load.settle()
    check_all(load, one)
    assert one.stop() == 0


def test_nothing_is_lost_by_fewer_workers(uneven):
    one = uneven()
    with Load(one.address, kept=48, closing=16) as load:
        load.settle()
        one.kill(signal.SIGTTOU)
        one.wait_workers(2, timeout=20)
        load.settle()
        one.kill(signal.SIGTTOU)
        one.wait_workers(1, timeout=20)
        load.settle()
        one.kill(signal.SIGTTIN)
        one.wait_workers(2, timeout=20)
        load.settle()
    check_all(load, one)


def test_a_killed_worker_takes_only_its_own_with_it(uneven):
    one = uneven()
    with Load(one.address, kept=48, closing=16) as load:
        load.settle()
        for _ in range(3):
            before = sum(load.losses.values())
            os.kill(one.worker_pids()[0], signal.SIGKILL)
            one.wait_workers(3, timeout=20)
            load.settle()
            # Its connections are gone; every client comes again and is served.
            assert sum(load.losses.values()) - before <= 48 + 16
    assert one.stop() == 0
