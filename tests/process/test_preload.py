"""What the workers share of a preloaded application, and what they did before they serve."""

from __future__ import annotations

import ast
import signal

import pytest
from helpers.server import PACKAGED, WORKER_ARGS, server_has
from process.load import Load

APP = """
import gc, weakref

class Node:
    pass

node = Node()
node.itself = node
KIND = %r

def app(environ, start_response):
    nodes = sum(type(o).__name__ == 'Node' for o in gc.get_objects())
    frozen = gc.get_freeze_count() > 1000
    return [f'{KIND} frozen={frozen} tracked={nodes}'.encode()]
"""


@pytest.fixture
def shared(master, tmp_path):
    (tmp_path / "shared.py").write_text(APP % "one")

    def start(*args, **options):
        return master("--preload", *args, app="shared:app", **options)

    return start


def test_preload_freeze_keeps_the_collector_off_what_is_shared(shared):
    assert shared("--preload-freeze").get() == "one frozen=True tracked=0"


def test_without_preload_freeze_nothing_is_frozen(shared):
    assert shared().get() == "one frozen=False tracked=1"


def test_a_reload_freezes_the_new_application_and_frees_the_old(shared, tmp_path):
    """The collector does not look at what is frozen: the hook asks it when nothing is."""
    count = (
        "def worker_exit(server, worker):\n    pass\n"
        "def pre_fork(server, worker):\n"
        "    import gc\n"
        "    gc.unfreeze()\n"
        "    gc.collect()\n"
        "    nodes = sum(type(o).__name__ == 'Node' for o in gc.get_objects())\n"
        "    gc.freeze()\n"
        "    server.log.info('%s nodes', nodes)\n"
    )
    one = shared("--preload-freeze", config=count)
    (tmp_path / "shared.py").write_text(APP % "two")
    (old,) = one.wait_workers(1)
    one.kill(signal.SIGHUP)
    one.wait_gone([old])
    assert one.get() == "two frozen=True tracked=0"
    one.kill(signal.SIGTTIN)
    one.wait_for_log(r"Handling signal: ttin.* 1 nodes")
    assert one.stop() == 0


def test_freezing_what_is_not_shared_is_told(master):
    one = master("--preload-freeze")
    one.wait_for_log(r"preload_freeze: without preload_app the workers share nothing")


SLOW_START = """
import os, time
SEEN = []

def app(environ, start_response):
    path = environ['PATH_INFO']
    agent = environ.get('HTTP_USER_AGENT', '')
    if agent.startswith('gunicorn-warmup'):
        time.sleep(float(environ['QUERY_STRING'] or 0))
        SEEN.append((path, environ['HTTP_HOST'], environ['wsgi.url_scheme'],
                     environ['REMOTE_ADDR'], environ['SERVER_NAME']))
        if path == '/raises':
            raise RuntimeError('not warm yet')
        if path == '/streams':
            start_response('200 OK', [])
            return (b'x' * 10000 for _ in range(100))
        if path == '/leaves':
            os._exit(7)
    body = repr(SEEN).encode() if path == '/seen' else b'%d' % os.getpid()
    status = '404 Not Found' if path == '/missing' else '200 OK'
    start_response(status, [('Content-Length', str(len(body)))])
    return [body]
"""


@pytest.fixture(params=[kind for kind in WORKER_ARGS if kind not in PACKAGED or server_has(kind)])
def warming(request, master, tmp_path):
    (tmp_path / "slow_start.py").write_text(SLOW_START)

    def start(*paths, args=(), **options):
        arguments = [text for path in paths for text in ("--warmup", path)]
        return master(
            *WORKER_ARGS[request.param],
            *arguments,
            *args,
            app="slow_start:app",
            plain=False,
            **options,
        )

    return start


def test_requests_before_a_worker_serves(warming):
    one = warming("/first?0.2", "/second", "https://example.org/third", "/streams")
    seen = ast.literal_eval(one.get("/seen"))
    assert [line[:3] for line in seen] == [
        ("/first", "localhost", "http"),
        ("/second", "localhost", "http"),
        ("/third", "example.org", "https"),
        ("/streams", "localhost", "http"),
    ]
    assert {line[3:] for line in seen} == {("127.0.0.1", "127.0.0.1")}
    took = one.wait_for_log(
        r"\[INFO\] Warm-up: GET /first\?0\.2 was answered with 200 in ([\d.]+) s"
    )
    assert float(took[1]) >= 0.2
    one.wait_for_log(r"\[INFO\] Warm-up: GET /streams was answered with 200")
    assert one.stop() == 0


def test_no_client_is_served_before(warming):
    one = warming("/first?1", "/second?1", args=["--access-logfile", "-"])
    one.get("/client")
    assert one.stop() == 0
    lines = [line.split()[6] for line in one.stdout.splitlines() if "GET" in line]
    assert lines[:3] == ["/first?1", "/second?1", "/client"]


def test_what_fails_at_a_warm_up_is_told_and_the_worker_serves(warming):
    one = warming("/raises", "/missing", "/fine")
    one.get()
    one.wait_for_log(r"\[WARNING\] Warm-up: GET /raises was answered with 500")
    one.wait_for_log(r"RuntimeError: not warm yet")
    one.wait_for_log(r"\[WARNING\] Warm-up: GET /missing was answered with 404")
    one.wait_for_log(r"\[INFO\] Warm-up: GET /fine was answered with 200")
    assert one.stop() == 0


def test_the_old_workers_serve_while_the_new_warm_up(warming):
    one = warming("/first?0.5", workers=2)
    with Load(one.address, kept=8, closing=8) as load:
        load.settle(100)
        old = one.worker_pids()
        one.kill(signal.SIGHUP)
        one.wait_gone(old, timeout=30)
        load.settle(100)
    assert not load.losses, load.losses
    assert one.stop() == 0


def test_warm_ups_do_not_count_towards_max_requests(warming):
    one = warming("/a", "/b", "/c", args=["--max-requests", "2"])
    (worker,) = one.wait_workers(1)
    assert one.get() == str(worker)
    assert "Autorestarting" not in one.log
    assert one.stop() == 0


def test_a_stop_does_not_wait_for_the_rest(warming):
    one = warming("/first?1", "/second?30", "/third?30", args=["--graceful-timeout", "5"])
    one.wait_for_log(r"Warm-up: GET /first\?1 was answered|Booting worker")
    one.kill(signal.SIGTERM)
    assert one.wait() == 0


def test_a_warm_up_that_never_ends_is_a_boot_that_never_ends(warming):
    one = warming("/first?60", args=["--timeout", "0", "--boot-timeout", "1"])
    (worker,) = one.wait_forked(1)
    told = one.wait_for_log(rf"Worker \(pid:{worker}\) has been booting for ([\d.]+) s")
    assert float(told[1]) >= 1
    one.wait_gone([worker])


def test_a_worker_that_serves_by_itself_is_not_warmed_up(master):
    one = master("--warmup", "/", workers=1)
    one.get()
    one.wait_for_log(r"warmup: workers of the class process\.plain\.PlainWorker do not do it")
