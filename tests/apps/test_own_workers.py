"""Worker classes of somebody's own that are subclasses of ours: what they override is called."""

from pathlib import Path

import pytest
from helpers.server import PACKAGED, Server, server_has
from helpers.tls import Authority, serve_tls
from helpers.wire import wait_until

HERE = Path(__file__).resolve().parent
KINDS = ("sync", "gthread", "gevent", "eventlet")


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    if request.param in PACKAGED and not server_has(request.param):
        pytest.skip(f"{request.param} is not installed")
    return request.param


def make_server(directory, *args, config="", authority=None, app="own_workers:app", **options):
    (directory / "gunicorn.conf.py").write_text(config)
    args = ["--pythonpath", str(HERE), *args, app]
    if authority:
        args[:0] = authority.issue().args
    options |= {"env": {"PYTHONPATH": str(HERE)}, "expect_trouble": True}
    server = Server(args, directory, **options).start()
    return serve_tls(server, authority.client(), ends_ragged=True) if authority else server


def close(server):
    problems = server.close()
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="module", params=["http", "https"])
def server(kind, request, tmp_path_factory):
    """The class itself stands in the configuration file."""
    directory = tmp_path_factory.mktemp("server")
    authority = Authority(directory) if request.param == "https" else None
    config = f"import own_workers\nworker_class = own_workers.own_class({kind!r})\nthreads = 2\n"
    one = make_server(directory, config=config, authority=authority)
    yield one
    close(one)


@pytest.fixture
def start(tmp_path):
    servers = []

    def start(*args, **options):
        directory = tmp_path / f"server{len(servers)}"
        directory.mkdir()
        servers.append(make_server(directory, *args, **options))
        return servers[-1]

    yield start
    for one in servers:
        close(one)


def test_each_request_goes_through(server):
    with server.connect() as connection:
        for target in ("/a?b", "/c"):
            assert connection.request("GET", target).body == target.encode()


def test_what_the_application_raises(server):
    before = len(server.log)
    assert server.request("GET", "/raise").status == 500
    server.wait_for_log(r"around /raise: KeyError\('/raise'\)", start=before)
    server.wait_for_log(r"own handle_error: /raise KeyError\('/raise'\)", start=before)
    server.wait_for_log("Error handling request GET /raise\nTraceback", start=before)


@pytest.mark.parametrize("path", ["/value", "/name"])
def test_a_bad_field_of_the_answer(server, path):
    """The application is at fault, not the client."""
    before = len(server.log)
    response = server.request("GET", path)
    assert (response.status, response.reason) == (500, "Internal Server Error")
    server.wait_for_log(f"Error handling request GET {path}\nTraceback", start=before)
    assert "Invalid request" not in server.log[before:]


def test_an_error_page(server):
    response = server.request("GET", "/page")
    assert (response.status, response.reason, response.body) == (500, "Mine", b"mine")


def test_what_is_cut_off(server):
    before = len(server.log)
    assert server.cut("/raise?late") == b"some"
    server.wait_for_log("Error handling request GET /raise", start=before)
    assert "own handle_error" not in server.log[before:]


def test_what_is_caught(server):
    before = len(server.log)
    assert server.request("GET", "/catch").status == 500
    server.wait_for_log("caught around /catch", start=before)
    server.wait_for_log("own handle_error: .* returned without an answer", start=before)
    assert server.cut("/catch?late") == b"some"
    assert server.request("GET", "/nothing").status == 500


def test_an_answer_without_the_application(server):
    assert server.request("GET", "/alone").body == b"alone"


def test_two_answers(server):
    before = len(server.log)
    with server.connect() as connection:
        assert connection.request("GET", "/twice").body == b"/twice"
        connection.expect_closed()
    server.wait_for_log("RuntimeError: handle_request.. was called .* before", start=before)


def test_a_thread_that_nobody_waits_for(server):
    assert server.request("GET", "/aside").body == b"/aside"


def test_a_timeout(server):
    assert server.request("GET", "/bounded").status == 500
    assert server.request("GET", "/a").body == b"/a"


