"""What a client may do, and for how long; how much a worker takes on."""

import select
import ssl
import time

import pytest
from helpers.status_port import Port
from helpers.wire import Connection, chunked, render, wait_until

DEBUG = ("--log-level", "debug")


def limited(gunicorn, app, *args, **options):
    """A server with an access log on standard output."""
    return gunicorn(app, "--access-logfile", "-", *args, **options)


def begun(server, data=b"", **options) -> Connection:
    connection = server.connect(**options)
    connection.send(data)
    return connection


# ---- time-outs ----


@pytest.mark.parametrize("data", [b"", b"GET / HT"], ids=["silent", "begun"])
def test_header_timeout(gunicorn, data):
    """Who does not say what it wants is disconnected, without a word."""
    server = gunicorn("busy", "--header-timeout", "0.3", *DEBUG)
    with begun(server, data) as connection:
        connection.expect_closed()
    server.wait_for_log(r"\[DEBUG\] Connection of ip=127.0.0.1 closed: header_timeout")
    assert server.request().status == 200


def test_header_timeout_while_the_application_blocks(gunicorn, gate):
    """Time is kept also while every thread of the worker runs Python."""
    server = gunicorn("busy", "--header-timeout", "0.3")
    with begun(server, render(target="/gate", headers=[("X-Gate", gate.path)])) as busy:
        with begun(server, b"GET / HT") as idle:
            gate.wait()
            idle.expect_closed()
        gate.open()
        assert busy.read_response().status == 200


def test_an_unfinished_head_is_logged(gunicorn):
    server = limited(gunicorn, "busy", "--header-timeout", "0.3")
    with begun(server, b"GET / HT") as connection:
        connection.expect_closed()
    server.request()
    server.stop()
    assert " 408 " in server.stdout


def test_send_timeout(gunicorn):
    server = gunicorn("busy", "--send-timeout", "0.3", *DEBUG)
    with begun(server, render(target="/large"), receive_buffer=4096) as connection:
        server.wait_for_log("closed: send_timeout")
        assert len(connection.read_to_end()) < 8 << 20


@pytest.mark.parametrize("target", ["/large", "/stream"])
@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:s.sock"])
def test_send_timeout_spares_who_takes_slowly(gunicorn, tmp_path, target, bind):
    """The system reports a socket as writable only when much of its buffer is empty."""
    bind = bind.replace("s.sock", str(tmp_path / "s.sock"))
    server = gunicorn("busy", "--send-timeout", "0.5", *DEBUG, bind=[bind])
    with begun(server, render(target=target), receive_buffer=4096) as connection:
        assert connection.read_head().status == 200
        for _ in range(30):
            connection.read(16384)
            time.sleep(0.1)  # 160 KiB a second, six times as long as the time-out
        assert "closed: send_timeout" not in server.log
    server.wait_for_log("closed: ")


def test_body_min_rate(gunicorn):
    """A body that comes too slowly is not waited for; one that keeps pace is."""
    server = limited(gunicorn, "busy", "--body-min-rate", "1000000", *DEBUG)
    head = render("POST", "/", [("Content-Length", "100")])
    with begun(server, head + b"x" * 99) as connection:
        connection.expect_closed()
    server.wait_for_log("closed: body_rate")
    wait_until(lambda: '"POST / HTTP/1.1" 408 ' in server.stdout, "its line in the access log")
    with begun(server, head + b"x" * 99) as connection:
        connection.send(b"x")
        assert connection.read_response().status == 200


# ---- limit_request_body ----

TOO_LARGE = "Request body is too large (limit_request_body is 1000)"


