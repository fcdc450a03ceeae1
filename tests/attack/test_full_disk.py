"""Neither memory nor files can be had: answers hold no thread, bodies do not wait for nothing."""

from contextlib import ExitStack

import pytest
from helpers.server import SANITIZED, Stopwatch, assert_soon
from helpers.wire import render

#: Seconds that an honest client may wait.
SOON = 10.0 if SANITIZED else 3.0

pytestmark = pytest.mark.parametrize("worker", ["sync", "gthread"], indirect=True, scope="session")

NO_FILES = {
    "none": ({"TMPDIR": "/nonexistent"}, (), "Cannot keep an answer in a file of tmp_upload_dir"),
    "few": (
        {},
        ("--client-disk", "1M"),
        "Answers wait for their clients, and the slowest clients are closed: .* client_disk",
    ),
}


@pytest.mark.parametrize("files", NO_FILES)
def test_readers_that_do_not_read(gunicorn, files):
    """A file takes none of their 8 MiB, and memory four of them: the slowest make room."""
    env, args, line = NO_FILES[files]
    server = gunicorn("busy", "--client-memory", "64M", *args, env=env, expect_trouble=True)

    def ask():
        watch = Stopwatch()
        assert server.request("POST", "/", body=b"y").status == 200
        return watch.seconds

    ask()
    workers = server.worker_pids()
    with ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(server.connect(receive_buffer=4096))
            connection.send(render(target="/large"))
            connection.await_answer()
        assert_soon(SOON, ask)
        server.wait_for_log(line)
    assert server.worker_pids() == workers


def test_one_whose_answer_is_too_large(gunicorn):
    """It holds a thread, until it is seen that it does not read."""
    env = {"TMPDIR": "/nonexistent"}
    server = gunicorn("busy", "--client-memory", "8M", env=env, expect_trouble=True)
    (worker,) = server.worker_pids()
    with server.connect(receive_buffer=4096) as connection:
        connection.send(render(target="/large"))
        connection.await_answer()
        watch = Stopwatch()
        assert server.request("POST", "/", body=b"y").status == 200
        assert watch.seconds < 4 * SOON
    assert server.worker_pids() == [worker]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_can_never_fit(gunicorn, framing):
    """It is refused at once: no other client's leaving would make room for it."""
    server = gunicorn("busy", "--client-disk", "8M", expect_trouble=True)
    size = 5 << 20
    fields = {"length": ("Content-Length", str(size)), "chunked": ("Transfer-Encoding", "chunked")}
    with server.connect() as connection:
        watch = Stopwatch()
        connection.send(render("POST", "/", [fields[framing]]))
        if framing == "chunked":
            connection.send_if_open(b"%x\r\n" % size + bytes(size))
        assert connection.read_response().status == 413
        assert watch.seconds < SOON
    server.wait_for_log(r"Request body is too large \(half of client_disk is 4194304\)")
    assert server.request("POST", "/", body=bytes(4 << 20)).status == 200
