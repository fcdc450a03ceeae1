"""What the logs say, and where: over real sockets, into real files and real receivers."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from helpers.wire import render, wait_until

RECEIVE_TIMEOUT = 30  # seconds
CLIENTS, REQUESTS = 4, 100

FILE = 'accesslog = "access.log"\n'
TIME = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"


@pytest.fixture
def logged(gunicorn, tmp_path):
    """logged(settings, ...): a server with a configuration file, in tmp_path."""

    def start(settings, *args, app="logged", **options):
        (tmp_path / "gunicorn.conf.py").write_text(settings)
        return gunicorn(app, *args, cwd=tmp_path, **options)

    return start


def lines_of(path, count):
    """The lines of a log once there are so many."""

    def whole():
        lines = path.read_text().splitlines() if path.exists() else []
        return lines if len(lines) >= count else None

    lines = wait_until(whole, f"{count} lines in {path.name}")
    assert len(lines) == count, lines
    return lines


# The access log


def test_common_log_format(logged, tmp_path):
    server = logged(FILE)
    agent = [("User-Agent", "curl/8"), ("Referer", "http://a.example/"), ("Accept", "*/*")]
    server.request(target="/ok?a=b%20c", headers=agent)
    server.request("POST", "/chunked", body=b"x")
    first, second = lines_of(tmp_path / "access.log", 2)
    assert re.fullmatch(
        rf'127\.0\.0\.1 - - {TIME} "GET /ok\?a=b%20c HTTP/1\.1" 200 10 '
        r'"http://a\.example/" "curl/8"',
        first,
    )
    assert re.fullmatch(
        rf'127\.0\.0\.1 - - {TIME} "POST /chunked HTTP/1\.1" 201 20 "-" "-"', second
    )


OWN_LOGGER = """
from gunicorn.glogging import Logger

class logger_class(Logger):
    def access(self, resp, req, environ, request_time):
        super().access(resp, req, environ, request_time)
