"""gunicorn.glogging and gunicorn.instrument.statsd by themselves."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import re
import socket
import sys
from datetime import timedelta

import pytest

from gunicorn import glogging
from gunicorn.config import Config
from gunicorn.instrument.statsd import Statsd

RECEIVE_TIMEOUT = 30  # seconds
DURATION = timedelta(seconds=2, microseconds=345678)


class Response:
    status = "200 OK"
    status_code = 200
    sent = 1024
    headers = [("Content-Type", "text/html"), ("X-Cost", "7")]


class Request:
    headers = [("HOST", "example.org"), ("X-FORWARDED-FOR", "203.0.113.9")]


ENVIRON = {
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/shop?item=1",
    "PATH_INFO": "/shop",
    "QUERY_STRING": "item=1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "192.0.2.1",
    "HTTP_HOST": "example.org",
    "HTTP_REFERER": "http://example.com/",
    "HTTP_USER_AGENT": "curl/8",
    "HTTP_AUTHORIZATION": "Basic YnJpYW46c2VjcmV0",
}


@pytest.fixture(autouse=True)
def clean_logging():
    """Leave Python's logging as it was found."""
    names = ("gunicorn.error", "gunicorn.access", "root")
    root = logging.root
    before = (root.level, root.handlers[:])
    yield
    for name in names[:2]:
        log = logging.getLogger(name)
        for handler in log.handlers[:]:
            log.removeHandler(handler)
            handler.close()
        log.filters.clear()
        log.propagate = True
        log.setLevel(logging.NOTSET)
    root.setLevel(before[0])
    root.handlers[:] = before[1]


@pytest.fixture
def logger(tmp_path):
    """logger(**settings): a Logger whose files are in tmp_path."""

    def make(cls=glogging.Logger, **settings):
        cfg = Config()
        cfg.set("errorlog", str(tmp_path / "error.log"))
        for name, value in settings.items():
            cfg.set(name, value)
        return cls(cfg)

    return make


@pytest.fixture
def access_line(logger, tmp_path):
    """access_line(format, ...): the line that a request leaves."""

    def line(format, environ=None, resp=Response, req=Request, duration=DURATION, cls=None):
        path = tmp_path / "access.log"
        settings = {"accesslog": str(path)}
        if format is not None:
            settings["access_log_format"] = format
        log = logger(cls or glogging.Logger, **settings)
        log.access(resp, req, ENVIRON if environ is None else environ, duration)
        return path.read_text()

    return line


# ---- the access log ----


def test_default_format(access_line):
    assert re.fullmatch(
        r"192\.0\.2\.1 - brian \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
        r'"GET /shop\?item=1 HTTP/1\.1" 200 1024 "http://example\.com/" "curl/8"\n',
        access_line(None),
    )


ATOMS = [
    ("h", "192.0.2.1"),
    ("l", "-"),
    ("u", "brian"),
    ("r", "GET /shop?item=1 HTTP/1.1"),
    ("s", "200"),
    ("m", "GET"),
    ("U", "/shop"),
    ("q", "item=1"),
    ("H", "HTTP/1.1"),
    ("b", "1024"),
    ("B", "1024"),
    ("f", "http://example.com/"),
    ("a", "curl/8"),
    ("T", "2"),
    ("D", "2345678"),
    ("M", "2345"),
    ("L", "2.345678"),
    ("p", f"<{os.getpid()}>"),
    ("{host}i", "example.org"),
    ("{X-Forwarded-For}i", "203.0.113.9"),
    ("{content-type}o", "text/html"),
    ("{X-COST}o", "7"),
    ("{raw_uri}e", "/shop?item=1"),
    ("{REMOTE_ADDR}e", "192.0.2.1"),
    ("{nosuch}i", "-"),
    ("{nosuch}o", "-"),
    ("{nosuch}e", "-"),
    ("{host}x", "-"),
    ("{host", "-"),
    ("Z", "-"),
]


class Eager(glogging.Logger):
    """Computes all atoms at once, as any subclass with atoms of its own."""

    def atoms(self, resp, req, environ, request_time):
        return super().atoms(resp, req, environ, request_time)


