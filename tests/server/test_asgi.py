"""ASGI applications over HTTP (ASGI 3, www 2.5; lifespan 2.0)."""

from __future__ import annotations

import ast
import fcntl
import functools
import json
import os
import re
import signal
import socket
import sys
import termios
import time
from urllib.parse import quote

import pytest
from helpers import fastcgi_record, uwsgi_packet
from helpers.server import SANITIZED, Server
from helpers.wire import chunked, render, wait_until

BODY = bytes(range(256)) * 2000
SHORT = "8" if SANITIZED else "2"  # a graceful_timeout that is waited for


APP = "asgi_answers:app"


@pytest.fixture
def asgi(serve_asgi):
    """asgi(*args): a server of this test's own."""
    return functools.partial(serve_asgi, APP)


@pytest.fixture(scope="module")
def server(share_asgi):
    """A server that tests share because they leave no trace in it."""
    return share_asgi(APP)


@pytest.fixture
def troubled(asgi):
    return asgi(expect_trouble=True)


def seen(server, count):
    """What the application has noted, once there are so many notes."""
    return wait_until(
        lambda: len(notes := server.json(target="/seen")) >= count and notes,
        lambda: f"{count} notes: {server.json(target='/seen')}",
    )


# Scope


def scope_of(server, *args, **options):
    response = server.request(*args, **options)
    assert response.status == 200, response
    return ast.literal_eval(response.body.decode())


def test_scope(server):
    headers = [("Host", "a.example"), ("X-Twice", "1"), ("Accept", "*/*"), ("x-twice", "2")]
    with server.connect() as connection:
        client = connection.sock.getsockname()
        connection.send(render("PUT", "/scope/b%20%C3%A4%2F?q=%20&r", headers, b"x"))
        scope = ast.literal_eval(connection.read_response().body.decode())
    assert scope.pop("extensions").keys() == {
        "http.response.zerocopysend",
        "http.response.early_hint",
        "http.response.pathsend",
    }
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/scope/b ä/",
        "raw_path": b"/scope/b%20%C3%A4%2F",
        "query_string": b"q=%20&r",
        "root_path": "",
        "headers": [
            (b"host", b"a.example"),
            (b"x-twice", b"1"),
            (b"accept", b"*/*"),
            (b"x-twice", b"2"),
            (b"content-length", b"1"),
        ],
        "client": client,
        "server": server.address,
        "state": {"left": ["by the startup"]},
    }


def test_scope_of_http_1_0(server):
    assert scope_of(server, target="/scope", version="1.0")["http_version"] == "1.0"


@pytest.fixture(scope="module")
def proxied(share_asgi):
    """A server behind proxies: 127.0.0.1 and those of 10.0.0.0/8."""
    allowed = "--forwarded-allow-ips=127.0.0.1,10.0.0.0/8"
    return share_asgi(APP, "--asgi-forwarded-client", allowed)


@pytest.mark.parametrize(
    ("fields", "client"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["203.0.113.9, 192.0.2.1 , 10.0.0.7"], "192.0.2.1"),
        (["203.0.113.9", "192.0.2.1", "10.0.0.7"], "192.0.2.1"),
        (["10.0.0.8, 10.0.0.7"], "10.0.0.8"),
    ],
)
def test_client_by_x_forwarded_for(proxied, fields, client):
    headers = [("X-Forwarded-For", field) for field in fields]
    assert scope_of(proxied, target="/scope", headers=headers)["client"] == (client, 0)


@pytest.mark.parametrize("text", ["", "unknown", "192.0.2.1, unknown", "192.0.2.1,"])
def test_client_that_x_forwarded_for_does_not_name(proxied, text):
    scope = scope_of(proxied, target="/scope", headers=[("X-Forwarded-For", text)])
    assert scope["client"][0] == "127.0.0.1"


def test_x_forwarded_for_is_not_read_unless_asked_for(server):
    scope = scope_of(server, target="/scope", headers=[("X-Forwarded-For", "192.0.2.1")])
    assert scope["client"][0] == "127.0.0.1"


def test_x_forwarded_for_of_a_peer_that_is_not_trusted(asgi):
    server = asgi("--asgi-forwarded-client", "--forwarded-allow-ips=10.0.0.1")
    scope = scope_of(server, target="/scope", headers=[("X-Forwarded-For", "192.0.2.1")])
    assert scope["client"][0] == "127.0.0.1"


