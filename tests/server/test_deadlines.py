"""request_timeout: what takes too long is ended, and nothing else is."""

import re
import threading

import pytest
from helpers.server import SANITIZED, Stopwatch
from helpers.wire import wait_until

LIMIT = 0.5  # seconds
LONG = 20

#: In other threads than the main one a system call is not interrupted (documented).
INTERRUPTED = ("sync", "gevent", "eventlet", "tornado")


@pytest.fixture
def start(gunicorn):
    def start(*args, app="overdue", **options):
        options.setdefault("expect_trouble", True)
        return gunicorn(app, "--request-timeout", str(LIMIT), *args, **options)

    return start


def overdue_line(path):
    return rf"\[ERROR\] Request GET {re.escape(path)} has been running for \d+\.\d s, over request"


def expect_504(server, path):
    watch = Stopwatch()
    response = server.request("GET", path)
    assert response.status == 504
    assert b"Gateway Timeout" in response.body
    assert LIMIT <= watch.seconds < LONG / 2
    server.wait_for_log(overdue_line(path))


@pytest.mark.parametrize("page", ["cpu", "catches", "wraps"])
def test_python_code_is_ended(start, page):
    server = start("--access-logfile", "-")
    (worker,) = server.worker_pids()
    expect_504(server, f"/{page}?{LONG}")
    server.wait_for_log(
        r"over request_timeout \(0\.5 s\)\. RequestTimeout is raised in it\. Its stack:\n"
        r".*overdue\.py\", line \d+, in compute"
    )
    wait_until(lambda: f'"GET /{page}?{LONG} HTTP/1.1" 504' in server.stdout, "a line")
    assert ("catches" in server.request("GET", "/done").body.decode()) is (page == "catches")
    assert server.worker_pids() == [worker]
    assert ("Error handling request" in server.log) is (page == "wraps")


@pytest.mark.parametrize("page", ["sleep", "recv", "lock"])
def test_waiting_is_ended(start, worker, page):
    if worker not in INTERRUPTED:
        pytest.skip("not in another thread than the main one")
    server = start()
    expect_504(server, f"/{page}?{LONG}")
    server.wait_for_log(rf"overdue\.py\", line \d+, in {page}")
    assert server.request("GET", "/pid").status == 200


def test_a_wait_in_a_thread_ends_by_itself(start, worker):
    if worker in INTERRUPTED:
        pytest.skip("of threads")
    server = start()
    expect_504(server, "/sleep?2")


def test_an_answer_that_streams_is_cut(start):
    server = start("--access-logfile", "-")
    assert server.cut("/stream?20") == b"first"
    server.wait_for_log(overdue_line("/stream?20"))
    assert server.request("GET", "/done").body == b"closed"
    assert '"GET /stream?20 HTTP/1.1" 200 5' in server.stdout


def test_the_application_may_answer_itself(start):
    server = start()
    response = server.request("GET", f"/answers?{LONG}")
    assert response.status == 200
    assert response.body.startswith(b"gave up: the request has been running for longer")


def test_more_time(start):
    server = start(expect_trouble=False)
    before, after, left = map(float, server.request("GET", "/extends?1.2").body.split())
    assert 0 < before <= LIMIT
    assert LIMIT + 0.7 < after <= LIMIT + 1.2
    assert 0 < left < after


@pytest.mark.parametrize(
    "value, said",
    [("-1", "ValueError: extend() by -1.0: a number of seconds from 0 on is needed"),
     ("nan", "ValueError: extend() by nan: a number of seconds from 0 on is needed")],
)  # fmt: skip
def test_no_time_to_extend_by(start, value, said):
    assert start(expect_trouble=False).request("GET", f"/extend_by?{value}").body == said.encode()


def test_much_more_time(start):
    server = start(expect_trouble=False)
    assert float(server.request("GET", "/extend_by?inf").body) > 1e8


def test_a_deadline_that_is_kept(start):
    """The object of a request that is over belongs to no other one."""
    server = start(expect_trouble=False)
    assert server.request("GET", "/keeps").body == b"done"
    over = "the request that this belongs to is over"
    assert server.request("GET", "/keeps").body.decode() == f"{over}, {over}"