@pytest.mark.parametrize("cls", [glogging.Logger, Eager])
@pytest.mark.parametrize("atom,value", ATOMS, ids=[atom for atom, _ in ATOMS])
def test_atoms(access_line, atom, value, cls):
    assert access_line(f"%({atom})s", cls=cls) == f"{value}\n"


@pytest.mark.parametrize("cls", [glogging.Logger, Eager])
def test_what_a_request_lacks_is_a_dash(access_line, cls):
    class NothingSent:
        status = 204
        headers = {}

    environ = {"REQUEST_METHOD": "GET", "RAW_URI": "*", "SERVER_PROTOCOL": "HTTP/1.0"}
    line = access_line("%(h)s %(u)s %(s)s %(b)s %(f)s %(a)s", environ, NothingSent, {}, cls=cls)
    assert line == "- - 204 - - -\n"


@pytest.mark.parametrize("cls", [glogging.Logger, Eager])
def test_a_request_may_take_days(access_line, cls):
    line = access_line("%(T)s %(M)s %(D)s", duration=timedelta(days=1, seconds=1), cls=cls)
    assert line == "86401 86401000 86401000000\n"


@pytest.mark.parametrize("cls", [glogging.Logger, Eager])
@pytest.mark.parametrize(
    "sent,written",
    [
        ('a"b', r"a\"b"),
        ("a\nb", r"a\x0ab"),
        ("\r\n127.0.0.1", r"\x0d\x0a127.0.0.1"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x7f\x85\x9b", r"\x7f\x85\x9b"),
        ('back\\"', r"back\\\""),
        ("\0", r"\x00"),
        ("caf\xe9 %(h)s %s", "caf\xe9 %(h)s %s"),
    ],
)
def test_nobody_injects_lines(access_line, sent, written, cls):
    environ = {**ENVIRON, "HTTP_USER_AGENT": sent, "RAW_URI": sent}
    request = {"X-Any": sent}
    line = access_line('"%(a)s" "%({x-any}i)s" %(r)s', environ, req=request, cls=cls)
    assert line == f'"{written}" "{written}" GET {written} HTTP/1.1\n'


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic /w==", "Bearer x", "Basic \xff"])
def test_bad_credentials_are_no_user(access_line, header):
    assert access_line("%(u)s", {**ENVIRON, "HTTP_AUTHORIZATION": header}) == "-\n"


def test_json(access_line):
    line = access_line("json", {**ENVIRON, "HTTP_USER_AGENT": 'a"\n\x1b\xe9'})
    assert line.count("\n") == 1
    assert line.isascii()
    fields = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", fields.pop("time"))
    assert fields == {
        "pid": os.getpid(),
        "remote_addr": "192.0.2.1",
        "user": "brian",
        "method": "GET",
        "target": "/shop?item=1",
        "path": "/shop",
        "query": "item=1",
        "protocol": "HTTP/1.1",
        "host": "example.org",
        "status": 200,
        "bytes": 1024,
        "duration_us": 2345678,
        "referer": "http://example.com/",
        "user_agent": 'a"\n\x1b\xe9',
    }


def test_format_that_makes_no_sense(access_line, tmp_path):
    assert access_line("%(h)d") == ""


def test_a_handler_of_others_sees_all_atoms(logger, tmp_path):
    records = []

    class Keeper(logging.Handler):
        def emit(self, record):
            records.append((record.getMessage(), dict(record.args)))

    log = logger(accesslog=str(tmp_path / "access.log"), access_log_format="%(h)s")
    log.access_log.addHandler(Keeper())
    log.access(Response, Request, ENVIRON, DURATION)
    message, atoms = records[0]
    assert message == "192.0.2.1"
    assert atoms["m"] == "GET"
    assert atoms["{host}i"] == "example.org"


#: What a formatter of one's own may do with record.args, each first with a record of its own.
LOOKS = [
    lambda atoms: sorted(dict(atoms)),
    lambda atoms: sorted(dict(**atoms)),
    lambda atoms: sorted(atoms),
    lambda atoms: sorted(key for key, _ in atoms.items()),
    lambda atoms: sorted(atoms.keys()),
    lambda atoms: [str(value) for value in atoms.values()],
    len,
    lambda atoms: [atoms.get("m"), atoms.get("{host}i"), atoms.get("nothing"), atoms.get("z", 1)],
    lambda atoms: ["m" in atoms, "{host}i" in atoms, "nothing" in atoms],
    lambda atoms: [atoms["m"], atoms["{HOST}i"], atoms["{x-cost}o"], atoms["nothing"]],
    lambda atoms: sorted(json.loads(json.dumps(atoms))),
    lambda atoms: sorted(copy.copy(atoms)),
    lambda atoms: sorted(pickle.loads(pickle.dumps(atoms))),
    lambda atoms: sorted(atoms | {"one": "more"}),
    lambda atoms: sorted({**atoms}),
    lambda atoms: isinstance(atoms, dict) and bool(atoms),
    lambda atoms: "%(m)s %({host}i)s" % atoms,  # noqa: UP031 - as logging does
    lambda atoms: "{m}".format_map(atoms),
    lambda atoms: atoms == dict(atoms),
    lambda atoms: "'m': 'GET'" in repr(atoms),
]


@pytest.mark.parametrize("look", LOOKS)
def test_a_formatter_of_ones_own_gets_a_mapping(logger, tmp_path, look):
    """On gunicorn's own handler, where atoms are made when they are asked for."""
    seen = []

    class Looking(logging.Formatter):
        def format(self, record):
            seen.append((type(record.args).__name__, look(record.args)))
            return super().format(record)

    log = logger(accesslog=str(tmp_path / "access.log"), access_log_format="%(m)s")
    log.access_log.handlers[0].setFormatter(Looking())
    assert log.access_fd() is None
    log.access(Response, Request, ENVIRON, DURATION)
    log.now = lambda: "[now]"
    atoms = glogging.SafeAtoms(log.atoms(Response, Request, ENVIRON, DURATION))
    kind, answer = seen[0]
    assert kind == "LazyAtoms"
    assert re.sub(r"\[\d.*?\]", "[now]", str(answer)) == str(look(atoms))
    assert (tmp_path / "access.log").read_text() == "GET\n"


def test_subclasses_add_atoms(access_line):
    class Mine(glogging.Logger):
        def atoms(self, resp, req, environ, request_time):
            return {**super().atoms(resp, req, environ, request_time), "z": 'my"own'}

        def now(self):
            return "[now]"

    assert access_line("%(t)s %(z)s", cls=Mine) == '[now] my\\"own\n'


@pytest.mark.parametrize(
    "settings,enabled",
    [
        ({}, False),
        ({"accesslog": "-"}, True),
        ({"logconfig": "x.ini"}, True),
        ({"logconfig_json": "x.json"}, True),
        ({"logconfig_dict": {"version": 1}}, True),
        ({"syslog": True}, True),
        ({"syslog": True, "disable_redirect_access_to_syslog": True}, False),
    ],
)
def test_access_enabled(settings, enabled):
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    assert glogging.access_enabled(cfg) is enabled


def test_access_is_silent_when_disabled(logger):
    log = logger()
    assert not log.access_log_enabled
    log.access(None, None, None, None)


# ---- who may write for the logger ----


def test_access_fd(logger, tmp_path):
    path = tmp_path / "access.log"
    log = logger(accesslog=str(path))
    fd = log.access_fd()
    os.write(fd, b"direct\n")
    assert path.read_text() == "direct\n"


class OwnNow(glogging.Logger):
    def now(self):
        return "now"


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.access_log.addFilter(lambda record: True),
        lambda log: log.access_log.addHandler(logging.NullHandler()),
        lambda log: setattr(log.access_log, "propagate", True),
        lambda log: log.access_log.setLevel(logging.ERROR),
        lambda log: log.access_log.handlers[0].setLevel(logging.ERROR),
        lambda log: log.access_log.handlers[0].addFilter(lambda record: True),
        lambda log: log.access_log.handlers[0].setFormatter(None),
        lambda log: log.access_log.handlers.clear(),
    ],
)
def test_no_access_fd_when_somebody_changed_the_logger(logger, tmp_path, change):
    log = logger(accesslog=str(tmp_path / "access.log"))
    assert log.access_fd() is not None
    change(log)
    assert log.access_fd() is None