def test_no_request_sees_what_another_has_put_into_its_scope(server):
    for _ in range(2):
        scope = scope_of(server, target="/scope?mark")
        assert not any("mark" in scope[name] for name in ("asgi", "extensions", "state"))
        assert not any("mark" in extension for extension in scope["extensions"].values())


@pytest.mark.parametrize(
    ("method", "target", "path"),
    [
        ("GET", "http://a.example?scope", "/"),
        ("CONNECT", "a.example:80", "a.example:80"),
    ],
)
def test_path_of_a_target_that_has_none(server, method, target, path):
    scope = scope_of(server, method, target)
    assert (scope["path"], scope["raw_path"]) == (path, path.encode())


def test_path_that_is_no_utf8(server):
    scope = scope_of(server, target="/scope/%FF%41")
    assert (scope["path"], scope["raw_path"]) == ("/scope/\ufffdA", b"/scope/%FF%41")


def test_path_of_an_absolute_target(server):
    scope = scope_of(server, target="http://b.example/scope/a?b")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (
        "/scope/a",
        b"/scope/a",
        b"b",
    )


def test_scheme_that_a_trusted_proxy_says(server):
    scope = scope_of(server, target="/scope", headers=[("X-Forwarded-Proto", "https")])
    assert scope["scheme"] == "https"


def test_root_path(asgi):
    scope = scope_of(asgi("--root-path", "/mounted"), target="/scope")
    assert (scope["root_path"], scope["path"]) == ("/mounted", "/scope")


def test_unix_socket(asgi, tmp_path):
    path = tmp_path / "s"
    asgi(bind=("127.0.0.1:0", f"unix:{path}"))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(render(target="/scope", headers=[("Connection", "close")]))
        body = b"".join(iter(lambda: sock.recv(65536), b"")).partition(b"\r\n\r\n")[2]
    scope = ast.literal_eval(body.partition(b"\r\n")[2].rpartition(b"\r\n0\r\n")[0].decode())
    assert (scope["client"], scope["server"]) == (None, (str(path), None))


def test_state_is_a_copy_of_each_request(server):
    """An application that adds to it changes its own alone."""
    assert scope_of(server, target="/scope")["state"] == {"left": ["by the startup"]}


# Receiving


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_echo(server, framing):
    if framing == "length":
        request = render("POST", "/echo", body=BODY)
    else:
        encoding = [("Transfer-Encoding", "chunked")]
        request = render("POST", "/echo", encoding, chunked(BODY[:1000], BODY[1000:]))
    with server.connect() as connection:
        connection.send(request)
        assert connection.read_response("POST").body == BODY


def test_no_body_is_one_empty_message(server):
    sizes, messages = server.json(target="/messages")
    assert (sizes, messages) == ([0], [{"type": "http.request", "more_body": False}])


def test_body_comes_as_it_is_sent(server):
    """The application runs from the head on, and receives what is there."""
    with server.connect() as connection:
        connection.send(render("POST", "/echo", [("Content-Length", "6")], b"") + b"abc")
        assert connection.read_head().status == 200
        assert connection.read_chunk() == b"abc"
        connection.send(b"def")
        assert connection.read_chunk() == b"def"


def test_100_continue_when_the_application_receives(server):
    with server.connect() as connection:
        headers = [("Expect", "100-continue"), ("Content-Length", "3")]
        connection.send(render("POST", "/messages", headers))
        assert connection.read_head().status == 100
        connection.send(b"abc")
        assert connection.read_response().status == 200


def test_client_that_leaves(asgi):
    """http.disconnect at once, and an OSError for what is sent after it, which is no error."""
    server = asgi("--log-level", "debug")
    with server.connect() as connection:
        connection.send(render(target="/wait"))
        server.wait_running()
    assert seen(server, 2) == ["http.disconnect", "OSError"]
    server.wait_for_log("Ignoring a client that has closed its connection")


def test_end_of_a_stream_whose_client_has_left(asgi):
    """Is no error, and what follows is not cancelled: the answer is complete."""
    server = asgi("--asgi-disconnect-grace-period", "1")
    with server.connect() as connection:
        connection.send(render(target="/end"))
        connection.read_head()
    assert seen(server, 2) == ["http.disconnect", "worked on"]