"""


@pytest.mark.parametrize("by", ["the engine", "Python"])
def test_a_connection_that_the_application_took_over(logged, tmp_path, by):
    """A WebSocket is answered by the application itself: with 101, which no line else would say."""
    own = OWN_LOGGER if by == "Python" else ""
    server = logged(FILE + 'access_log_format = "%(r)s %(s)s %(M)s"\n' + own, app="takeover")
    with server.connect() as connection:
        connection.send(render(target="/echo", headers=[("Upgrade", "lines")]))
        assert connection.read_head().status == 101
        began = time.monotonic()
        connection.send(b"line\n")
        connection.read(5)
        time.sleep(0.1)  # the length of a conversation
        lasted = time.monotonic() - began
        connection.send(b"bye\n")
        connection.expect_closed()
    with server.connect() as connection:
        connection.send(render(target="/echo"))
        connection.read_head()
        connection.send(b"bye\n")
        connection.expect_closed()
    first, second = lines_of(tmp_path / "access.log", 2)
    target, ms = first.rsplit(" ", 1)
    assert target == "GET /echo HTTP/1.1 101" and int(ms) >= int(lasted * 1000)
    assert second.startswith("GET /echo HTTP/1.1 0 ")  # it asked for no other protocol


def test_standard_output(logged):
    server = logged('accesslog = "-"\naccess_log_format = "%(m)s %(U)s"\n')
    server.request(target="/ok")
    wait_until(lambda: server.stdout == "GET /ok\n", "the line on the standard output")


def test_nothing_is_logged_unless_asked_for(logged):
    server = logged("")
    server.request(target="/ok")
    server.stop()
    assert server.stdout == ""
    assert "GET" not in server.log


def test_atoms(logged, tmp_path):
    format = (
        "%(h)s|%(l)s|%(u)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(b)s|%(B)s|%(f)s|%(a)s|%({x-id}i)s|"
        "%({X-Cost}o)s|%({server_protocol}e)s|%({x-none}i)s|%({x-none}o)s|%({none}e)s|%(zz)s"
    )
    server = logged(FILE + f"access_log_format = {format!r}\n")
    fields = [("X-Id", "7"), ("Authorization", "Basic YnJpYW46eA==")]
    server.request(target="/ok?q=1", headers=fields)
    (line,) = lines_of(tmp_path / "access.log", 1)
    assert line == (
        "127.0.0.1|-|brian|GET|/ok|q=1|HTTP/1.1|200|10|10|-|-|7|"
        r"a \"b\"|HTTP/1.1|-|-|-|-"
    )


def test_times_and_process(logged, tmp_path):
    server = logged(FILE + 'access_log_format = "%(T)s %(M)s %(D)s %(L)s %(p)s %(Q)s"\n')
    server.request(target="/ok")
    (line,) = lines_of(tmp_path / "access.log", 1)
    whole, milli, micro, decimal, pid, waited = line.split()
    assert 0 <= float(waited) < 1 and len(waited) == 8
    assert whole == "0"
    assert int(milli) == int(micro) // 1000
    assert 0 <= int(micro) < 1000000
    assert decimal == f"0.{int(micro):06d}"
    assert pid == f"<{server.worker_pids()[0]}>"


def test_bytes_are_what_was_sent(logged, tmp_path):
    server = logged(FILE + 'access_log_format = "%(U)s %(s)s %(B)s %(b)s"\n')
    file = tmp_path / "file"
    file.write_bytes(b"x" * 300000)
    fields = [("X-File", str(file))]
    server.request(target="/sent_file", headers=fields)
    server.request(target="/other_wrapper", headers=fields)
    server.request("HEAD", "/ok")
    server.request(target="/nothing")
    server.request(target="/chunked")
    assert lines_of(tmp_path / "access.log", 5) == [
        "/sent_file 200 300000 300000",
        "/other_wrapper 200 300000 300000",
        "/ok 200 0 0",
        "/nothing 204 0 0",
        "/chunked 201 20 20",
    ]


def test_each_request_of_a_connection(logged, tmp_path):
    server = logged(FILE + 'access_log_format = "%(q)s"\n')
    with server.connect() as connection:
        for number in range(3):
            connection.request(target=f"/ok?{number}")
        connection.send(b"".join(render(target=f"/ok?{number}") for number in range(3, 6)))
        for _ in range(3):
            connection.read_response()
    assert lines_of(tmp_path / "access.log", 6) == list("012345")


#: Who writes the access log: C, or a logger of the user's in Python.
WRITERS = {
    "engine": "",
    "logger_class": 'logger_class = "own_logger.Own"\n',
}


@pytest.fixture(params=list(WRITERS))
def writer(request):
    return WRITERS[request.param]


@pytest.mark.parametrize("target", ["/fails", "/begins_and_fails"])
def test_failures_are_logged(logged, tmp_path, writer, target):
    format = 'access_log_format = "%(U)s %(s)s %({x-cost}o)s"\n'
    server = logged(FILE + format + writer, expect_trouble=True)
    assert server.request(target=target).status == 500
    assert lines_of(tmp_path / "access.log", 1) == [f"{target} 500 -"]
    server.wait_for_log(rf"\[ERROR\] Error handling request GET {target}\nTraceback .*as it has to")


def test_hooks_see_what_the_application_gave_and_what_was_answered(logged):
    server = logged(
        "def post_request(worker, req, environ, resp):\n"
        "    worker.log.info('%s: %s, %s', req.path, resp.status, resp.status_code)\n",
        expect_trouble=True,
    )
    server.request(target="/begins_and_fails")
    server.wait_for_log("/begins_and_fails: 201 Created, 500")
    server.request(target="/fails")
    server.wait_for_log("/fails: None, 500")


def test_refused_requests_are_logged(logged, tmp_path):
    server = logged(FILE + 'access_log_format = "%(h)s %(r)s %(s)s"\n')
    assert server.raw(b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n").status == 400
    (line,) = lines_of(tmp_path / "access.log", 1)
    assert line.startswith("127.0.0.1 ")
    assert line.endswith(" 400")


REFUSED = [
    (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417),
    (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: magic\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001, 413),
]


@pytest.mark.parametrize("format", ["%(s)s %(m)s", "json"])
def test_each_refusal_has_a_line(logged, tmp_path, format, writer):
    settings = f"access_log_format = {format!r}\nlimit_request_body = 1000\n"
    server = logged(FILE + settings + writer)
    statuses = [server.raw(data).status for data, _ in REFUSED]
    assert statuses == [status for _, status in REFUSED]
    lines = lines_of(tmp_path / "access.log", len(REFUSED))
    if format == "json":
        written = [json.loads(line)["status"] for line in lines]
    else:
        written = [int(line.partition(" ")[0]) for line in lines]
    if writer:  # each of the threads may come to write one first
        written.sort()
        statuses.sort()
    assert written == statuses


REFUSED_ATOMS = (
    "%(h)s|%(u)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(D)s|%(Q)s|%(f)s|%(a)s|%({x-id}i)s|%({x}o)s"
)


@pytest.mark.parametrize(
    "request_bytes,line",
    [
        (
            b"POST /p%20q?a=b HTTP/1.1\r\nHost: a\r\nUser-Agent: curl\r\nReferer: /\r\nX-Id: 7\r\n"
            b"Authorization: Basic YnJpYW46eA==\r\nContent-Length: 1001\r\n\r\n",
            "127.0.0.1|brian|POST /p%20q?a=b HTTP/1.1|POST|/p%20q|a=b|HTTP/1.1|413|0|0.000000|/|"
            "curl|7|-",
        ),
        (b"NONSENSE\r\n", "127.0.0.1|-|- - -|-|-||-|400|0|0.000000|-|-|-|-"),
    ],
)
def test_what_is_told_of_a_refusal(logged, tmp_path, writer, request_bytes, line):
    """The same, whoever tells it."""
    settings = f"access_log_format = {REFUSED_ATOMS!r}\nlimit_request_body = 1000\n"
    server = logged(FILE + settings + writer)
    server.raw(request_bytes)
    assert lines_of(tmp_path / "access.log", 1) == [line]


@pytest.mark.parametrize("format", ["%(s)s %(h)s", "json"])
def test_a_head_that_does_not_come_has_a_line(logged, tmp_path, format, writer):
    settings = f"access_log_format = {format!r}\nheader_timeout = 0.3\n"
    server = logged(FILE + settings + writer)
    with server.connect() as connection:
        connection.send(b"GET /never HT")
        connection.expect_closed()
    (line,) = lines_of(tmp_path / "access.log", 1)
    if format == "json":
        fields = json.loads(line)
        assert (fields["status"], fields["remote_addr"]) == (408, "127.0.0.1")
    else:
        assert line == "408 127.0.0.1"


@pytest.mark.parametrize(
    "sent,written",
    [
        (b'a"b', r"a\"b"),
        (b"a\\", r"a\\"),
        (b"a\tb", r"a\x09b"),
        (b"a\x9b\x85b", r"a\x9b\x85b"),
        (b"%(h)s %s %", "%(h)s %s %"),
        (b"caf\xe9", "caf\xe9"),
    ],
)
@pytest.mark.parametrize("format", ['"%(a)s"', '"%({user-agent}i)s"', '"%({http_user_agent}e)s"'])
def test_nobody_injects(logged, tmp_path, format, sent, written):
    server = logged(FILE + f"access_log_format = {format!r}\n", env={"PYTHONUTF8": "1"})
    server.raw(
        b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: " + sent + b"\r\n\r\n"
    )
    assert lines_of(tmp_path / "access.log", 1) == [f'"{written}"']


def test_nobody_injects_by_the_path(logged, tmp_path):
    server = logged(FILE + 'access_log_format = "%(U)s %(r)s"\n', expect_trouble=True)
    server.request(target="/ok%0a%22%1b%5b2J")
    (line,) = lines_of(tmp_path / "access.log", 1)
    assert line == r"/ok\x0a\"\x1b[2J GET /ok%0a%22%1b%5b2J HTTP/1.1"


#: As bottle and wsgidav decode paths, and with a surrogate, which UTF-8 does not have.
DECODED = "/\u20ac\U0001f600"


@pytest.mark.parametrize("format", ["%(h)s|%(U)s|%(f)s|%(r)s", "json"])
def test_middleware_tells_the_client(logged, tmp_path, format):
    """As ProxyFix does: what the environ says in the end is what is logged."""
    (tmp_path / "fixed.py").write_text(
        "from logged import application as inner\n"
        "def application(environ, start_response):\n"
        "    environ['PATH_INFO'] = '/ok'\n"
        "    body = inner(environ, start_response)\n"
        f"    environ.update(REMOTE_ADDR='203.0.113.9', PATH_INFO={DECODED + chr(0xDCE4)!a})\n"
        "    environ['HTTP_REFERER'] = '\\u03b2\"'\n"
        "    return body\n"
    )
    server = logged(FILE + f"access_log_format = {format!r}\n", app="fixed")
    server.request(target="/elsewhere")
    (line,) = lines_of(tmp_path / "access.log", 1)
    if format == "json":
        fields = json.loads(line)
        assert fields["path"] == DECODED + r"\udce4"
        assert (fields["remote_addr"], fields["referer"]) == ("203.0.113.9", '\u03b2"')
    else:
        path = DECODED + r"\\udce4"
        assert line == f'203.0.113.9|{path}|\u03b2\\"|GET /elsewhere HTTP/1.1'


@pytest.mark.parametrize("format", ["%(m)5s|", "%(s)r"])
def test_formats_that_only_python_knows(logged, tmp_path, format):
    server = logged(FILE + f"access_log_format = {format!r}\n")
    server.request(target="/ok")
    lines_of(tmp_path / "access.log", 1)


BY_PYTHON = """
from gunicorn import glogging