@pytest.mark.parametrize("name", ["access", "atoms", "now", "_get_user"])
def test_no_access_fd_when_a_method_was_replaced(logger, tmp_path, monkeypatch, name):
    """In gunicorn's own class, or in the object."""
    log = logger(accesslog=str(tmp_path / "access.log"))
    with monkeypatch.context() as patch:
        patch.setattr(glogging.Logger, name, lambda *args: None)
        assert log.access_fd() is None
    assert log.access_fd() is not None
    setattr(log, name, lambda *args: None)
    assert log.access_fd() is None


def test_no_access_fd_for_subclasses_that_change_lines(logger, tmp_path):
    assert logger(OwnNow, accesslog=str(tmp_path / "a.log")).access_fd() is None
    assert logger().access_fd() is None


# ---- the error log ----


def test_error_log(logger, tmp_path):
    log = logger(loglevel="WARNING")
    log.info("unseen")
    log.debug("unseen")
    log.warning("one %s", 1)
    log.error("two")
    log.critical("three")
    log.log("error", "four")
    log.log(logging.CRITICAL, "five")
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        log.exception("six")
    lines = (tmp_path / "error.log").read_text().splitlines()
    prefix = rf"\[\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}}\] \[{os.getpid()}\] "
    assert re.fullmatch(prefix + r"\[WARNING\] one 1", lines[0])
    assert re.fullmatch(prefix + r"\[CRITICAL\] five", lines[4])
    assert re.fullmatch(prefix + r"\[ERROR\] six", lines[5])
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "unseen" not in str(lines)