def test_answers_without_sendfile(asgi):
    """A middleware that changes bodies may not know the messages that name files."""
    scope = scope_of(asgi("--no-sendfile"), target="/scope")
    assert scope["extensions"].keys() == {"http.response.early_hint"}


def test_after_the_answer(server):
    before = len(server.json(target="/seen"))
    with server.connect() as connection:
        assert connection.request(target="/after").body == b"done"
        notes = seen(server, before + 2)[before:]
    assert notes[0] == "http.disconnect"
    assert "after the answer was complete" in notes[1]


def test_body_that_breaks_off(asgi):
    server = asgi()
    with server.connect() as connection:
        connection.send(render("POST", "/wait", [("Content-Length", "9")], b"") + b"abc")
        server.wait_running()
    assert seen(server, 2) == ["http.disconnect", "OSError"]


def test_upload_that_the_application_does_not_receive(server):
    """Reading stops: the client waits, and the answer is not held up."""
    with server.connect() as connection:
        length = [("Content-Length", str(1 << 30))]
        connection.send(render("POST", "/sleep?2", length, b""))
        sent = send_while_taken(connection.sock)
        assert sent < 32 << 20  # the buffers of both sockets, and 64 KiB
        connection.sock.settimeout(30)
        assert connection.read_response().body == b"slept"
        connection.expect_closed()


def send_while_taken(sock) -> int:
    """Send until nothing is taken for a moment; the bytes that were."""
    sock.settimeout(0.5)
    sent = 0
    try:
        while True:
            sent += sock.send(bytes(65536))
    except TimeoutError:
        return sent


def test_malformed_chunks(server):
    with server.connect() as connection:
        connection.send(render("POST", "/messages", [("Transfer-Encoding", "chunked")]))
        connection.send(b"zz\r\n")
        assert connection.read_response().status == 400
        connection.expect_closed()


def test_receive_is_a_coroutine(server):
    assert server.json(target="/tasks") == ["http.request", True]


# Sending


def test_hello_on_a_kept_connection(server):
    with server.connect() as connection:
        for _ in range(3):
            response = connection.request()
            assert (response.status, response.body) == (200, b"hello")
        connection.send(render() * 5)
        assert [connection.read_response().body for _ in range(5)] == [b"hello"] * 5


@pytest.mark.parametrize("status", [204, 304])
def test_no_body_where_there_is_none(server, status):
    with server.connect() as connection:
        response = connection.request(target=f"/status?{status}")
        assert (response.status, response.body) == (status, b"")
        assert response.header("transfer-encoding") is None
        assert connection.request().body == b"hello"


def test_head(server):
    with server.connect() as connection:
        response = connection.request("HEAD")
        assert (response.header("content-length"), response.body) == ("5", b"")
        assert connection.request().body == b"hello"


def test_http_1_0_ends_with_the_connection(server):
    response = server.request(target="/echo", version="1.0")
    assert response.header("transfer-encoding") is None


def test_application_fields_win(server):
    response = server.request(target="/fields")
    assert response.all("server") == ["mine"]
    assert response.all("date") == ["today"]


def test_connection_close(server):
    with server.connect() as connection:
        response = connection.request(target="/closing")
        assert response.header("connection") == "close"
        connection.expect_closed()


START = {"type": "http.response.start", "status": 200, "headers": []}
END = {"type": "http.response.body", "body": b"", "more_body": False}


@pytest.mark.parametrize(
    "messages, raised",
    [
        ([END], "RuntimeError: .*before 'http.response.start'"),
        ([START, START], "RuntimeError: .*was sent before"),
        ([{**START, "status": "200"}], "TypeError: status.*'200'"),
        ([{**START, "status": 100}], "ValueError: .*final"),
        ([{**START, "headers": [("a", "b")]}], "TypeError: .*pair of bytes"),
        ([{**START, "headers": [(b"a b", b"c")]}], "ValueError: .*name"),
        ([{**START, "headers": [(b"a", b"b\r\nc: d")]}], "ValueError: .*value"),
        ([{**START, "headers": [(b"content-length", b"x")]}], "ValueError: .*number of bytes"),
        ([{**START, "headers": [(b"content-length", b"1")] * 2}], "ValueError: .*twice"),
        ([START, {**END, "body": "text"}], "TypeError: body.*bytes"),
        ([{"type": "http.nonsense"}], "ValueError: .*http.nonsense"),
        (["no dict"], "TypeError: .*not a dict"),
        ([{}], "TypeError: .*not a string"),
        (
            [{**START, "headers": [(b"content-length", b"1")]}, {**END, "body": b"ab"}],
            "RuntimeError: .*more bytes",
        ),
        (
            [{**START, "headers": [(b"content-length", b"3")]}, {**END, "body": b"ab"}],
            "RuntimeError: .*before the bytes",
        ),
    ],
)
def test_wrong_messages(troubled, messages, raised):
    """Raised out of send(), with what is wrong; the client gets 500."""
    assert troubled.request(target=f"/wrong?{quote(repr(messages), safe='')}").status == 500
    printed = wait_until(lambda: troubled.stdout, "it is printed")
    assert re.match(raised, json.loads(printed)[-1]), printed