@pytest.mark.parametrize("size", [1000, 1001])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_limit_request_body(gunicorn, size, framing):
    server = limited(gunicorn, "busy", "--limit-request-body", "1000")
    body = b"x" * size
    if framing == "length":
        data = render("POST", "/", body=body)
    else:
        data = render(
            "POST", "/", [("Transfer-Encoding", "chunked")], chunked(body[:600], body[600:])
        )
    with begun(server, data) as connection:
        response = connection.read_response()
        if size == 1000:
            assert response.status == 200
            assert connection.request().status == 200
            return
        assert (response.status, response.reason) == (413, "Content Too Large")
        assert not response.keeps_alive
        assert TOO_LARGE.encode() in response.body
        connection.expect_closed()
    server.wait_for_log(r"\[WARNING\] Invalid request from ip=127.0.0.1: Request body is too large")
    server.stop()
    assert '"POST / HTTP/1.1" 413' in server.stdout


def test_a_body_that_is_too_large_is_not_asked_for(gunicorn):
    server = gunicorn("busy", "--limit-request-body", "1K")
    expects = [("Content-Length", "1025"), ("Expect", "100-continue")]
    with begun(server, render("POST", "/", expects)) as connection:
        response = connection.read_response()
        assert (response.status, response.interim) == (413, [])


def test_a_refused_upload_is_answered_to_who_sends_on(gunicorn):
    """What the client is still sending does not reset our answer away."""
    server = gunicorn("busy", "--limit-request-body", "1000")
    with begun(server, render("POST", "/", [("Content-Length", str(64 << 20))])) as connection:
        for _ in range(64):
            connection.send_if_open(b"x" * (1 << 20))
        assert connection.read_response().status == 413


def test_a_body_found_too_large_while_it_is_read():
    """The exception that reads raise is an OSError to applications, a 413 to the client."""
    from types import SimpleNamespace

    from gunicorn.config import Config
    from gunicorn.http._bridge import Bridge

    lines = []
    cfg = Config()
    cfg.set("limit_request_body", 1000)
    worker = SimpleNamespace(
        cfg=cfg,
        log=SimpleNamespace(warning=lambda line, *args: lines.append(line % args)),
    )
    bridge = Bridge(worker)
    with pytest.raises(OSError, match="too large") as caught:
        bridge.raise_body_limit()
    answer = bridge.failed(caught.value, "POST", "/", False, False, None, None)
    assert answer == (413, TOO_LARGE)
    assert lines == [f"Invalid request: {TOO_LARGE}"]


# ---- overload ----

THREADS = {"gthread": 4}

# Long enough for those that hold the workers to get there on a busy machine.
QUEUE_SECONDS = "1"


@pytest.fixture
def blocked(worker):
    """blocked(server, gate): every thread of the worker waits at the gate."""
    if worker in ("gevent", "eventlet"):
        pytest.skip("a greenlet that waits lets others run")
    held = []

    def block(server, gate, workers=1):
        wait_until(lambda: len(server.ready_pids()) == workers, "each worker is ready")
        count = THREADS.get(worker, 1) * workers
        for _ in range(count):
            held.append(server.connect())
            held[-1].send(render(target="/gate", headers=[("X-Gate", gate.path)]))
        gate.wait(count)

    yield block
    for connection in held:
        assert connection.read_response().status == 200
        connection.close()


def assert_refused(response):
    assert (response.status, response.header("Retry-After")) == (503, "1")
    assert not response.keeps_alive


@pytest.fixture(params=["engine", "logger_class"])
def logger(request) -> list[str]:
    """Who writes the access log: C, or a logger of the user's in Python."""
    return [] if request.param == "engine" else ["--logger-class", "own_logger.Own"]


def test_max_queue(gunicorn, gate, blocked, logger):
    """What is beyond the queue is refused at once, though no thread is free to do so."""
    server = limited(gunicorn, "busy", "--max-queue", "2", *logger)
    blocked(server, gate)
    clients = [begun(server, render()) for _ in range(5)]
    ready = wait_until(lambda: readable(clients, 3), "three are refused")
    for client in ready:
        assert_refused(client.read_response())
        client.expect_closed()
    gate.open()
    for client in clients:
        if client not in ready:
            assert client.read_response().status == 200
    server.wait_for_log(r"\[WARNING\] Requests are refused with 503 \(queue_full\)")
    assert server.request().status == 200
    server.stop()
    assert server.stdout.count(" 503 ") == 3


