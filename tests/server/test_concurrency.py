"""As many requests run at a time as there are threads, and wsgi.multithread says so."""

import json
import threading

import pytest
from helpers.wire import render


def hold(server, gate, count):
    """Connections whose requests wait at the gate."""
    connections = [server.connect() for _ in range(count)]
    for connection in connections:
        connection.send(
            render(target="/gate", headers=[("X-Gate", gate.path), ("Connection", "close")])
        )
    return connections


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_threads_run_at_once(shared, gate, threads):
    """N requests that wait for one another all get through with N threads."""
    server = shared("busy", "-k", "gthread", "--threads", str(threads))
    connections = hold(server, gate, threads)
    gate.step(threads)
    answers = [json.loads(connection.read_response().body) for connection in connections]
    assert {answer["running"] for answer in answers} == set(range(1, threads + 1))
    assert len({answer["thread"] for answer in answers}) == threads
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    "args, threads", [(("-k", "gthread", "--threads", "2"), 2), (("-k", "sync"), 1)]
)
def test_no_more_than_the_threads(shared, gate, args, threads):
    server = shared("busy", *args, "--threads", str(threads))
    connections = hold(server, gate, threads + 1)
    gate.wait(threads)
    gate.nobody()
    gate.open()
    gate.step()
    for connection in connections:
        assert connection.read_response().status == 200
        connection.close()


def test_threads_make_a_gthread_worker(gunicorn, gate, worker):
    """The sync worker with threads is the gthread worker."""
    if worker != "sync":
        pytest.skip("once is enough")
    server = gunicorn("busy", "--threads", "3")
    assert "Using worker: gthread" in server.log
    connections = hold(server, gate, 3)
    gate.step(3)
    for connection in connections:
        assert json.loads(connection.read_response().body)["multithread"] is True
        connection.close()


@pytest.mark.parametrize(
    "args, expected",
    [
        (("-k", "sync", "--threads", "1"), False),
        (("-k", "gthread", "--threads", "1"), True),
        (("-k", "gthread", "--threads", "2"), True),
    ],
)
def test_multithread(shared, args, expected):
    server = shared("busy", *args)
    assert server.json()["multithread"] is expected


def test_many_clients_at_once(shared):
    """Concurrent clients with kept connections get their own answers."""
    server = shared("echo")
    problems = []

    def client(number):
        try:
            with server.connect() as connection:
                for n in range(50):
                    body = b"%d-%d" % (number, n)
                    response = connection.request("POST", f"/{number}?{n}", body=body)
                    answer = json.loads(response.body)
                    assert answer["body"] == body.decode()
                    assert answer["environ"]["RAW_URI"][1] == f"/{number}?{n}"
                    if not response.keeps_alive:
                        connection.__init__(server.address)
        except Exception as e:
            problems.append(repr(e))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems
    assert not any(thread.is_alive() for thread in threads)


def test_worker_connections(gunicorn, worker):
    """Connections beyond the limit wait for others to end; none is lost."""
    server = gunicorn("busy", "--worker-connections", "5", "--keep-alive", "30")
    idle = [server.connect() for _ in range(4)]
    for connection in idle:
        connection.request()
    assert server.request().status == 200
    waiting = [server.connect() for _ in range(10)]
    for connection in waiting:
        connection.send(render(headers=[("Connection", "close")]))
    for connection in idle:
        connection.close()
    for connection in waiting:
        assert connection.read_response().status == 200
        connection.close()


def test_several_workers(gunicorn):
    """Requests are served whichever worker takes them, by more than one of them."""
    server = gunicorn("busy", workers=2)
    assert len(server.worker_pids()) == 2
    for _ in range(50):
        assert server.request().status == 200