@pytest.mark.parametrize(
    "path, line",
    [
        ("/raise_before", "ValueError: raised before the answer"),
        ("/nothing", "GET /nothing: the application returned without an answer. If a middle"),
        ("/start_only", "GET /start_only: the application returned before its answer"),
    ],
)
def test_no_answer(troubled, path, line):
    with troubled.connect() as connection:
        assert connection.request(target=path).status == 500
    troubled.wait_for_log(line)
    assert f"GET {path}" in troubled.log


@pytest.mark.parametrize("path", ["/raise_between", "/half"])
def test_half_an_answer(troubled, path):
    assert troubled.cut(path) == b"part"
    troubled.wait_for_log(f"Error handling request GET {path}")


def test_exception_after_the_answer(troubled):
    with troubled.connect() as connection:
        assert connection.request(target="/raise_after").body == b"done"
        assert connection.request().body == b"hello"
    troubled.wait_for_log("Error after the end of the answer to GET /raise_after")


def test_slow_client_makes_send_wait(asgi):
    """Memory stays flat, and the task ends with an OSError when the client leaves."""
    server = asgi()
    with server.connect() as connection:
        connection.send(render(target="/flood"))
        connection.read_head()
        last = wait_until_still(lambda: len(server.json(target="/seen")))
        assert last * 32768 < 64 << 20
        connection.abort()
    assert wait_until(lambda: server.json(target="/seen")[-1] == "OSError", "an OSError")


def test_stream_that_the_client_takes_later(server):
    """More than the socket takes: nothing is lost, and nothing is out of order."""
    with server.connect() as connection:
        connection.send(render(target="/pieces?2000"))
        assert connection.read_head().status == 200
        last = wait_until_still(lambda: unread(connection.sock))
        assert last < 2000 * 4096
        body = b"".join(iter(connection.read_chunk, b""))
    assert body == b"".join(bytes([n % 251]) * 4096 for n in range(2000))


def unread(sock) -> int:
    """The bytes that wait in a socket."""
    return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4), sys.byteorder)


def wait_until_still(count):
    """The value of count() once it has not changed between two looks, some time apart."""
    last = -1
    while (now := count()) != last:
        last = now
        time.sleep(0.2)
    return last