def readable(clients, count):
    ready = select.select([client.sock for client in clients], [], [], 0)[0]
    return [client for client in clients if client.sock in ready] if len(ready) >= count else None


def test_max_queue_time(gunicorn, gate, blocked):
    server = gunicorn("busy", "--max-queue-time", QUEUE_SECONDS)
    blocked(server, gate)
    with begun(server, render()) as client:
        assert_refused(client.read_response())
    gate.open()
    server.wait_for_log(r"Requests are refused with 503 \(queue_time\)")


def test_max_queue_time_of_several_workers(gunicorn, gate, blocked):
    """New clients are left to whoever is free; when nobody is, they are told so."""
    server = gunicorn("busy", "--max-queue-time", QUEUE_SECONDS, workers=2)
    wait_until(lambda: phases(server) == ["ready"] * 2, "both have booted")
    blocked(server, gate, 2)
    for _ in range(3):
        with begun(server, render()) as client:
            assert_refused(client.read_response())
    gate.open()


def phases(server):
    return [worker["phase"] for worker in Port.private(server.pid).workers()]


def test_limit_concurrency(gunicorn, gate):
    server = gunicorn("busy", "--limit-concurrency", "1")
    with begun(server, render(target="/gate", headers=[("X-Gate", gate.path)])) as busy:
        gate.wait()
        with begun(server, render()) as client:
            assert_refused(client.read_response())
        gate.open()
        assert busy.read_response().status == 200
    wait_until(lambda: server.request().status == 200, "there is room again")


def test_check_client(gunicorn, gate, blocked, logger):
    """Requests of clients that have left are skipped, those of half-closed ones are not."""
    server = limited(gunicorn, "busy", "--check-client", *logger)
    blocked(server, gate)
    with begun(server, render(target="/half")) as half:
        half.end_of_input()
        begun(server, render(target="/closed")).close()
        begun(server, render(target="/reset")).abort()
        gate.open()
        response = half.read_response()
        assert response.status == 200
        assert [interim.status for interim in response.interim] in ([], [100])
    wait_until(lambda: server.request().status == 200, "the queue is empty")
    server.stop()
    assert 'GET /half HTTP/1.1" 200' in server.stdout
    assert 'GET /closed HTTP/1.1" 499' in server.stdout
    assert 'GET /reset HTTP/1.1" 499' in server.stdout or "/reset" not in server.stdout


def test_check_client_over_tls(secure, gate, blocked):
    """The same, though what the socket shows is not what TLS says."""
    server = secure("--check-client", "--access-logfile", "-", app="busy")
    blocked(server, gate)
    paths = ["/half", "/goodbye", "/closed", "/reset"]
    half, goodbye, closed, reset = (begun(server, render(target=path)) for path in paths)
    wait_until(lambda: queued(server) == len(paths), "they wait")
    half.end_of_input()
    goodbye.sock.settimeout(0)
    with pytest.raises(ssl.SSLWantReadError):  # ours is said, and theirs not waited for
        goodbye.sock.unwrap()
    closed.close()
    reset.abort()
    gate.open()
    assert half.read_response().status == 200
    wait_until(lambda: server.request().status == 200, "the queue is empty")
    half.close()
    goodbye.close()
    server.stop()
    assert 'GET /half HTTP/1.1" 200' in server.stdout
    assert 'GET /goodbye HTTP/1.1" 200' in server.stdout
    assert 'GET /closed HTTP/1.1" 499' in server.stdout
    assert 'GET /reset HTTP/1.1" 499' in server.stdout


def queued(server):
    return Port.private(server.pid).figures()["gunicorn_requests_queued", None]