class Logger(glogging.Logger):
    def atoms(self, *args):
        return super().atoms(*args)

logger_class = Logger
"""
ALL_ATOMS = (
    '%(h)s "%(u)s" "%(r)s" %(s)s %(m)s "%(U)s" "%(q)s" %(H)s %(b)s %(B)s "%(f)s" "%(a)s" '
    '"%({x-any}i)s" "%({HTTP_X_ANY}e)s" %({x-cost}o)s %({content-length}o)s %(zz)s 100%%'
)


def odd_requests():
    """Requests with every byte that a header may have, and some that their escapes may confuse."""
    values = [bytes([byte]) * 2 for byte in (0x09, *range(0x20, 0x7F), *range(0x80, 0x100))]
    values += [b"", b"\\x1b", b'\\"', b"%(h)s%%", "\u20ac".encode(), b"x" * 3000]
    users = [b"Basic YTpi", b"Basic w6k6eA==", b"Basic /zp4", b"basic YTpi", b"Basic", b"Digest x"]
    for number, value in enumerate(values):
        user = users[number % len(users)]
        yield (
            b"GET /ok?%d=%%22 HTTP/1.%d\r\nHost: a\r\nConnection: close\r\n" % (number, number % 2)
            + b"X-Any: a" + value + b"b\r\nUser-Agent: " + value + b"\r\nReferer: " + value
            + b"\r\nAuthorization: " + user + b"\r\nx-any: " + value + b"\r\n\r\n"
        )  # fmt: skip


@pytest.mark.parametrize("format", [ALL_ATOMS, "json"])
def test_c_and_python_agree(gunicorn, tmp_path, format):
    logs = []
    for name, settings in (("c", ""), ("python", BY_PYTHON)):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "gunicorn.conf.py").write_text(
            f"{FILE}access_log_format = {format!r}\n{settings}"
        )
        server = gunicorn("logged", cwd=directory, env={"PYTHONUTF8": "1"})
        requests = list(odd_requests())
        for request in requests:
            assert server.raw(request).status == 200
        lines = lines_of(directory / "access.log", len(requests))
        if format == "json":
            lines = [json.loads(line) for line in lines]
            for fields in lines:
                assert {fields.pop(name) is not None for name in ("time", "pid", "duration_us")}
        logs.append(lines)
    for one, other in zip(*logs, strict=True):
        assert one == other


def test_json(logged, tmp_path):
    server = logged(FILE + 'access_log_format = "json"\n')
    server.request(target="/ok?a=%22", headers=[("User-Agent", 'curl "8"')])
    (line,) = lines_of(tmp_path / "access.log", 1)
    fields = json.loads(line)
    assert fields["status"] == 200
    assert fields["bytes"] == 10
    assert fields["target"] == "/ok?a=%22"
    assert (fields["path"], fields["query"]) == ("/ok", "a=%22")
    assert fields["user_agent"] == 'curl "8"'
    assert fields["remote_addr"] == "127.0.0.1"
    assert fields["duration_us"] >= 0


def test_lines_never_interleave(logged, tmp_path):
    server = logged(FILE + 'access_log_format = "<%(q)s %(a)s>"\n', workers=2)
    agent = "x" * 3000

    def client(name):
        with server.connect() as connection:
            for number in range(REQUESTS):
                fields = [("User-Agent", agent)]
                assert connection.request("GET", f"/ok?{name}-{number}", fields).status == 200

    threads = [threading.Thread(target=client, args=(name,)) for name in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    lines = lines_of(tmp_path / "access.log", CLIENTS * REQUESTS)
    assert all(re.fullmatch(rf"<\d-\d+ {agent}>", line) for line in lines)
    assert len(set(lines)) == len(lines)


# Files


def test_usr1_opens_the_files_again(logged, tmp_path):
    server = logged(FILE + 'errorlog = "stderr.log"\naccess_log_format = "%(q)s"\n')
    server.request(target="/ok?before")
    lines_of(tmp_path / "access.log", 1)
    for name in ("access.log", "stderr.log"):
        (tmp_path / name).rename(tmp_path / f"{name}.1")
    server.kill(signal.SIGUSR1)
    wait_until(lambda: (tmp_path / "stderr.log").exists(), "a new error log")

    def logged_anew():
        server.request(target="/ok?after")
        return (tmp_path / "access.log").exists() and (tmp_path / "access.log").read_text()

    assert set(wait_until(logged_anew, "a new access log").split()) == {"after"}


NOBODY = 65534


def nobody_may_run(directory):
    """Whether another user can run this Python and write in the directory."""
    try:
        subprocess.run(
            [sys.executable, "-c", "import gunicorn; open('probe', 'w')"],
            cwd=directory,
            user=NOBODY,
            timeout=60,
            check=True,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_files_belong_to_the_workers_user(logged, tmp_path):
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.name.startswith(("pytest-", "popen-")):  # pytest's own, closed to others
            parent.chmod(0o755)
    if not nobody_may_run(tmp_path):
        pytest.skip("another user cannot run this Python")
    server = logged(FILE, "--user", str(NOBODY), "--group", str(NOBODY))
    server.request(target="/ok")
    lines_of(tmp_path / "access.log", 1)
    assert (tmp_path / "access.log").stat().st_uid == NOBODY
    (tmp_path / "access.log").rename(tmp_path / "access.log.1")
    server.kill(signal.SIGUSR1)
    wait_until(lambda: (tmp_path / "access.log").exists(), "a new access log")


def test_captured_output(logged, tmp_path):
    settings = 'errorlog = "stderr.log"\ncapture_output = True\n'
    server = logged(settings, env={"PYTHONDEVMODE": "1"})
    server.request(target="/printed")
    wanted = ("to the output", "to the error", "to wsgi.errors", "to a logger")
    wait_until(lambda: all(text in server.log for text in wanted), "all that was written")
    assert server.stdout == ""
    server.kill(signal.SIGUSR1)
    server.wait_for_log("Handling signal: usr1")
    assert server.request(target="/ok").status == 200
    assert server.stop() == 0
    assert "unclosed file" not in server.log


# Others' loggers and handlers

LOGGER = """
from gunicorn import glogging


