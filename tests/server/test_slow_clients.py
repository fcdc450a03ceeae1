"""Slow and idle clients cost the others nothing, in every worker."""

import hashlib
import json
import random
import resource
import statistics
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers.server import SANITIZED, Stopwatch, assert_soon, resident_kib
from helpers.wire import render, wait_until

#: Seconds that a request may take beside any number of slow clients, on a busy machine.
UNDELAYED = 5.0 if SANITIZED else 1.0

LARGE = 8 << 20


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """Room for a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def server(shared):
    """Streams of 8 MiB are taken as a whole: what happens beyond the window is told below."""
    args = ("--worker-connections", "3000", "--keep-alive", "30", "--stream-window", "64M")
    return shared("busy", *args)


class Crowd:
    """Many connections at once, closed at the end."""

    def __init__(self, server, stack):
        self.server = server
        self.stack = stack

    def connect(self, **options):
        return self.stack.enter_context(self.server.connect(**options))

    def idle(self, count):
        """Connections that never say anything."""
        return [self.connect() for _ in range(count)]

    def kept(self, count):
        """Connections that had an answer and wait with the next request."""
        connections = [self.connect() for _ in range(count)]
        for connection in connections:
            connection.request()
        return connections

    def not_reading(self, count, path):
        """Connections that asked for much and take none of it."""
        connections = [self.connect(receive_buffer=4096) for _ in range(count)]
        for connection in connections:
            connection.send(render(target=path))
        for connection in connections:
            connection.await_answer()
        return connections

    def dripping(self, count):
        """Connections that send a byte a second, half of them in the head, half in the body."""
        head = render(target="/" + "a" * 3000)
        body = render("POST", "/", [("Content-Length", "1000000")])
        connections = []
        for n in range(count):
            connection = self.connect()
            connection.send(head[:20] if n % 2 else body)
            connections.append(connection)
        stop = threading.Event()

        def drip():
            while not stop.wait(1):
                for connection in connections:
                    connection.send_if_open(b"a")

        thread = threading.Thread(target=drip)
        thread.start()
        self.stack.callback(thread.join)
        self.stack.callback(stop.set)
        return connections


@pytest.fixture
def crowd(server):
    with ExitStack() as stack:
        yield Crowd(server, stack)


def latencies(server, count=30):
    """Seconds that each of some requests on new connections takes."""
    times = []
    for _ in range(count):
        watch = Stopwatch()
        assert server.request().status == 200
        times.append(watch.seconds)
    return times


def assert_undelayed(server):
    """Half of the requests take less than a fifth of what the slowest may."""

    def attempt() -> float:
        times = latencies(server)
        return max(*times, 5 * statistics.median(times))

    assert_soon(UNDELAYED, attempt)


def test_idle_connections(server, crowd):
    crowd.idle(500)
    assert_undelayed(server)


def test_kept_alive_connections(server, crowd):
    crowd.kept(300)
    assert_undelayed(server)


def test_dripping_connections(server, crowd):
    crowd.dripping(500)
    assert_undelayed(server)
    time.sleep(1.2)  # each has sent another byte
    assert_undelayed(server)


@pytest.mark.parametrize("path", ["/large", "/chunks", "/file"])
def test_readers_that_do_not_read(server, crowd, path):
    crowd.not_reading(20, path)
    assert_undelayed(server)


def test_all_of_them(server, crowd):
    """500 that drip, 500 that are idle and 20 that never read delay nobody."""
    crowd.idle(500)
    crowd.dripping(500)
    crowd.not_reading(20, "/large")
    assert_undelayed(server)
    time.sleep(1.2)  # each has sent another byte
    assert_undelayed(server)


def test_threads_stay_free(server, crowd, gate, worker):
    """Slow clients hold no application thread: all of them can run requests."""
    threads = 4 if worker == "gthread" else 1
    crowd.dripping(20)
    crowd.not_reading(20, "/large")
    connections = [crowd.connect() for _ in range(threads)]
    for connection in connections:
        connection.send(render(target="/gate", headers=[("X-Gate", gate.path)]))
    gate.step(threads)
    for connection in connections:
        assert connection.read_response().status == 200


def test_endless_answer_to_a_reader_that_does_not_read(gunicorn):
    """100 MiB for somebody who takes none of it stay out of the worker's memory."""
    server = gunicorn("busy", "-k", "gthread", "--threads", "2")
    (pid,) = server.worker_pids()
    assert_undelayed(server)
    before = resident_kib(pid)
    with server.connect(receive_buffer=4096) as connection:
        connection.send(render(target="/stream"))
        assert connection.read_head().status == 200
        for _ in range(4):
            assert_undelayed(server)
            time.sleep(0.3)  # to fill memory, if anything did
            assert SANITIZED or resident_kib(pid) - before < 24 * 1024
        size = 0
        while chunk := connection.read_chunk():
            size += len(chunk)
        assert size == 1600 * 65536