def test_pathsend(server, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(BODY)
    with server.connect() as connection:
        for _ in range(2):
            assert connection.request(target=f"/send_path?{path}").body == BODY


def test_zerocopysend(server, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(BODY)
    with server.connect() as connection:
        for _ in range(2):
            body = connection.request(target=f"/send_pieces?{path}").body
            assert body == BODY[:5] + b"word" + BODY[10:]


@pytest.mark.parametrize("te", ["trailers", "gzip;q=0.5, Trailers;x"])
def test_trailers(server, te):
    with server.connect() as connection:
        connection.send(render(target="/trailing", headers=[("TE", te)]) + render())
        assert connection.read_head().header("transfer-encoding") == "chunked"
        rest = b"4\r\nbody\r\n0\r\nx-sum: 4\r\nx-known: 1\r\n\r\n"
        assert connection.read(len(rest)) == rest
        assert connection.read_response().body == b"hello"


@pytest.mark.parametrize("te", ["gzip", "trailersx"])
def test_trailers_are_for_those_who_take_them(server, te):
    with server.connect() as connection:
        for headers in ([], [("TE", te)]):
            assert connection.request(target="/trailing", headers=headers).body == b"body"


def test_trailers_http_1_0(server):
    response = server.request(target="/trailing", version="1.0", headers=[("TE", "trailers")])
    assert response.body == b"body"


def test_early_hints(server):
    with server.connect() as connection:
        connection.send(render(target="/hints"))
        hint = connection.read_head()
        assert (hint.status, hint.header("link")) == (103, "</a.css>; rel=preload")
        assert connection.read_response().body == b"hinted"


# Tasks


def test_context_of_each_request_is_that_of_the_start(server):
    with server.connect() as connection:
        for _ in range(3):
            answer = json.loads(connection.request("POST", "/context", body=b"x").body)
            assert answer == ["unset", "set by a request", True]


def test_context_with_large_bodies_and_pipelining(server):
    with server.connect() as connection:
        connection.send(render("POST", "/context", body=bytes(100_000)) * 3)
        for _ in range(3):
            answer = json.loads(connection.read_response("POST").body)
            assert answer == ["unset", "set by a request", True]


def test_background_work_goes_on_when_the_client_has_left(asgi):
    """A complete answer is the end of the client's part: nothing cancels what comes after it."""
    server = asgi("--asgi-disconnect-grace-period", "0")
    assert server.request(target="/background").body == b"done"
    wait_until(lambda: "the background task ran" in server.stdout, "the task's end")


def test_background_work_delays_nothing(asgi):
    server = asgi()
    with server.connect() as connection:
        assert connection.request(target="/background").body == b"done"
        assert connection.request().body == b"hello"
        assert "ran" not in server.stdout
    assert server.stop() == 0
    assert "the background task ran" in server.stdout  # the stop has waited for it


def test_request_timeout(troubled, asgi, tmp_path):
    (directory := tmp_path / "other").mkdir()
    server = asgi("--request-timeout", "0.3", expect_trouble=True, directory=directory)
    with server.connect() as connection:
        assert connection.request(target="/sleep?30").status == 504
    server.wait_for_log(r"GET /sleep\?30 has been running for 0.\d s, over request_timeout .*sleep")
    assert seen(server, 1) == ["cancelled"]


def test_request_that_goes_on_after_its_cancellation(asgi, tmp_path):
    """Is logged again after the grace, and its worker replaced."""
    server = asgi(
        *("--request-timeout", "0.2", "--request-timeout-grace", "0.3"), expect_trouble=True
    )
    first = server.request(target="/pid").body
    with server.connect() as connection:
        connection.send(render(target=f"/stubborn?{tmp_path / 'end'}"))
        server.wait_for_log(
            r"GET /stubborn.* has been running for \S+ s, and its task did not end within "
            r"request_timeout_grace \(0.3 s\) of its cancellation.*\n.*in stubborn"
        )
        wait_until(lambda: server.request(target="/pid").body != first, "a successor answers")
        (tmp_path / "end").touch()
        assert connection.read_response().body == b"at last"
    assert "C code" not in server.log


def test_grace_after_the_client_has_left(asgi):
    server = asgi("--asgi-disconnect-grace-period", "1")
    with server.connect() as connection:
        connection.send(render(target="/sleep?30"))
        server.wait_running()
    assert seen(server, 1) == ["cancelled"]


@pytest.mark.parametrize("path", ["/block?1", "/block_late?1"])
def test_blocked_loop_is_reported(asgi, path):
    """With the task, its request, and its stack; once."""
    server = asgi("--loop-block-warning", "0.2")
    assert server.request(target=path).body == b"blocked"
    server.wait_for_log(
        r"event loop has been blocked for 0.2 s \(loop_block_warning\) by the task '\S+' of the "
        rf"request GET {path.partition('?')[0]}\S*: (.*\n)+.* in block\n"
    )
    assert server.log.count("loop_block_warning") == 1


@pytest.mark.parametrize(
    ("path", "task"),
    [
        ("/block_at_end?1.2", r"the task '\S+' of the request GET /block_at_end\S*"),
        ("/block_apart?1.2", "the task 'apart'"),
    ],
)
def test_loop_that_is_blocked_between_requests_is_reported(asgi, path, task):
    server = asgi("--loop-block-warning", "0.3")
    assert server.request(target=path).body == b"done"
    server.wait_for_log(
        rf"blocked for 0.3 s \(loop_block_warning\) by {task}: (.*\n)+.* in block_after\n"
    )
    assert server.request().body == b"hello"
    assert server.log.count("loop_block_warning") == 1


def test_loop_that_a_lifespan_blocks_is_reported(serve_asgi, tmp_path):
    (tmp_path / "own.py").write_text(BUSY_LIFESPAN)
    server = serve_asgi("own:app", "--loop-block-warning", "0.3")
    server.wait_for_log(r"blocked for 0.3 s .* by the task '\S+': (.*\n)+.* in app\n")
    assert server.request().body == b"x"


def test_loop_that_is_blocked_between_requests_is_ended_by_timeout(tmp_path):
    """With the stack, and a successor serves."""
    limits = ["--loop-block-warning", "0.3", "--timeout", "1"]
    server = Server(["-k", "asgi", *limits, APP], tmp_path, expect_trouble=True)
    first = server.start().worker_pids()
    assert server.request(target="/block_at_end?60").body == b"done"
    server.wait_for_log(rf"WORKER TIMEOUT \(pid:{first[0]}\).*most recent call.*in block_after")
    wait_until(lambda: server.worker_pids() not in ([], first), "a successor is forked")
    wait_until(lambda: first[0] not in server.worker_pids(), "the blocked worker to end")
    assert server.request().body == b"hello"
    assert server.stop() == 0


def test_idle_loop_is_no_fault(asgi):
    """Neither before the first request nor after it, and not with a task that waits."""
    server = asgi("--loop-block-warning", "0.2", "--timeout", "1")
    pids = server.worker_pids()
    assert server.request(target="/background?0.8").body == b"done"
    wait_until(lambda: "the background task ran" in server.stdout, "the task's end")
    with server.connect() as connection:
        connection.expect_silence(0.8)
        assert connection.request().body == b"hello"
    assert server.worker_pids() == pids
    assert "loop_block_warning" not in server.log


def test_clients_are_handed_over_by_a_loop_that_is_blocked_between_requests(asgi):
    server = asgi("--loop-block-warning", "0.2", workers=2)
    with server.connect() as first, server.connect() as second:
        pids = {c.request(target="/pid").body for c in (first, second)}
        assert first.request(target="/block_at_end?20").body == b"done"
        server.wait_for_log("blocked for 0.2 s")  # before 3.12 its turn can take a request along
        for _ in range(10):
            assert first.request().body == b"hello"
            assert second.request().body == b"hello"
        assert pids
        server.kill(signal.SIGQUIT)


def test_loop_that_turns_is_not_reported(asgi):
    server = asgi("--loop-block-warning", "0.1")
    assert server.request(target="/sleep?0.6").body == b"slept"
    assert "loop_block_warning" not in server.log


def test_blocked_loop_hands_over(asgi):
    """While one worker's loop is blocked, the other one answers the clients of both."""
    server = asgi(workers=2)
    with server.connect() as first, server.connect() as second:
        pids = {c.request(target="/pid").body for c in (first, second)}
        first.send(render(target="/block?2"))
        server.wait_running()
        for _ in range(10):
            assert second.request().body == b"hello"
        assert first.read_response().body == b"blocked"
        assert pids


# The end


def test_graceful_stop_waits_for_requests(asgi):
    server = asgi()
    with server.connect() as connection:
        connection.send(render(target="/sleep?0.5"))
        server.wait_running()
        server.kill(signal.SIGTERM)
        assert connection.read_response().body == b"slept"
    assert server.wait() == 0
    assert "the shutdown ran" in server.stdout


def test_requests_are_cancelled_at_graceful_timeout(asgi):
    server = asgi("--graceful-timeout", SHORT)
    with server.connect() as connection:
        connection.send(render(target="/sleep"))
        server.wait_running()
        assert server.stop() == 0
        connection.expect_closed()
    assert server.stdout.split("\n")[:2] == ["cancelled", "the shutdown ran"]
    server.wait_for_log("Worker graceful timeout .*GET /sleep")


def test_stop_does_not_wait_for_endless_background_work(asgi):
    server = asgi("--graceful-timeout", "4")
    assert server.request(target="/background?3600").body == b"done"
    assert server.stop() == 0
    assert "the shutdown ran" in server.stdout
    assert "the background task ran" not in server.stdout


@pytest.mark.parametrize("path", ["/block_at_end?60", "/block_apart?60"])
def test_stop_while_background_work_blocks_the_loop(asgi, path):
    server = asgi("--graceful-timeout", SHORT, "--loop-block-warning", "0.3")
    assert server.request(target=path).body == b"done"
    server.wait_for_log("loop_block_warning")
    assert server.stop() == 0
    assert "the shutdown ran" in server.stdout
    server.wait_for_log("Worker graceful timeout")
    assert "SIGKILL" not in server.log


def test_stop_while_the_loop_is_blocked(asgi):
    """The task that blocks it is ended, and the shutdown runs."""
    server = asgi("--graceful-timeout", "4")
    with server.connect() as connection:
        connection.send(render(target="/block?60"))
        server.wait_running()
        assert server.stop() == 0
    assert "the shutdown ran" in server.stdout
    server.wait_for_log("Worker graceful timeout .*GET /block")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT])