def test_a_socket_that_is_taken_over_has_no_deadline(start):
    """A WebSocket lives for as long as it likes."""
    server = start(app="takeover", expect_trouble=False)
    with server.connect() as connection:
        connection.send(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.read_head().status == 101
        connection.expect_silence(3 * LIMIT)
        connection.send(b"still there\nbye\n")
        assert connection.read_to_end() == b"STILL THERE\n"


def test_without_the_setting_there_is_none(shared):
    assert shared("overdue").request("GET", "/has").body == b"False"


def test_a_request_that_swallows_it_costs_the_worker(start):
    """Its successor is ready before the master stops it; the log tells twice where it was."""
    server = start("--request-timeout-grace", "0.5", "--graceful-timeout", "3")
    (first,) = server.worker_pids()
    with server.connect() as connection:
        connection.send(b"GET /swallows?60 HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_for_log(overdue_line("/swallows?60"))
        server.wait_for_log(
            r"Request GET /swallows\?60 has been running for \d+\.\d s, and did not end within "
            r"request_timeout_grace \(0\.5 s\)\. This worker is replaced\. Its stack:\n.*compute"
        )
        wait_until(lambda: [pid for pid in server.worker_pids() if pid != first], "a successor")
        assert server.request("GET", "/pid").status == 200
        wait_until(lambda: first not in server.worker_pids(), "the first one is gone", 20)
    server.stderr_path.write_text("")  # the stacks of the old one


def test_c_code_that_holds_the_interpreter(start):
    server = start("--request-timeout-grace", "0.5", "--graceful-timeout", "2", workers=2)
    workers = server.worker_pids()
    with server.connect() as connection:
        connection.send(b"GET /hold?60 HTTP/1.1\r\nHost: a\r\n\r\n")
        server.wait_for_log(
            r"\[\d+\] \[ERROR\] A request is over request_timeout and request_timeout_grace, and C "
            r"code does not let go of the interpreter\. This worker is replaced\. What runs:\n"
            r".*in hold"
        )
        for _ in range(20):  # by the other one, and soon by the successor
            assert server.request("GET", "/pid").status == 200
        wait_until(lambda: len(set(server.worker_pids()) - set(workers)) == 1, "a successor")
        wait_until(lambda: len(server.worker_pids()) == 2, "the stuck one is gone", 20)
    server.stderr_path.write_text("")  # the stacks of the old one


def test_c_code_that_returns_within_the_grace(start):
    server = start()
    (worker,) = server.worker_pids()
    assert server.request("GET", "/hold?2").status in (504, 200)  # it may end before it is hit
    server.wait_for_log(overdue_line("/hold?2"))
    assert server.worker_pids() == [worker]


def test_a_hook_that_takes_all_the_time(start, tmp_path):
    """The application is not called; hooks themselves are never hit."""
    config = tmp_path / "hooks.py"
    config.write_text(
        "import time\n"
        "def compute(seconds):\n"
        "    until = time.monotonic() + seconds\n"
        "    while time.monotonic() < until:\n"
        "        pass\n"
        "def pre_request(worker, req):\n"
        "    compute(1.0 if req.path == '/has' else 0)\n"
        "def post_request(worker, req, environ, resp):\n"
        "    compute(1.0 if req.path == '/pid' else 0)\n"
        "    worker.log.info('post_request %s %s', req.path, resp.status_code)\n"
    )
    server = start("-c", str(config))
    assert server.request("GET", "/has").status == 504
    server.wait_for_log(r"GET /has .*request_timeout \(0\.5 s\)\. The application is not at work\.")
    server.wait_for_log("post_request /has 504")
    assert server.request("GET", "/pid").status == 200
    server.wait_for_log("post_request /pid 200")
    assert "Traceback" not in server.log


def test_requests_beside_a_late_one(start, worker):
    """Only the late one is ended."""
    if worker in ("sync", "tornado"):
        pytest.skip("one request at a time")
    server = start()
    late = [server.connect() for _ in range(2)]
    for connection in late:
        connection.send(b"GET /sleep?1.5 HTTP/1.1\r\nHost: a\r\n\r\n")
    counts = {200: 0, 504: 0}
    for _ in range(30):
        watch = Stopwatch()
        status = server.request("GET", "/sleep?0.05").status
        assert status == 200 or watch.seconds >= LIMIT  # the machine may make it late, too
        counts[status] += 1
    assert counts[200] > counts[504]
    for connection in late:
        assert connection.read_response().status == 504
        connection.close()


@pytest.mark.slow
def test_a_race_hits_nobody_else(gunicorn, worker):
    """Requests that end about when they are due: each has one answer, and nothing else is hit."""
    limit = 0.02
    server = gunicorn("overdue", "--request-timeout", str(limit), "--access-logfile", "-",
                      "--keep-alive", "30", expect_trouble=True)  # fmt: skip
    counts = {200: 0, 504: 0}
    problems = []
    rounds = 40 if SANITIZED else 250

    def client(number):
        try:
            connection = server.connect()
            for n in range(rounds):
                near = limit - 0.006 + 0.0005 * ((n * 7 + number) % 24)
                response = connection.request("GET", f"/near?{near:.4f}")
                counts[response.status] += 1
                if not response.keeps_alive:
                    connection.close()
                    connection = server.connect()
            connection.close()
        except Exception as e:
            problems.append(repr(e))

    clients = 4 if worker == "gthread" else 2
    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not problems
    assert sum(counts.values()) == clients * rounds
    assert counts[504] > 0
    assert server.request("GET", "/pid").status == 200
    assert "Traceback" not in server.log
    assert "Exception" not in server.log
    assert server.stdout.count('" 504 ') == counts[504]