class Mine(glogging.Logger):
    def setup(self, cfg):
        super().setup(cfg)
        self.error_log.info("my setup")

    def atoms(self, resp, req, environ, request_time):
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["mine"] = environ["PATH_INFO"].upper()
        return atoms


logger_class = Mine
accesslog = "access.log"
access_log_format = "%(mine)s %(s)s"
"""


def test_logger_class(logged, tmp_path):
    server = logged(LOGGER)
    server.request(target="/ok")
    assert lines_of(tmp_path / "access.log", 1) == ["/OK 200"]
    server.wait_for_log("my setup")


LOGCONFIG = """
logconfig_dict = {
    "formatters": {
        "access": {"format": "ACCESS %(message)s"},
        "generic": {"format": "ERROR %(levelname)s %(message)s"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "generic"},
        "access": {
            "class": "logging.FileHandler", "formatter": "access", "filename": "access.log",
        },
    },
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["console"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["access"], "propagate": False},
    },
}
access_log_format = "%(m)s %(U)s"
"""


def test_logconfig_dict(logged, tmp_path):
    server = logged(LOGCONFIG)
    server.request(target="/ok")
    assert lines_of(tmp_path / "access.log", 1) == ["ACCESS GET /ok"]
    server.wait_for_log("ERROR INFO Booting worker")


def test_a_handler_added_by_the_application(logged, tmp_path):
    (tmp_path / "added.py").write_text(
        "import logging\n"
        "from logged import application as inner\n"
        "class Handler(logging.Handler):\n"
        "    def emit(self, record):\n"
        "        with open('added.log', 'a') as f:\n"
        "            print(record.args['m'], record.args.get('U'), 'h' in record.args, file=f)\n"
        "logging.getLogger('gunicorn.access').addHandler(Handler())\n"
        "application = inner\n"
    )
    server = logged(FILE, app="added")
    server.request(target="/ok")
    assert lines_of(tmp_path / "added.log", 1) == ["GET /ok True"]
    lines_of(tmp_path / "access.log", 1)


# Receivers


@pytest.fixture
def receiver():
    """A datagram socket, and what it got so far."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(RECEIVE_TIMEOUT)
        yield server


