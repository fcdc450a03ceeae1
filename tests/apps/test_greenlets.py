"""The workers that run each request in a greenlet: what waits lets others run."""

import os
import resource
import select
import signal
import subprocess
from pathlib import Path

import pytest
from helpers.server import (
    PACKAGED,
    SANITIZED,
    Server,
    Stopwatch,
    assert_soon,
    gunicorn_command,
    resident_kib,
    server_has,
)
from helpers.wire import render, wait_until

HERE = Path(__file__).resolve().parent
KINDS = ("gevent", "eventlet")
MANY = 2500  # clients


@pytest.fixture(params=KINDS, scope="module")
def kind(request):
    if not server_has(request.param):
        pytest.skip(f"{request.param} is not installed")
    return request.param


@pytest.fixture
def start(kind, tmp_path):
    servers = []

    def start(*args, workers=1, app="waiting_app:app", **options):
        directory = tmp_path / f"server{len(servers)}"
        directory.mkdir()
        arguments = ["-k", kind, "--pythonpath", str(HERE), "-w", str(workers), *args, app]
        servers.append(Server(arguments, directory, **options))
        server = servers[-1].start(workers)
        server.request("GET", "/pid")  # the application is loaded
        return server

    yield start
    problems = [problem for server in servers for problem in server.close()]
    assert not problems, "\n".join(problems)


def send_all(server, count, path, timeout=30):
    """So many connections, each with a request sent."""
    connections = [server.connect(timeout=timeout) for _ in range(count)]
    for connection in connections:
        connection.send(render(target=path))
    return connections


def answers(connections):
    for connection in connections:
        with connection:
            yield connection.read_response().body


def test_waiting_requests_let_others_run(start):
    server = start()

    def attempt() -> float:
        watch = Stopwatch()
        assert set(answers(send_all(server, 100, "/sleep?1"))) == {b"slept"}
        return watch.seconds

    assert_soon(10, attempt)


def test_an_application_that_asks_its_own_server(start):
    server = start()
    host, port = server.address
    for body in answers(send_all(server, 20, f"/talk?{host}:{port}")):
        assert body == b"slept"


def test_thousands_of_idle_and_waiting_clients(start, gate):
    server = start("--worker-connections", "4000", "--keep-alive", "60")
    idle = [server.connect() for _ in range(400)]
    kept = [server.connect(timeout=60) for _ in range(400)]
    for connection in kept:
        connection.request("GET", "/pid")
    polls = send_all(server, 400, f"/gate?{gate.path}")
    gate.wait(400)
    for connection in kept:
        assert connection.request("GET", "/pid").status == 200
    gate.open()
    assert set(answers(polls)) == {b"let through"}
    for connection in [*idle, *kept]:
        connection.close()


@pytest.fixture
def many_descriptors():
    """As many as the system lets a process have, for this one and its servers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * MANY:
        pytest.skip(f"a process may have {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.skipif(SANITIZED, reason="memory is not what it is otherwise")
def test_thousands_cost_little_memory(start, many_descriptors):
    server = start("--worker-connections", "10000", "--keep-alive", "300", "--backlog", "4096")
    (pid,) = server.worker_pids()
    bare = resident_kib(pid)
    kept = [server.connect(timeout=120) for _ in range(MANY)]
    for connection in kept:
        assert connection.request("GET", "/pid").status == 200
    idle = resident_kib(pid) - bare
    assert idle < MANY * 1, f"{idle} KiB for {MANY} idle clients"
    polls = send_all(server, MANY, "/sleep?12", timeout=120)
    assert server.request("GET", "/pid").status == 200
    polling = resident_kib(pid) - bare - idle
    assert polling < MANY * 40, f"{polling} KiB for {MANY} requests that wait"
    for connection in kept:
        assert connection.request("GET", "/pid").status == 200
        connection.close()
    assert all(body == b"slept" for body in answers(polls))


def test_a_blocked_loop_keeps_reading_and_sending(start):
    """While the application computes, requests are read and large answers are sent."""
    server = start()
    with server.connect() as blocking, server.connect() as slow:
        body = b"x" * 300_000
        slow.send(render("POST", "/length", [("Content-Length", str(len(body)))]))
        blocking.send(render(target="/block?1"))
        server.wait_running()
        slow.send(body)  # nobody would take so much
        assert slow.read_response().body == b"300000"
        assert blocking.read_response().body == b"computed"


def test_each_request_has_a_greenlet_of_its_own(start):
    server = start()
    with server.connect() as connection:
        seen = {connection.request("GET", f"/local?{n}").body for n in range(5)}
    assert seen == {b"nothing"}


@pytest.mark.parametrize("wait", ["", "own", "receive", "lock"])
def test_a_timeout_ends_one_request(start, kind, wait):
    server = start(expect_trouble=True)
    with server.connect() as other:
        other.send(render(target="/sleep?1"))
        assert server.request("GET", f"/timeout?{wait}", [("X-Kind", kind)]).status == 500
        assert other.read_response().body == b"slept"
    assert "Error handling request GET /timeout" in server.log


@pytest.mark.parametrize("wait", ["", "receive", "lock"])
def test_a_timeout_is_caught(start, kind, wait):
    server = start()
    fields = [("X-Kind", kind)]
    with server.connect() as connection:
        for _ in range(2):
            answer = connection.request("GET", f"/timeout_around?{wait}", fields)
            assert answer.body == b"late, 1 cleaned up"


def test_a_timeout_within_request_timeout(start, kind):
    """Each is its own: the library's ends a step, request_timeout the request."""
    server = start("--request-timeout", "1.5", expect_trouble=True)
    fields = [("X-Kind", kind)]
    assert server.request("GET", "/timeout_and_on?0.1", fields).body == b"slept"
    assert server.request("GET", "/timeout_and_on?20", fields).status == 504
    server.wait_for_log(r"GET /timeout_and_on\?20 has been running .* in timeout_and_on")
    assert server.log.count("RequestTimeout is raised") == 1


