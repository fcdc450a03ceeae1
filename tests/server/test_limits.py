"""What a client may do, and for how long; how much a worker takes on."""

import pytest
from helpers.wire import Connection, render

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
    server.wait_for_log(r"\[DEBUG\] Closing the connection of ip=127.0.0.1: no .*header_timeout")
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
        server.wait_for_log("took nothing of its answer in send_timeout")
        assert len(connection.read_to_end()) < 8 << 20


def test_body_min_rate(gunicorn):
    """A body that comes too slowly is not waited for; one that keeps pace is."""
    server = gunicorn("busy", "--body-min-rate", "1000000", *DEBUG)
    head = render("POST", "/", [("Content-Length", "100")])
    with begun(server, head + b"x" * 99) as connection:
        connection.expect_closed()
    server.wait_for_log("a body slower than body_min_rate")
    with begun(server, head + b"x" * 99) as connection:
        connection.send(b"x")
        assert connection.read_response().status == 200