def test_shutdown_runs(asgi, number):
    server = asgi()
    server.request()
    assert server.stop(number) == 0
    assert "the shutdown ran" in server.stdout


def test_reload_starts_and_ends_the_application(asgi):
    server = asgi()
    old = int(server.request(target="/pid").body)
    server.kill(signal.SIGHUP)
    wait_until(lambda: int(server.request(target="/pid").body) != old, "a new worker answers")
    wait_until(lambda: "the shutdown ran" in server.stdout, "the old one's shutdown ran")


def test_max_requests(asgi):
    server = asgi("--max-requests", "5")
    first = server.request(target="/pid").body
    wait_until(lambda: server.request(target="/pid").body != first, "a successor answers")
    server.wait_for_log("Autorestarting worker after current request")


# Lifespan


FAILS = (
    "async def app(scope, receive, send):\n"
    "    if scope['type'] == 'lifespan':\n"
    "        await receive()\n"
    "        await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
)
RAISES = (
    "async def app(scope, receive, send):\n"
    "    assert scope['type'] == 'http'\n"
    "    await send({'type': 'http.response.start', 'status': 200})\n"
    "    await send({'type': 'http.response.body', 'body': b'x'})\n"
)


BUSY_LIFESPAN = (
    "import asyncio, time\n"
    "async def app(scope, receive, send):\n"
    "    if scope['type'] == 'http':\n"
    "        await send({'type': 'http.response.start', 'status': 200})\n"
    "        return await send({'type': 'http.response.body', 'body': b'x'})\n"
    "    await receive()\n"
    "    await send({'type': 'lifespan.startup.complete'})\n"
    "    await asyncio.sleep(0.6)\n"
    "    time.sleep(1)\n"
    "    await receive()\n"
    "    await send({'type': 'lifespan.shutdown.complete'})\n"
)


