"""The status port and `gunicorn --dump`, with real workers that work, hang and die."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading

import pytest
from helpers.server import gunicorn_command
from helpers.status_port import Port
from helpers.wire import wait_until

APP = "process.status_app:app"


@pytest.fixture
def served(master):
    """served(*args): a master with real workers, and its status port."""

    def start(*args, bind="127.0.0.1:0", **options):
        one = master("--status-bind", bind, *args, app=APP, plain=False, **options)
        text = one.wait_for_log(r"Status at: (\S+)")[1]
        return one, Port(address_of(text))

    return start


def address_of(text):
    if text.startswith("unix:"):
        return text[len("unix:") :]
    host, _, port = text.removeprefix("http://").rpartition(":")
    return host, int(port)


def in_background(one, path: str) -> threading.Thread:
    def ask():
        try:
            one.request(target=path)
        except (OSError, AssertionError):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread


def ready(port) -> bool:
    return port.get("/ready")[0] == 200


def test_figures_under_load(served):
    one, port = served(workers=2)
    wait_until(lambda: len([w for w in port.workers() if w["phase"] == "ready"]) == 2, "ready")
    for _ in range(50):
        assert one.request().status == 200
    wait_until(
        lambda: port.figures()["gunicorn_connections_closed_total", "answered"] == 50, "closed"
    )
    figures = port.figures()
    assert figures["gunicorn_responses_total", "2xx"] == 50
    assert figures["gunicorn_request_duration_seconds_count", None] == 50
    assert figures["gunicorn_request_wait_seconds_count", None] == 50
    assert figures["gunicorn_connections_accepted_total", None] == 50
    assert figures["gunicorn_workers", "ready"] == 2
    assert figures["gunicorn_threads", None] == 2
    assert (
        figures["gunicorn_sent_bytes_total", None] > figures["gunicorn_received_bytes_total", None]
    )
    assert figures["gunicorn_worker_resident_memory_bytes", "0"] > 2**20
    assert figures["gunicorn_worker_resident_memory_bytes", "1"] > 2**20


def test_a_master_without_descriptors_says_so(served):
    one, port = served(workers=1)
    wait_until(lambda: ready(port), "ready")
    limits = resource.prlimit(one.pid, resource.RLIMIT_NOFILE)
    used = {int(fd) for fd in os.listdir(f"/proc/{one.pid}/fd")}
    free = min(set(range(len(used) + 1)) - used)
    resource.prlimit(one.pid, resource.RLIMIT_NOFILE, (free, limits[1]))
    with socket.create_connection(port.address, 20) as client:
        client.sendall(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
        one.wait_for_log(
            r"\[ERROR\] Cannot answer a client of the status port, the control socket or --dump: "
            "Too many open files"
        )
        resource.prlimit(one.pid, resource.RLIMIT_NOFILE, limits)
        client.settimeout(20)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


def test_counters_outlive_their_workers(served):
    one, port = served(workers=2)
    wait_until(lambda: ready(port), "ready")
    for _ in range(10):
        one.request()
    for pid in one.worker_pids():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: port.figures()["gunicorn_worker_deaths_total", "signal"] == 2, "both died")
    wait_until(lambda: port.figures()["gunicorn_workers", "ready"] == 2, "both replaced")
    one.request()
    wait_until(lambda: port.figures()["gunicorn_responses_total", "2xx"] == 11, "counted on")
    figures = port.figures()
    assert figures["gunicorn_workers_started_total", None] == 4
    slots = {key[1] for key in figures if key[0] == "gunicorn_worker_age_seconds"}
    assert slots == {"0", "1"}, "slots are used again"


@pytest.mark.parametrize("kind", ["sync", "gthread"])
def test_every_worker_hangs(served, kind):
    """In C code that holds the interpreter."""
    options = ["-k", kind] + (["--threads", "2"] if kind == "gthread" else [])
    one, port = served(*options, "--timeout", "100", workers=2)
    wait_until(lambda: len([w for w in port.workers() if w["phase"] == "ready"]) == 2, "ready")

    def stuck():
        running = [r for w in port.workers() for r in w.get("requests", ())]
        return {w["slot"] for w in port.workers() if w["requests"]} == {0, 1} and running

    for _ in range(8):
        in_background(one, "/stuck?token=secret")
        try:
            requests = wait_until(stuck, "both hang", timeout=2)
            break
        except AssertionError:
            continue
    assert {(r["method"], r["path"]) for r in requests} == {("GET", "/stuck")}
    assert port.text("/live") == "live\n"
    assert port.figures()["gunicorn_requests_running", None] >= 2
    for slot in (0, 1):
        text = port.text(f"/workers/{slot}/stack")
        assert "status_app.py" in text and " in stuck\n" in text, text
        assert 'GET "/stuck"' in text and "secret" not in text
    assert port.get("/workers/2/stack")[0] == 404
    one.kill(signal.SIGQUIT)
    for pid in one.worker_pids():
        os.kill(pid, signal.SIGKILL)
    one.wait()


def test_stacks_do_not_disturb(served):
    """Nor do they cut a sleep short, whoever asks how often."""
    one, port = served(workers=1)
    answers = []
    client = threading.Thread(target=lambda: answers.append(one.request(target="/nap/4").body))
    client.start()
    wait_until(lambda: " in nap\n" in port.text("/workers/0/stack"), "it naps")
    while client.is_alive():
        port.text("/workers/0/stack")
    assert float(answers[0]) >= 4
    pid = one.worker_pids()[0]
    assert one.request().status == 200
    assert one.worker_pids() == [pid]


def test_stacks_while_it_boots(served, gate):
    one, port = served(workers=1, launch=False, config=f"raw_env = ['BOOT={gate.path}']\n")
    gate.wait()
    text = port.text("/workers/0/stack")
    assert "Worker" in text and "in boot_slowly" in text
    assert port.get("/ready") == (503, "no worker is ready: 1 of 1 boot\n")
    gate.open()
    wait_until(lambda: ready(port), "it has booted")


def dumped(pid) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*gunicorn_command(), "--dump", str(pid)], capture_output=True, text=True, timeout=30
    )


def test_dump_of_a_master_that_stands_still(master):
    one = master(app=APP, plain=False, workers=1)
    address = Port.private(one.pid).address
    with contextlib.ExitStack() as clients:
        one.kill(signal.SIGSTOP)
        try:
            with contextlib.suppress(BlockingIOError):
                while True:  # as many as wait to be accepted, at most
                    client = clients.enter_context(socket.socket(socket.AF_UNIX))
                    client.setblocking(False)
                    client.connect(address)
            done = dumped(one.pid)
        finally:
            one.kill(signal.SIGCONT)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "the master takes no client" in done.stderr


def test_dump_without_a_status_port(master, gate):
    one = master("-k", "gthread", "--threads", "3", app=APP, plain=False, workers=2)
    for _ in range(2):
        in_background(one, f"/hold{gate.path}")
    gate.wait(2)
    everything = dumped(one.pid)
    assert everything.stdout.count(" in hold\n") == 2
    assert everything.stdout.count("\nWorker ") + 1 == 2
    assert everything.stdout.count(f'GET "/hold{gate.path}"') == 2
    assert everything.returncode == 0 and not everything.stderr
    worker = one.worker_pids()[0]
    alone = dumped(worker)
    assert f"Worker {worker} " in alone.stdout and alone.stdout.count("Worker ") == 1
    gate.open()
    nobody = dumped(os.getpid())
    assert nobody.returncode == 1
    assert nobody.stderr.endswith("is neither a master of gunicorn nor one of its workers\n")
    assert nobody.stderr.count("\n") == 1
    assert dumped(2**22 + 1).stderr.endswith("there is no process 4194305\n")
    assert "--dump: invalid" in dumped("x").stderr


def test_drain_delay(served):
    one, port = served("--drain-delay", "2", "--graceful-timeout", "5", workers=1)
    wait_until(lambda: ready(port), "ready")
    one.kill(signal.SIGTERM)
    wait_until(lambda: port.get("/ready") == (503, "draining: the server stops\n"), "not ready")
    assert port.text("/live") == "live\n"
    assert one.request().status == 200, "it serves on"
    assert one.wait() == 0
    one.wait_for_log(r"Stopping in 2 s \(drain_delay\)")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_skips_the_delay(served, number):
    one, port = served("--drain-delay", "300", workers=1)
    wait_until(lambda: ready(port), "ready")
    one.kill(signal.SIGTERM)
    wait_until(lambda: not ready(port), "not ready")
    one.kill(number)
    assert one.wait() == 0


def test_answers_while_it_stops(served, gate):
    one, port = served("--graceful-timeout", "20", workers=1)
    wait_until(lambda: ready(port), "ready")
    client = in_background(one, f"/hold{gate.path}")
    gate.wait()
    one.kill(signal.SIGTERM)
    wait_until(lambda: not ready(port), "not ready")
    assert port.figures()["gunicorn_workers", "stopping"] == 1
    gate.open()
    assert one.wait() == 0
    client.join()


CONFIG = "status_bind = 'unix:%s'\n"


def listens(path) -> bool:
    """It may be bound already, and not listen yet."""
    try:
        return Port(str(path)).get("/live")[0] == 200
    except (FileNotFoundError, ConnectionRefusedError):
        return False


def test_it_moves_with_the_configuration(master, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    one = master(app=APP, plain=False, config=CONFIG % first)
    wait_until(lambda: ready(Port(str(first))), "ready")
    one.config(CONFIG % second)
    one.kill(signal.SIGHUP)
    wait_until(lambda: listens(second), "bound anew")
    wait_until(lambda: ready(Port(str(second))), "ready")
    wait_until(lambda: not first.exists(), "the old one is gone")
    one.kill(signal.SIGHUP)
    wait_until(lambda: Port(str(second)).workers()[0]["generation"] == 2, "it stays")
    wait_until(lambda: ready(Port(str(second))), "ready")
    assert one.stop() == 0
    assert not second.exists()


def test_a_reload_that_cannot_bind_changes_nothing(master, tmp_path):
    first = tmp_path / "first"
    one = master(app=APP, plain=False, config=CONFIG % first)
    port = Port(str(first))
    wait_until(lambda: ready(port), "ready")
    before = port.workers()[0]["pid"]
    (tmp_path / "file").write_text("not a socket")
    one.config(CONFIG % (tmp_path / "file"))
    one.kill(signal.SIGHUP)
    one.wait_for_log("The reload failed, everything stays as it was")
    assert ready(port)
    assert port.workers()[0]["pid"] == before


def test_an_upgrade_takes_it_along(master, tmp_path):
    path, pids = tmp_path / "status", tmp_path / "pid"
    config = CONFIG % path + f"pidfile = {str(pids)!r}\n"
    one = master(app=APP, plain=False, config=config)
    port = Port(str(path))
    wait_until(lambda: ready(port), "ready")

    def master_pid() -> int:
        return json.loads(port.text("/workers"))["master"]

    assert master_pid() == one.pid
    one.kill(signal.SIGUSR2)
    new = wait_until(lambda: (pid := master_pid()) != one.pid and pid, "the new one answers")
    try:
        assert ready(port), "not before it has a worker"
        assert {master_pid() for _ in range(20)} == {new}
        os.kill(new, signal.SIGTERM)  # roll back
        wait_until(lambda: master_pid() == one.pid, "the old one answers again")
        assert ready(port)
        one.kill(signal.SIGUSR2)
        new = wait_until(lambda: (pid := master_pid()) != one.pid and pid, "the next one answers")
        one.kill(signal.SIGTERM)
        assert one.wait() == 0
        assert master_pid() == new
        assert ready(port)
    finally:
        os.kill(new, signal.SIGTERM)
    wait_until(lambda: not path.exists(), "the last one takes the socket away")


def test_a_bad_address_is_said_in_one_line(master):
    one = master("--status-bind", "nowhere", app=APP, plain=False, launch=True)
    assert one.wait() == 1
    assert re.search(r"status_bind.*'nowhere' is not HOST:PORT or unix:PATH", one.log)
    assert "Traceback" not in one.log