def test_slow_reader_of_a_long_answer_costs_few_descriptors(gunicorn):
    """However often what is kept for it moves between memory and disk."""
    server = gunicorn("busy", "-k", "gthread", "--threads", "2")
    (pid,) = server.worker_pids()
    assert_undelayed(server)

    def count():
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))

    before, most, size = count(), 0, 0
    with server.connect(receive_buffer=4096) as connection:
        connection.send(render(target="/paced"))
        assert connection.read_head().status == 200
        while chunk := connection.read_chunk():
            size += len(chunk)
            most = max(most, count())
    assert size == 400 * 65536
    assert most - before <= 2  # the connection, and the file


@pytest.mark.parametrize("path", ["/large", "/chunks", "/file"])
def test_slow_reader_gets_it_all(server, crowd, path):
    """What a client takes late is kept for it, whole and in order."""
    connections = crowd.not_reading(3, path)
    assert_undelayed(server)
    for connection in connections:
        body = connection.read_response().body
        assert (len(body), body.count(b"x")) == (LARGE, LARGE)
        assert connection.request().status == 200


def test_slow_sender_is_served(server, crowd):
    """A request that comes in pieces is answered like any other."""
    data = render("POST", "/", body=b"y" * 30)
    connection = crowd.connect()
    for start in range(0, len(data), 10):
        connection.send(data[start : start + 10])
        time.sleep(0.05)  # the pieces come apart
    assert b'"size": 30' in connection.read_response().body


def test_uploads_side_by_side(server, crowd):
    """Large bodies that arrive in turns do not get mixed up, in memory or in files."""
    bodies = [random.Random(n).randbytes((1 << 20) + n * 200_000) for n in range(12)]
    connections = [crowd.connect() for _ in bodies]
    for connection, body in zip(connections, bodies, strict=True):
        connection.send(render("POST", "/", [("Content-Length", str(len(body)))]))
    for start in range(0, max(map(len, bodies)), 300_000):
        for connection, body in zip(connections, bodies, strict=True):
            connection.send(body[start : start + 300_000])
    assert_undelayed(server)
    for connection, body in zip(connections, bodies, strict=True):
        answer = json.loads(connection.read_response().body)
        assert answer["size"] == len(body)
        assert answer["sha256"] == hashlib.sha256(body).hexdigest()


def test_busy_application_delays_no_refusal(server, crowd, gate, worker):
    """While every thread runs an application, the engine goes on: it refuses what is bad."""
    threads = 4 if worker == "gthread" else 1
    others = crowd.kept(5)
    for _ in range(threads):
        crowd.connect().send(render(target="/gate", headers=[("X-Gate", gate.path)]))
    gate.wait(threads)

    def attempt() -> float:
        other = others.pop()
        watch = Stopwatch()
        other.send(b"GET / HTTP/1.1\r\nA : b\r\n\r\n")
        assert other.read_response().status == 400
        other.expect_closed()
        return watch.seconds

    try:
        assert_soon(UNDELAYED, attempt)
    finally:
        gate.open()


def test_busy_application_delays_no_100_continue(server, crowd, gate, worker):
    threads = 4 if worker == "gthread" else 1
    (uploader,) = crowd.kept(1)
    holders = [crowd.connect() for _ in range(threads)]
    for connection in holders:
        connection.send(render(target="/gate", headers=[("X-Gate", gate.path)]))
    gate.wait(threads)
    try:
        uploader.send(render("POST", "/", [("Expect", "100-continue"), ("Content-Length", "3")]))
        assert uploader.read_head().status == 100
        uploader.send(b"abc")
    finally:
        gate.open()
    assert b'"size": 3' in uploader.read_response().body
    for connection in holders:
        assert connection.read_response().status == 200


def test_busy_application_delays_no_reader(server, crowd, gate, worker):
    """A large answer flows to its reader while every thread runs an application."""
    threads = 4 if worker == "gthread" else 1
    (reader,) = crowd.not_reading(1, "/large")
    for _ in range(threads):
        crowd.connect().send(render(target="/gate", headers=[("X-Gate", gate.path)]))
    gate.wait(threads)
    try:
        assert len(reader.read_response().body) == LARGE
    finally:
        gate.open()


def test_one_busy_client_does_not_starve_another(server, crowd):
    """A client that pipelines without end leaves room for the others."""
    stop = threading.Event()
    flood = crowd.connect()
    batch = render() * 50

    def pour():
        while not stop.is_set() and flood.send_if_open(batch):
            pass

    def drain():
        try:
            while flood.sock.recv(1 << 16):
                pass
        except OSError:
            pass

    threads = [threading.Thread(target=pour), threading.Thread(target=drain)]
    for thread in threads:
        thread.start()
    try:
        assert_soon(UNDELAYED, lambda: max(latencies(server, 20)))
    finally:
        stop.set()
        flood.sock.shutdown(2)
        for thread in threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in threads)


def test_clients_that_come_and_go(server):
    """Connections opened and dropped at once leave nothing behind."""
    pid = server.worker_pids()[0]

    def descriptors():
        import os

        return len(os.listdir(f"/proc/{pid}/fd"))

    server.request()
    before = descriptors()
    for _ in range(500):
        server.connect().close()
    wait_until(lambda: descriptors() <= before + 3, "the descriptors are closed")
    assert_undelayed(server)