@pytest.mark.parametrize("flag", ["--error-logfile", "--access-logfile"])
def test_a_log_that_is_not_writable_is_told_once(command, flag):
    result = command(flag, "/nosuch/x", "app:app")
    assert result.returncode == 1
    assert result.stderr == "\nError: '/nosuch/x' isn't writable: No such file or directory\n\n"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("/dev/stdout", ["--access-logfile", "/dev/stdout"]),
        ("/proc/self/fd/1", ["--error-logfile", "/proc/self/fd/1"]),
        ("/dev/stdout", ["--log-config-json", "log.json"]),
    ],
)
def test_a_standard_stream_that_is_a_socket(tmp_path, name, arguments):
    """As a service of systemd has one."""
    import subprocess

    from helpers.command import command_environment

    handler = {"class": "logging.FileHandler", "filename": name}
    (tmp_path / "log.json").write_text(json.dumps({"handlers": {"x": handler}}))
    ours, its = socket.socketpair()
    with ours, its:
        result = subprocess.run(
            [sys.executable, "-m", "gunicorn", *arguments, "-b", "127.0.0.1:0", "app:app"],
            cwd=tmp_path,
            env=command_environment(tmp_path),
            stdout=its,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert result.returncode == 1
    assert "No such device or address" in result.stderr
    assert "It is a socket, as systemd and containers give one" in result.stderr
    assert "use '-' in its place" in result.stderr
    assert "Traceback" not in result.stderr


def test_setup_again(logger, tmp_path):
    log = logger(accesslog=str(tmp_path / "a.log"))
    cfg = Config()
    cfg.set("errorlog", str(tmp_path / "other.log"))
    cfg.set("loglevel", "debug")
    log.setup(cfg)
    assert len(log.error_log.handlers) == 1
    assert log.access_log.handlers == []
    assert not log.access_log_enabled
    log.debug("seen")
    assert "seen" in (tmp_path / "other.log").read_text()


def test_handlers_of_others_stay(logger, tmp_path):
    mine = logging.NullHandler()
    logging.getLogger("gunicorn.error").addHandler(mine)
    log = logger()
    log.setup(log.cfg)
    assert mine in log.error_log.handlers
    assert len(log.error_log.handlers) == 2


def test_reopen_files(logger, tmp_path):
    access = tmp_path / "access.log"
    other = logging.FileHandler(tmp_path / "other.log")
    logging.root.addHandler(other)
    log = logger(accesslog=str(access), access_log_format="%(h)s")
    log.access(Response, Request, ENVIRON, DURATION)
    for name in ("access.log", "error.log", "other.log"):
        (tmp_path / name).rename(tmp_path / f"{name}.1")
    log.reopen_files()
    log.access(Response, Request, ENVIRON, DURATION)
    log.error("after")
    logging.getLogger("app").error("after")
    assert access.read_text() == (tmp_path / "access.log.1").read_text() == "192.0.2.1\n"
    assert "after" in (tmp_path / "error.log").read_text()
    assert "after" in (tmp_path / "other.log").read_text()
    other.close()


def test_close_on_exec(logger, tmp_path):
    log = logger(accesslog=str(tmp_path / "access.log"))
    fd = log.access_fd()
    os.set_inheritable(fd, True)
    log.close_on_exec()
    assert not os.get_inheritable(fd)


def test_files_belong_to_the_workers_user(logger, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may give files away")
    logger(user=65534, group=65534, accesslog=str(tmp_path / "access.log"))
    for name in ("access.log", "error.log"):
        stat = (tmp_path / name).stat()
        assert (stat.st_uid, stat.st_gid) == (65534, 65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_files_that_are_opened_anew_belong_to_the_workers_user(logger, tmp_path):
    names = ("access.log", "error.log", "other.log")
    other = logging.FileHandler(tmp_path / "other.log")
    logging.root.addHandler(other)
    log = logger(user=65534, group=65534, accesslog=str(tmp_path / "access.log"))
    for name in names:
        (tmp_path / name).rename(tmp_path / f"{name}.1")
    (tmp_path / "error.log").touch()  # `create` of logrotate
    log.reopen_files()
    for name in names:
        stat = (tmp_path / name).stat()
        assert (stat.st_uid, stat.st_gid) == (65534, 65534)
    other.close()


def plant_link(path, secret):
    path.symlink_to(secret)
    os.lchown(path, 65534, 65534)


def plant_hard_link(path, secret):
    path.hardlink_to(secret)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("plant", [plant_link, plant_hard_link])
def test_a_file_behind_a_planted_link_is_not_given_away(logger, tmp_path, plant):
    """By a worker that was taken over and may write to the directory of the logs."""
    secret, access = tmp_path / "secret", tmp_path / "access.log"
    secret.touch()
    plant(access, secret)
    log = logger(user=65534, group=65534, accesslog=str(access))
    log.reopen_files()
    assert secret.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_log_that_is_no_new_file_stays_whose_it_is(logger, tmp_path):
    log = logger(user=65534, group=65534, accesslog=str(tmp_path / "access.log"))
    (tmp_path / "access.log").unlink()
    (tmp_path / "access.log").write_text("of somebody else\n")
    log.reopen_files()
    assert (tmp_path / "access.log").stat().st_uid == 0


def test_capture_output(tmp_path):
    import subprocess

    code = (
        "import os, sys\n"
        "from gunicorn.config import Config\n"
        "from gunicorn.glogging import Logger\n"
        "cfg = Config()\n"
        "cfg.set('errorlog', 'e.log'); cfg.set('capture_output', True)\n"
        "print('before', flush=True)\n"
        "log = Logger(cfg)\n"
        "print('printed', flush=True); os.write(2, b'raw\\n'); log.info('logged')\n"
        "os.rename('e.log', 'e.log.1'); log.reopen_files()\n"
        "print('again', flush=True); log.info('logged')\n"
    )
    from helpers.command import command_environment

    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=command_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.stdout, result.stderr) == ("before\n", "")
    first, second = ((tmp_path / name).read_text() for name in ("e.log.1", "e.log"))
    assert re.search(r"printed\nraw\n.*logged\n", first)
    assert re.search(r"again\n.*logged\n", second)


# ---- logging configuration ----

HANDLERS = {
    "version": 1,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": "", "formatter": "mine"}},
    "formatters": {"mine": {"format": "MINE %(message)s"}},
    "root": {"level": "WARNING", "handlers": ["file"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["file"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["file"], "propagate": False},
    },
}


def with_file(path):
    handlers = {"file": {**HANDLERS["handlers"]["file"], "filename": str(path)}}
    return {**HANDLERS, "handlers": handlers}


def test_logconfig_dict_goes_first(logger, tmp_path):
    (tmp_path / "x.json").write_text("{}")
    path = tmp_path / "mine.log"
    log = logger(
        logconfig_dict=with_file(path), logconfig_json=str(tmp_path / "x.json"), logconfig="no.ini"
    )
    log.info("hello")
    log.cfg.set("access_log_format", "%(h)s %(s)s")
    log.access(Response, Request, ENVIRON, DURATION)
    logging.getLogger("some.app").warning("from the application")
    assert path.read_text() == "MINE hello\nMINE 192.0.2.1 200\nMINE from the application\n"


def test_logconfig_json(logger, tmp_path):
    config, path = tmp_path / "x.json", tmp_path / "mine.log"
    config.write_text(json.dumps(with_file(path)))
    logger(logconfig_json=str(config)).info("hello")
    assert path.read_text() == "MINE hello\n"


def test_logconfig_ini(logger, tmp_path):
    (tmp_path / "log.ini").write_text(
        "[loggers]\nkeys=root,error,access\n"
        "[handlers]\nkeys=file\n"
        "[formatters]\nkeys=mine\n"
        "[logger_root]\nlevel=INFO\nhandlers=file\n"
        "[logger_error]\nlevel=INFO\nhandlers=file\npropagate=0\nqualname=gunicorn.error\n"
        "[logger_access]\nlevel=INFO\nhandlers=file\npropagate=0\nqualname=gunicorn.access\n"
        "[handler_file]\nclass=logging.FileHandler\nformatter=mine\nargs=('%(here)s/ini.log',)\n"
        "[formatter_mine]\nformat=INI %(message)s\n"
    )
    logger(logconfig=str(tmp_path / "log.ini")).info("hello")
    assert (tmp_path / "ini.log").read_text() == "INI hello\n"


@pytest.mark.parametrize(
    "settings,said",
    [
        ({"logconfig": "nosuch.ini"}, "log config 'nosuch.ini' not found"),
        ({"logconfig_json": "nosuch.json"}, "log config 'nosuch.json' not found"),
        ({"logconfig_dict": {"handlers": {"x": {"class": "no.Such"}}}}, "logconfig_dict: .*'x'"),
        ({"syslog": True, "syslog_facility": "beer"}, "unknown facility name 'beer'"),
        ({"syslog": True, "syslog_addr": "host:514"}, "invalid syslog address 'host:514'"),
        ({"syslog": True, "syslog_addr": "udp://h:x"}, "'x' is not a valid port number"),
        ({"syslog": True, "syslog_addr": "tcp://127.0.0.1:1"}, "syslog at tcp://127.0.0.1:1: "),
    ],
)
def test_mistakes_are_told(logger, settings, said):
    with pytest.raises(RuntimeError, match=said):
        logger(**settings)


def test_json_that_is_none(logger, tmp_path):
    (tmp_path / "x.json").write_text("{]")
    with pytest.raises(RuntimeError, match="x.json': "):
        logger(logconfig_json=str(tmp_path / "x.json"))


# ---- syslog ----


@pytest.mark.parametrize(
    "address,parsed",
    [
        ("udp://localhost:514", (socket.SOCK_DGRAM, ("localhost", 514))),
        ("udp://HOST", (socket.SOCK_DGRAM, ("host", 514))),
        ("udp://", (socket.SOCK_DGRAM, ("localhost", 514))),
        ("tcp://[::1]:5140", (socket.SOCK_STREAM, ("::1", 5140))),
        ("unix:///dev/log", (None, "/dev/log")),
        ("unix:///dev/log#dgram", (socket.SOCK_DGRAM, "/dev/log")),
        ("unix:///dev/log#stream", (socket.SOCK_STREAM, "/dev/log")),
    ],
)
def test_syslog_addresses(address, parsed):
    assert glogging.parse_syslog_address(address) == parsed


@pytest.fixture(params=["udp", "tcp", "dgram", "stream"])
def syslogd(request, tmp_path):
    """(address, receive): a syslog daemon, and what it got."""
    unix = request.param in ("dgram", "stream")
    kind = socket.SOCK_DGRAM if request.param in ("udp", "dgram") else socket.SOCK_STREAM
    server = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, kind)
    path = str(tmp_path / "log")
    server.bind(path if unix else ("127.0.0.1", 0))
    server.settimeout(RECEIVE_TIMEOUT)
    if kind == socket.SOCK_STREAM:
        server.listen()
    peers = []

    def receive():
        if kind == socket.SOCK_STREAM and not peers:
            peers.append(server.accept()[0])
            peers[0].settimeout(RECEIVE_TIMEOUT)
        return (peers[0] if peers else server).recv(4096).rstrip(b"\0").decode()

    yield (
        f"unix://{path}#{request.param}"
        if unix
        else f"{request.param}://127.0.0.1:{server.getsockname()[1]}",
        receive,
    )
    for peer in (*peers, server):
        peer.close()


def test_syslog(logger, syslogd):
    address, receive = syslogd
    log = logger(
        syslog=True,
        syslog_addr=address,
        syslog_facility="local7",
        syslog_prefix="shop",
        access_log_format="%(h)s",
        disable_redirect_access_to_syslog=True,
    )
    log.error("trouble")
    facility, severity = 23, 3
    assert receive() == f"<{facility * 8 + severity}>gunicorn.shop.error: [{os.getpid()}] trouble"


class Syslogd:
    """A server on TCP that can be stopped, and started again at the same port."""

    def __init__(self):
        self.port = 0
        self.start()

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.listener.settimeout(RECEIVE_TIMEOUT)
        self.port = self.listener.getsockname()[1]
        self.peer = None

    def stop(self):
        self.listener.close()
        if self.peer is not None:
            self.stream.close()
            self.peer.close()

    def record(self):
        if self.peer is None:
            self.peer, _ = self.listener.accept()
            self.peer.settimeout(RECEIVE_TIMEOUT)
            self.stream = self.peer.makefile("rb")
        text = b""
        while not text.endswith(b"\0"):
            text += self.stream.read(1) or b"the end\0"
        return text.rstrip(b"\0").decode().rpartition("] ")[2]


@pytest.fixture
def tcp_syslogd(monkeypatch):
    """One that is tried at each record."""
    monkeypatch.setattr("gunicorn._syslog.PAUSE", 0.0)
    monkeypatch.setattr("gunicorn._syslog.SHARE", 0)
    one = Syslogd()
    yield one
    one.stop()


def test_a_syslog_server_that_restarts(logger, tmp_path, tcp_syslogd, capfd):
    log = logger(syslog=True, syslog_addr=f"tcp://127.0.0.1:{tcp_syslogd.port}")
    log.error("first")
    assert tcp_syslogd.record() == "first"
    tcp_syslogd.stop()
    tcp_syslogd.start()
    for text in ("second", "third"):
        log.error(text)
    said = f"syslog at tcp://127.0.0.1:{tcp_syslogd.port} is reached again, 0 records"
    assert [tcp_syslogd.record() for _ in range(3)][-2:] == ["second", "third"]
    assert (tmp_path / "error.log").read_text().count(said) == 1
    assert capfd.readouterr().err == ""


def test_a_syslog_server_that_is_away_for_a_while(logger, tmp_path, tcp_syslogd, capfd):
    log = logger(
        syslog=True, syslog_addr=f"tcp://127.0.0.1:{tcp_syslogd.port}", accesslog="/dev/null"
    )
    log.error("first")
    tcp_syslogd.record()
    tcp_syslogd.stop()
    for text in ("lost", "lost", "lost"):
        log.error(text)
        log.access_log.info(text)
    tcp_syslogd.start()
    log.error("last")
    while (record := tcp_syslogd.record()) != "last":
        assert "reached again, 6 records of this process were lost" in record
    told = (tmp_path / "error.log").read_text()
    assert told.count("cannot be reached: Connection refused. Records for it are lost") == 1
    assert capfd.readouterr().err == ""


def test_a_reload_while_the_syslog_server_is_away(logger, tcp_syslogd):
    log = logger(syslog=True, syslog_addr=f"tcp://127.0.0.1:{tcp_syslogd.port}")
    tcp_syslogd.stop()
    log.setup(log.cfg)
    tcp_syslogd.start()
    log.error("again")
    assert tcp_syslogd.record().startswith(("again", "syslog at"))


@pytest.mark.parametrize("name", ["missing", "missing#stream"])
def test_a_syslog_socket_that_is_missing_is_told_once(logger, tmp_path, name, capfd):
    log = logger(syslog=True, syslog_addr=f"unix://{tmp_path}/{name}", accesslog="/dev/null")
    for _ in range(10):
        log.error("to the file")
        log.access_log.info("to nowhere")
    told = (tmp_path / "error.log").read_text()
    assert told.count("cannot be reached: No such file or directory. Records for it") == 1
    assert told.count("to the file") == 10
    assert capfd.readouterr().err == ""


def test_a_record_that_is_too_long_for_a_datagram_is_cut(logger, tmp_path, capfd):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(RECEIVE_TIMEOUT)
        log = logger(syslog=True, syslog_addr=f"udp://127.0.0.1:{server.getsockname()[1]}")
        log.error("x" * 100_000)
        assert len(server.recv(100_000)) == 8192
    assert capfd.readouterr().err == ""


def test_syslog_of_requests(logger, tmp_path):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(RECEIVE_TIMEOUT)
        log = logger(
            syslog=True,
            syslog_addr=f"udp://127.0.0.1:{server.getsockname()[1]}",
            default_proc_name="shop:app",
            access_log_format="%(h)s",
        )
        log.access(Response, Request, ENVIRON, DURATION)
        text = server.recv(4096).rstrip(b"\0").decode()
        assert text == f"<14>gunicorn.shop.app.access: [{os.getpid()}] 192.0.2.1"


# ---- statsd ----


@pytest.fixture(params=["udp", "unix"])
def statsd(request, tmp_path, logger):
    """statsd(**settings): a Statsd logger, and a function for what it sent."""
    unix = request.param == "unix"
    server = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_DGRAM)
    path = str(tmp_path / "statsd")
    server.bind(path if unix else ("127.0.0.1", 0))
    server.settimeout(RECEIVE_TIMEOUT)
    address = f"unix://{path}" if unix else f"127.0.0.1:{server.getsockname()[1]}"

    def make(**settings):
        return logger(Statsd, statsd_host=address, **settings)

    make.receive = lambda: server.recv(4096).decode()
    yield make
    server.close()


def test_statsd_of_requests(statsd):
    log = statsd()
    log.access(Response, Request, ENVIRON, DURATION)
    assert statsd.receive() == "gunicorn.request.duration:2345.678|ms"
    assert statsd.receive() == "gunicorn.requests:1|c|@1.0"
    assert statsd.receive() == "gunicorn.request.status.200:1|c|@1.0"


def test_statsd_of_records(statsd, tmp_path):
    log = statsd(statsd_prefix="shop.", dogstatsd_tags="a:b,c")
    log.error("e")
    log.warning("w")
    log.critical("c")
    log.exception("x")
    for name in ("error", "warning", "critical", "exception"):
        assert statsd.receive() == f"shop.gunicorn.log.{name}:1|c|@1.0|#a:b,c"
    kinds = {"gauge": "3|g", "counter": "3|c|@1.0", "histogram": "3|h", "timer": "3|ms"}
    for kind, written in kinds.items():
        log.info("", extra={"metric": "my", "value": 3, "mtype": kind})
        assert statsd.receive() == f"shop.my:{written}|#a:b,c"
    log.debug("", extra={"metric": "my", "value": 3, "mtype": "nosuch"})
    log.info("no metric %s", 1, extra={"other": 1})
    log.decrement("my", 2)
    assert statsd.receive() == "shop.my:-2|c|@1.0|#a:b,c"
    text = (tmp_path / "error.log").read_text()
    assert text.count("\n") == 6, text  # the exception has a line of "NoneType: None"
    assert "no metric 1" in text


def test_statsd_prefix(statsd):
    for prefix in ("a", "a.", "a.."):
        statsd(statsd_prefix=prefix).gauge("x", 1)
        assert statsd.receive() == "a.x:1|g"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "unix:///nosuch/statsd"])
def test_dead_statsd_is_no_trouble(logger, tmp_path, address):
    log = logger(Statsd, statsd_host=address)
    for _ in range(3):
        log.access(Response, Request, ENVIRON, DURATION)
    log.error("said")
    assert (tmp_path / "error.log").read_text().count("\n") == 1


def test_statsd_that_comes_back(logger, tmp_path):
    path = str(tmp_path / "statsd")
    log = logger(Statsd, statsd_host=f"unix://{path}")
    log.gauge("x", 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        server.settimeout(RECEIVE_TIMEOUT)
        log._retry_at = 0.0
        log.gauge("x", 2)
        assert server.recv(100) == b"x:2|g"
    log.gauge("x", 3)
    assert log.sock is None
