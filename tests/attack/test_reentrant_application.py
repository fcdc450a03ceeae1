"""Applications whose code runs in the midst of the server's, or after its request is over."""

from __future__ import annotations

import sys

import pytest
from helpers.server import SANITIZED
from helpers.tls import serve_tls
from helpers.wire import render, wait_until

OVER = "RuntimeError: the request that this belongs to is over"
SOCKET_OVER = "OSError: the request that this socket belongs to is over"

#: Of a body that is not buffered.
STREAMED = [("Content-Length", str(2 << 30))]


@pytest.fixture
def start(gunicorn, worker):
    """A server whose freed memory is overwritten."""
    if worker not in ("sync", "gthread"):
        pytest.skip("the same code")

    def start(*args, **options):
        env = {} if SANITIZED else {"PYTHONMALLOC": "debug"}
        return gunicorn("reentrant", *args, env=env, **options)

    return start


def test_a_deadline_extended_after_the_end(start):
    server = start("--request-timeout", "100")
    assert server.json(target="/extend") == "ok"
    assert server.json(target="/outlived") == [OVER]


@pytest.mark.parametrize("page", ["tls_read", "tls_wait", "tls_write"])
def test_tls_after_the_end(start, pair, authority, page):
    if page == "tls_write" and sys.version_info < (3, 12):
        pytest.skip("buffers of Python code are new in 3.12")
    server = serve_tls(start(*pair.args), authority.client())
    assert server.json(target=f"/{page}") == "ok"
    assert server.json(target="/outlived") == [SOCKET_OVER]


def test_a_socket_taken_over_after_the_end(start):
    server = start()
    with server.connect() as connection:
        assert connection.request(target="/take_over").body == b'"ok"'
        assert server.json(target="/outlived") == [SOCKET_OVER]
        assert connection.request().body == b'"ok"'


def test_a_look_at_the_socket_that_is_broken_off(start):
    """The descriptor is the engine's: it stays open."""
    server = start()
    with server.connect() as connection:
        for _ in range(3):
            response = connection.request(target="/look")
            assert b"127.0.0.1" in response.body
            assert response.keeps_alive


def test_headers_that_go_while_they_are_shown(start):
    server = start()
    for _ in range(10):
        said = server.json(target="/shown_name")
        assert said == "value of response header shown: <object"
        assert server.json(target="/shown_item") == "response header odd: odd is not a string"


def test_file_wrappers_made_anew(start, tmp_path):
    server = start()
    (tmp_path / "file").write_bytes(b"x" * 1000)
    for _ in range(10):
        assert server.json(target="/wrapper_in_init") == "hello"
        assert server.json(target="/wrapper_in_read") == "7" * 60
        headers = [("X-File", str(tmp_path / "file"))]
        assert server.request(target="/wrapper_in_fileno", headers=headers).body == b"x" * 1000


HOOK = """
def post_request(worker, req, environ, resp):
    worker.log.info("headers of %s: %s", req.path, resp.headers)
"""


def test_a_status_that_goes_after_the_end(start, tmp_path):
    """What start_response was given is of no later request."""
    (tmp_path / "hook.py").write_text(HOOK)
    server = start("-c", str(tmp_path / "hook.py"), "--log-level", "info", expect_trouble=True)
    assert server.request(target="/late_status").body == b"ok"
    assert server.request(target="/outlived_and_raise").status == 500
    server.wait_for_log(r"headers of /outlived_and_raise: \[\]")


def test_a_body_read_after_the_end(start, tmp_path):
    (tmp_path / "hook.py").write_text(HOOK)
    server = start("-c", str(tmp_path / "hook.py"), "--stream-request-body", "1M")
    with server.connect() as connection:
        connection.send(render("POST", "/late_reader", STREAMED))
        assert connection.read_response().body == b'"ok"'
    assert server.json(target="/outlived") == ["b''"]
    for _ in range(5):
        assert server.json() == "ok"


def test_log_lines_of_odd_values(start):
    form = '%(h)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" "%({any-case}e)s"'
    server = start("--access-logfile", "-", "--access-logformat", form, expect_trouble=True)
    assert server.json(target="/log_line") == "ok"
    server.wait_for_log("not to be shown")
    server.wait_for_log("__str__ returned non-string")
    line = '"GET /log_line HTTP/1.1" 200 4 "vanished" '
    wait_until(lambda: line in server.stdout, lambda: f"{line}\n{server.stdout}")


@pytest.mark.parametrize("query", ["", "look"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_objects_of_a_request_that_is_over(start, pair, authority, tls, query):
    server = start(*(pair.args if tls else []), "--request-timeout", "100")
    if tls:
        serve_tls(server, authority.client())
    assert server.request(target=f"/keep?{query}").body == b"ok"
    said = server.json(target="/use_kept")
    calls = ("start_response", "write", "early_hints", "remaining", "extend")
    assert {name: said.pop(name) for name in calls} == dict.fromkeys(calls, OVER)
    assert [said.pop(name) for name in ("read", "readline", "lines")] == ["b''", "b''", "[]"]
    assert said.pop("fileno") == "-1"
    assert said.pop("wrapper") == "b'file'"
    assert said == dict.fromkeys(said, SOCKET_OVER)
