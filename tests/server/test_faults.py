"""What a server does when the system refuses it something: descriptors, or room on the disk."""

import os
import resource
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from helpers.meanwhile import repeating
from helpers.server import SANITIZED
from helpers.wire import chunked, render, wait_until

DESCRIPTORS = 64
BODY = b"0123456789abcdef" * (3 << 16)  # 3 MiB: more than is kept in memory


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def few_descriptors(gunicorn):
    """The application has used them up since the worker looked."""
    server = gunicorn("busy", "--keep-alive", "60", expect_trouble=True)
    assert server.request().status == 200
    for pid in server.worker_pids():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    return server


def keeping_pace(connections):
    """Each goes on with its head meanwhile, so that it need not make room for another one."""

    def send():
        for connection in connections:
            connection.send(b"X-Long: " + b"a" * 1100 + b"\r\n")

    return repeating(send, 0.2)


def test_descriptors_are_used_up(few_descriptors):
    """Clients wait while all are in use, without the worker burning time, and are served then."""
    server = few_descriptors
    (pid,) = server.worker_pids()
    with ExitStack() as stack:
        begun = [stack.enter_context(server.connect()) for _ in range(2 * DESCRIPTORS)]
        for connection in begun:
            connection.send(b"GET / HTTP/1.1\r\n")
        with keeping_pace(begun):
            server.wait_for_log(r"\[ERROR\] Cannot accept a connection: Too many open files")
            before = cpu_seconds(pid)
            begun[-1].expect_silence(1)
        assert SANITIZED or cpu_seconds(pid) - before < 0.5
        for connection in begun:
            connection.send(b"Connection: close\r\n\r\n")
        for connection in begun:
            assert connection.read_response().status == 200
            connection.close()
    assert server.request().status == 200
    assert server.log.count("Cannot accept a connection") <= 3


def test_idle_connections_make_room_for_descriptors(few_descriptors):
    server = few_descriptors
    with ExitStack() as stack:
        for _ in range(2 * DESCRIPTORS):
            connection = stack.enter_context(server.connect())
            assert connection.request().status == 200
    assert server.request().status == 200


def upload(server, framing):
    if framing == "chunked":
        data = render("POST", "/", [("Transfer-Encoding", "chunked")], chunked(BODY))
    else:
        data = render("POST", "/", body=BODY)
    with server.connect() as connection:
        connection.send_if_open(data)
        return connection.read_response()


def assert_goes_on(server):
    """What needs a disk is refused or sent as it is made; all else works."""
    for framing in ("length", "chunked"):
        answer = upload(server, framing)
        assert (answer.status, answer.header("Retry-After")) == (503, "1")
        assert b"cannot take the request body" in answer.body
    server.wait_for_log(r"\[ERROR\] Cannot buffer a request body from ip=127.0.0.1: ")
    with server.connect(receive_buffer=4096) as connection:
        connection.send(render(target="/chunks"))
        assert connection.read_response().body.count(b"x") == 8 << 20
    assert server.request().status == 200


FILES_MAY_NOT_GROW = """
def post_worker_init(worker):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""


def test_files_may_not_grow(gunicorn, tmp_path):
    config = tmp_path / "settings.py"
    config.write_text(FILES_MAY_NOT_GROW)
    server = gunicorn("busy", "-c", str(config), expect_trouble=True)
    assert_goes_on(server)
    assert "File too large" in server.log


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_disk_is_full(gunicorn, small_disk, tmp_path):
    config = tmp_path / "settings.py"
    config.write_text(f"tmp_upload_dir = {str(small_disk)!r}\n")
    server = gunicorn("busy", "-c", str(config), expect_trouble=True)
    assert_goes_on(server)
    assert "No space left on device" in server.log


def test_a_body_for_which_the_disk_has_no_room(gunicorn, small_disk, tmp_path):
    """Where its length says so it is refused at its head, and not asked for."""
    config = tmp_path / "settings.py"
    config.write_text(f"tmp_upload_dir = {str(small_disk)!r}\n")
    server = gunicorn("busy", "-c", str(config), expect_trouble=True)
    fields = [("Content-Length", str(32 << 20)), ("Expect", "100-continue")]
    with server.connect() as connection:
        connection.send(render("POST", "/", fields))
        response = connection.read_response()
    assert (response.status, response.interim) == (503, [])
    assert response.header("Retry-After") == "1"
    server.wait_for_log("answered with 503 until tmp_upload_dir has room")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_an_access_log_that_cannot_be_written(gunicorn):
    server = gunicorn("busy", "--access-logfile", "/dev/full", expect_trouble=True)
    for _ in range(20):
        assert server.request().status == 200
    lost = "Cannot write the access log, lines are lost: No space left on device"
    server.wait_for_log(rf"\[ERROR\] {lost}")
    assert server.log.count(lost) < 20, "not for each line"


def test_disk_is_full_and_has_room_again(gunicorn, small_disk, tmp_path):
    """Nothing of a request that failed stays on the disk."""
    config = tmp_path / "settings.py"
    config.write_text(f"tmp_upload_dir = {str(small_disk)!r}\n")
    server = gunicorn("busy", "-c", str(config), expect_trouble=True)
    for _ in range(3):
        assert upload(server, "chunked").status == 503
    wait_until(lambda: os.statvfs(small_disk).f_bfree >= 16, "the disk is empty")