def received_until(receiver, wanted):
    """Datagrams until one matches the pattern `wanted`; the match comes last."""
    got = []
    while not got or not re.fullmatch(wanted, got[-1]):
        got.append(receiver.recv(8192).rstrip(b"\0").decode())
    return got


def test_syslog(logged, receiver):
    port = receiver.getsockname()[1]
    server = logged(
        f"syslog = True\nsyslog_addr = 'udp://127.0.0.1:{port}'\nproc_name = 'shop'\n"
        "access_log_format = '%(m)s %(s)s'\n"
    )
    server.request(target="/ok")
    got = received_until(receiver, r"<14>gunicorn\.shop\.access: \[\d+\] GET 200")
    assert any("gunicorn.shop.error: " in text and "Listening at" in text for text in got)


def test_statsd(logged, receiver):
    port = receiver.getsockname()[1]
    server = logged(f"statsd_host = '127.0.0.1:{port}'\nstatsd_prefix = 'shop'\n")
    server.request(target="/ok")
    got = received_until(receiver, r"shop\.gunicorn\.request\.status\.200:1\|c\|@1\.0")
    assert "shop.gunicorn.workers:1|g" in got
    assert "shop.gunicorn.requests:1|c|@1.0" in got
    assert any(re.fullmatch(r"shop\.gunicorn\.request\.duration:[\d.]+\|ms", t) for t in got)