def test_the_worker_ends(server):
    (first,) = server.worker_pids()
    assert server.request("GET", "/last").body == b"/last"
    wait_until(lambda: server.worker_pids() not in ([], [first]), "another worker")
    assert server.request("GET", "/a").body == b"/a"


def test_request_timeout(kind, start):
    config = f"import own_workers\nworker_class = own_workers.own_class({kind!r})\n"
    server = start("--request-timeout", "0.5", config=config)
    assert server.request("GET", "/slow").status == 504
    server.wait_for_log(r"around /slow: RequestTimeout\(")
    assert "own handle_error" not in server.log  # it was told when it was raised


def test_warmup(kind, start):
    """What a worker requests of itself goes the same way."""
    config = f"import own_workers\nworker_class = own_workers.own_class({kind!r})\n"
    server = start(config=f"{config}warmup = ['/raise', '/b']\n")
    server.wait_for_log(r"around /raise: KeyError")
    assert server.request("GET", "/a").body == b"/a"


def test_access_log_of_an_answer_of_ones_own(kind, start):
    """What went over the socket only the class knows; that there was a request is told."""
    config = f"import own_workers\nworker_class = own_workers.own_class({kind!r})\n"
    server = start("--access-logfile", "-", config=config)
    for target, body in (("/page", b"mine"), ("/alone", b"alone")):
        assert server.request("GET", target).body == body
    lines = [f'"GET {target} HTTP/1.1" 0 0 ' for target in ("/page", "/alone")]
    wait_until(lambda: all(line in server.stdout for line in lines), lambda: server.stdout)


def test_a_unix_socket(kind, start, tmp_path):
    config = f"import own_workers\nworker_class = own_workers.own_class({kind!r})\n"
    server = start(config=config, bind=[f"unix:{tmp_path}/s"])
    assert server.request("GET", "/a").body == b"/a"
    assert server.request("GET", "/page").body == b"mine"


def test_named_by_its_path(start):
    assert start("-k", "own_workers.OwnSync").request("GET", "/a").body == b"/a"


def test_named_by_an_entry_point(start, tmp_path):
    info = tmp_path / "own-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gunicorn.workers]\nown = own_workers:OwnSync\n")
    config = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
    for name in ("own", "egg:own#own"):
        assert start("-k", name, config=config).request("GET", "/a").body == b"/a"


def test_what_nothing_calls_is_told(start):
    told = "own_workers.Leftover has handle() and notify(), which nothing calls"
    assert told in start("-k", "own_workers.Leftover").log
    assert "which nothing calls" not in start("-k", "own_workers.OwnSync").log


def test_what_nothing_calls_is_told_where_run_is_wrapped(kind, start):
    config = (
        "import own_workers\n"
        f"base = own_workers.own_class({kind!r}).__mro__[2]\n"
        "worker_class = own_workers.wrapping(base)\n"
    )
    server = start("-w", "2", config=config)
    server.wait_for_log(r"own_workers.Wrapping has handle\(\), which nothing calls")
    server.wait_for_log(r"\] run.*\] run")  # both have begun
    assert server.log.count("which nothing calls") == 1


def test_methods_of_a_worker_with_its_own_loop_are_its_own(start):
    server = start("-k", "own_workers.Replacing")
    server.wait_for_log("Booting worker")
    assert "which nothing calls" not in server.log


def test_a_worker_that_reads_by_gunicorns_parser(start):
    server = start("-k", "reading_worker.ReadingWorker", app="reading_worker:app")
    with server.connect() as client:
        for path, body in (("/one", b"abc"), ("/two", b"")):
            answer = client.request("POST", target=path, body=body)
            assert (answer.status, answer.body) == (200, body + b"!")
            assert dict(answer.headers)["X-Path"] == path
    with server.connect() as client:
        client.send(b"GET /\r\n\r\n")
        assert client.read_response().status == 400


def test_signals_may_be_queued_by_a_hook(start):
    config = (
        "import signal\n"
        "def when_ready(server):\n"
        "    server.SIG_QUEUE.put_nowait(signal.SIGTTIN)\n"
        "    server.wakeup()\n"
    )
    start("-k", "sync", config=config).wait_for_log("Handling signal: ttin")