def start_that_fails(tmp_path, code, *args):
    (tmp_path / "own.py").write_text(code)
    server = Server(["-k", "asgi", *args, "own:app"], tmp_path, expect_trouble=True)
    server.launch()
    assert server.wait() == 3
    return server.log


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_startup_that_fails_ends_the_start(tmp_path, mode):
    log = start_that_fails(tmp_path, FAILS, "--asgi-lifespan", mode)
    assert log.count("the startup failed: no database") == 1


def test_startup_that_raises_ends_the_start_where_it_is_on(tmp_path):
    log = start_that_fails(tmp_path, RAISES, "--asgi-lifespan", "on")
    assert log.count("Traceback (most recent call last)") == 1
    assert "AssertionError" in log


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_application_without_lifespan(serve_asgi, tmp_path, mode):
    (tmp_path / "own.py").write_text(RAISES)
    server = serve_asgi("own:app", "--asgi-lifespan", mode)
    assert server.request().body == b"x"


# Configuration


def test_loop(asgi):
    server = asgi("--asgi-loop", "asyncio")
    assert server.request().body == b"hello"


def test_access_log(asgi):
    line = '%(h)s "%(r)s" %(s)s %(b)s %({x-a}o)s %({user-agent}i)s'
    server = asgi("--access-logfile", "-", "--access-logformat", line)
    server.request(target="/fields?q", headers=[("User-Agent", "me")])
    wait_until(lambda: '127.0.0.1 "GET /fields?q HTTP/1.1" 200 0 1 me' in server.stdout, "a line")