def test_a_forgotten_timeout_hits_nobody_else(start, kind):
    server = start()
    with server.connect() as connection:
        fields = [("X-Kind", kind)]
        assert connection.request("GET", "/timeout_left_running", fields).status == 200
        assert connection.request("GET", "/sleep?0.5").body == b"slept"


def test_stopping_waits_for_what_runs(start, gate):
    server = start()
    with server.connect() as connection:
        connection.send(render(target=f"/gate?{gate.path}"))
        gate.wait()
        server.kill(signal.SIGTERM)
        server.wait_for_log("Handling signal: term")
        gate.open()
        assert connection.read_response().body == b"let through"
    assert server.wait() == 0


def test_patience_ends(start, tmp_path):
    """What still runs near the end of graceful_timeout is ended, and may clean up."""
    server = start("--graceful-timeout", "12")  # a fifth of it is left to end the process
    cleaned = tmp_path / "cleaned"
    with server.connect() as connection:
        connection.send(render(target=f"/cleans_up?{cleaned}"))
        server.wait_running()
        assert server.stop() == 0
        connection.expect_closed()
    assert "Worker graceful timeout" in server.log
    wait_until(cleaned.exists, "the request cleaned up")


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT])
def test_quick_stop(start, number):
    def attempt() -> float:
        server = start()
        with server.connect() as connection:
            connection.send(render(target="/sleep?20"))
            server.wait_running()
            watch = Stopwatch()
            assert server.stop(number) == 0
            return watch.seconds

    assert_soon(5, attempt)


def test_a_blocked_loop_is_replaced(start):
    server = start("--timeout", "1", expect_trouble=True)
    (first,) = server.worker_pids()
    with server.connect() as connection:
        connection.send(render(target="/block?60"))
        server.wait_for_log("WORKER TIMEOUT")
        wait_until(lambda: server.worker_pids() not in ([], [first]), "a new worker")
    assert server.request("GET", "/pid").status == 200
    server.stderr_path.write_text("")  # the stacks of the old one


def test_a_waiting_request_is_not_replaced(start):
    """`timeout` is about a loop that stands still: many wait for longer."""
    server = start("--timeout", "1")
    watch = Stopwatch()
    assert set(answers(send_all(server, 5, "/sleep?3"))) == {b"slept"}
    assert watch.seconds >= 3


def test_worker_connections_bound_the_clients(start, gate):
    server = start("--worker-connections", "5", "--keep-alive", "60")
    first = send_all(server, 5, f"/gate?{gate.path}")
    gate.wait(5)
    with server.connect() as late:
        late.send(render(target="/pid"))
        assert not select.select([late.sock], [], [], 0.5)[0], "it waits"
        gate.open()
        assert set(answers(first)) == {b"let through"}
        assert late.read_response().status == 200


def test_log_files_are_opened_anew(start, tmp_path):
    log = tmp_path / "access.log"
    server = start("--access-logfile", str(log))
    server.request("GET", "/pid")
    wait_until(lambda: "/pid" in log.read_text(), "a line")
    log.rename(tmp_path / "old.log")
    server.kill(signal.SIGUSR1)
    wait_until(log.exists, "a new file")

    def new_line():
        server.request("GET", "/pid")
        return "/pid" in log.read_text()

    wait_until(new_line, "a line in the new file")


def test_preloading_is_too_early(start):
    server = start("--preload")
    assert "preload_app: the application is imported before" in server.log


@pytest.mark.parametrize("name", PACKAGED)
def test_a_missing_package(name, tmp_path):
    """One line says what to install."""
    (tmp_path / f"{name}.py").write_text("raise ImportError('hidden')")
    result = subprocess.run(
        [*gunicorn_command(), "-k", name, "-b", "127.0.0.1:0", "waiting_app:app"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{HERE}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert f"needs the package {name}: pip install monoceros[{name}]" in result.stderr
    assert "Traceback" not in result.stderr