def test_statsd_counts_failures(logged, receiver):
    port = receiver.getsockname()[1]
    server = logged(f"statsd_host = '127.0.0.1:{port}'\n", expect_trouble=True)
    server.request(target="/fails")
    received_until(receiver, r"gunicorn\.request\.status\.500:1\|c\|@1\.0")
    server.stop()
    assert "Exception ignored" not in server.log


def test_statsd_with_all_its_settings(logged, tmp_path):
    """A unix socket, tags, a prefix, the length of the accept queue, and one's own metrics."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server_end:
        path = tmp_path / "statsd"
        server_end.bind(str(path))
        server_end.settimeout(RECEIVE_TIMEOUT)
        server = logged(
            f"statsd_host = 'unix://{path}'\nstatsd_prefix = 'shop'\n"
            "dogstatsd_tags = 'env:test,tier:web'\nenable_backlog_metric = True\n"
            "def post_request(worker, req):\n"
            "    extra = {'metric': 'mine', 'value': 7, 'mtype': 'gauge'}\n"
            "    worker.log.info('', extra=extra)\n"
        )
        received_until(server_end, r"shop\.gunicorn\.backlog:\d+\|h\|#env:test,tier:web")
        server.request(target="/ok")
        received_until(server_end, r"shop\.gunicorn\.requests:1\|c\|@1\.0\|#env:test,tier:web")
        received_until(server_end, r"shop\.mine:7\|g\|#env:test,tier:web")


def test_dead_statsd(logged):
    server = logged("statsd_host = '127.0.0.1:1'\n")
    for _ in range(3):
        assert server.request(target="/ok").status == 200
    server.stop()
    lines = [line for line in server.log.splitlines() if "Control socket:" not in line]
    assert "statsd" not in "\n".join(lines)  # the socket's path has this test's name


def test_post_request_follows_a_failed_pre_request(logged):
    """Without an environ and an answer: there are none."""
    server = logged(
        "def pre_request(worker, req):\n"
        "    1 / 0\n"
        "def post_request(worker, req, environ, resp):\n"
        "    worker.log.info('after %s: %s, %s', req.path, environ, resp)\n",
        expect_trouble=True,
    )
    assert server.request(target="/ok").status == 500
    server.wait_for_log("after /ok: {}, None")
    server.wait_for_log("ZeroDivisionError")


@pytest.mark.parametrize("name", ["create_app", "Site", "in_c"])
def test_an_application_that_is_none(logged, tmp_path, name):
    """What cannot be called as WSGI asks is told as such; what fails inside is not."""
    (tmp_path / "mistaken.py").write_text(
        "def create_app(): ...\nclass Site: ...\nin_c = [].sort\n"
    )
    server = logged("", app=f"mistaken:{name}", expect_trouble=True)
    assert server.request().status == 500
    server.wait_for_log("cannot be called as WSGI asks")


def test_a_type_error_of_the_application_is_its_own(logged, tmp_path):
    (tmp_path / "mistaken.py").write_text("def app(environ, start_response):\n    len(1)\n")
    server = logged("", app="mistaken:app", expect_trouble=True)
    assert server.request().status == 500
    server.stop()
    assert "TypeError" in server.log
    assert "cannot be called" not in server.log