def test_hooks(asgi, tmp_path):
    conf = tmp_path / "conf.py"
    conf.write_text(
        "def pre_request(worker, req):\n"
        "    worker.log.info('before %s %s', req.method, req.path)\n"
        "def post_request(worker, req, environ, resp):\n"
        "    worker.log.info('after %s %s', environ['RAW_URI'], resp.status)\n"
    )
    server = asgi("-c", str(conf))
    assert server.request(target="/?a").body == b"hello"
    server.wait_for_log(r"before GET /\n.*after /\?a 200 OK")


WSGI = "def app(environ, start_response):\n    raise SystemError\n"


def test_wsgi_application(tmp_path):
    (tmp_path / "own.py").write_text(WSGI)
    server = Server(["-k", "asgi", "own:app"], tmp_path, expect_trouble=True)
    server.launch()
    assert server.wait() == 3
    assert "is WSGI, and asgi workers serve ASGI: use worker_class 'gthread'" in server.log
    assert "Traceback" not in server.log


def test_asgi_application_for_another_worker(tmp_path):
    server = Server(["-k", "gthread", "asgi_answers:app"], tmp_path, expect_trouble=True)
    server.launch()
    assert server.wait() == 3
    assert "is ASGI" in server.log
    assert "use worker_class 'asgi'" in server.log
    assert "Traceback" not in server.log


def test_nothing_is_left_of_requests(server):
    """Descriptors and tasks: what a connection had is given back."""
    pid = server.worker_pids()[0]
    server.request()  # it has begun to serve
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(50):
        server.request(target="/echo", body=b"x", method="POST")
        with server.connect() as connection:
            connection.send(render("POST", "/echo", [("Content-Length", "9")], b"") + b"abc")
            connection.read_head()
    wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before + 1, "descriptors are closed")


# Behind a gateway


GATEWAYS = {"uwsgi": uwsgi_packet.request, "fastcgi": fastcgi_record.request}


@pytest.mark.parametrize("protocol", GATEWAYS)
def test_the_scope_behind_a_gateway(asgi, protocol):
    server = asgi(f"--protocol={protocol}")
    render_request = GATEWAYS[protocol]

    def ask(*args, **variables):
        with server.connect() as connection:
            connection.send(render_request(*args, **variables))
            if protocol == "uwsgi":
                return connection.read_response()
            return fastcgi_record.read_response(connection)

    response = ask(
        "PUT",
        "/scope/b%20%C3%A4%2541?q=%20",
        b"x",
        SERVER_PROTOCOL="HTTP/2.0",
        HTTPS="on",
        SCRIPT_NAME="/scope",
        PATH_INFO="/b \u00e4%41".encode(),
    )
    scope = ast.literal_eval(response.body.decode())
    expected = {
        "type": "http",
        "http_version": "2",
        "method": "PUT",
        "scheme": "https",
        "path": "/scope/b \u00e4%41",
        "raw_path": b"/scope/b%20%C3%A4%2541",
        "root_path": "/scope",
        "query_string": b"q=%20",
        "client": ("192.0.2.7", 51234),
        "server": ("www.example.com", 8080),
        "headers": [(b"content-length", b"1"), (b"host", b"example.com")],
    }
    assert {key: scope[key] for key in expected} == expected
    assert ask("POST", "/echo", BODY * 3).body == BODY * 3
    assert ask("POST", "/messages", b"").status == 200
    response = ask(uri="/scope/a", SERVER_PORT="x")
    assert ast.literal_eval(response.body.decode())["server"] == server.address


def test_a_large_file_by_fastcgi_waits_for_its_client(asgi, tmp_path):
    """It takes neither memory nor disk meanwhile, and others are served."""
    file = tmp_path / "large"
    with file.open("wb") as out:
        out.write(b"begin")
        out.truncate(40_000_000)
    limits = ["--client-memory", "8M", "--client-disk", "1M"]
    server = asgi("--protocol=fastcgi", *limits)
    with server.connect() as slow, server.connect() as other:
        slow.send(fastcgi_record.request(uri=f"/send_path?{file}"))
        slow.await_answer()
        other.send(fastcgi_record.request("POST", "/echo", b"x"))
        assert fastcgi_record.read_response(other).body == b"x"
        body = fastcgi_record.read_response(slow).body
    assert (body[:5], len(body)) == (b"begin", 40_000_000)
