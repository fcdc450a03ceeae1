"""A request that a hook or a worker's class has changed, beside gunicorn: environ, answer and log.

`make compare` runs this. `changing.py` has the changes; both servers run the same file.
"""

from __future__ import annotations

import json

import pytest
from compare.changing import CHANGES, LATE, PASSED
from helpers.original import original_gunicorn, skip_without
from helpers.server import Server, gunicorn_command
from helpers.wire import Connection, wait_until

KINDS = ("sync", "gthread", "gevent")

CONFIG = """\
from compare.changing import own_class, post_request, pre_request
worker_class = own_class({kind!r})
threads = 2
accesslog = "access.log"
access_log_format = (
    "%({{x-case}}i)s|%(h)s|%(u)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(f)s|%(a)s|%({{x-user}}i)s"
    "|%({{x-added}}i)s|%({{http_x_added}}e)s|%({{wsgi.url_scheme}}e)s|%({{remote_addr}}e)s"
)
"""

REQUEST = (
    "POST /app/a%20b?q=1#f HTTP/1.1\r\nHost: h.example:8080\r\nX-User: client\r\nX-Case: {case}\r\n"
    "X-By: {by}\r\nCookie: a=b\r\nReferer: r\r\nUser-Agent: t\r\nContent-Length: 5\r\n\r\nhello"
)

#: What differs between any two servers.
VOLATILE = ("REMOTE_PORT", "SERVER_SOFTWARE", "wsgi.multiprocess", "wsgi.multithread")


#: gunicorn has used the headers up before it writes the line.
USED_UP = ("iterator",)


class Pair:
    """The original and ours, with the same configuration, on a port and on a Unix socket each."""

    def __init__(self, kind, directory):
        self.servers = []
        for name, command in (("theirs", original_gunicorn()), ("ours", gunicorn_command())):
            home = directory / name
            home.mkdir()
            (home / "gunicorn.conf.py").write_text(CONFIG.format(kind=kind))
            bind = ("127.0.0.1:0", f"unix:{home}/s")
            one = Server(["compare.changing:app"], home, command=command, bind=bind,
                         expect_trouble=True)  # fmt: skip
            self.servers.append(one.start())

    def close(self):
        return [problem for one in self.servers for problem in one.close()]


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    skip_without(request.param)
    one = Pair(request.param, tmp_path_factory.mktemp("pair"))
    one.kind = request.param
    yield one
    problems = one.close()
    assert not problems, "\n".join(problems)


def told(server, address, case, by, closes):
    """What one server makes of the request: status, fields of its answer, environ, line."""
    log = server.cwd / "access.log"
    before = len(log.read_text()) if log.exists() else 0
    with Connection(address) as connection:
        connection.send(REQUEST.format(case=case, by=by).encode())
        answer = connection.read_response("POST")
    head = [f"HTTP/{answer.version} {answer.status}"]
    head += [answer.header("Transfer-Encoding")]
    head += [answer.header("Connection")] if closes else []
    if answer.status != 200:
        return head, None, None
    environ = {k: v for k, v in json.loads(answer.body).items() if k not in VOLATILE}
    home = str(server.cwd)
    for name, value in environ.items():
        if isinstance(value, str) and not isinstance(address, str):
            environ[name] = value.replace(str(address[1]), "PORT")
        if isinstance(value, str):
            environ[name] = environ[name].replace(home, "HOME")
    line = wait_until(lambda: log.read_text()[before:], "its line")
    return head, environ, None if case in USED_UP else line


def compare(pair, case, by):
    for listener in (0, 1):
        # gunicorn's sync worker keeps no connection, whatever is asked for.
        theirs, ours = (
            told(one, one.addresses[listener], case, by, pair.kind != "sync")
            for one in pair.servers
        )
        assert ours == theirs


@pytest.mark.parametrize("by", ["hook", "class"])
@pytest.mark.parametrize("case", CHANGES)
def test_changed(pair, case, by):
    compare(pair, case, by)


@pytest.mark.parametrize("case", [*PASSED, *LATE])
def test_passed(pair, case):
    compare(pair, case, "class")


def in_order(server, case):
    """What was called in a request, in this order. Its status first."""
    address = server.addresses[0]
    with Connection(address) as connection:
        connection.request("GET", "/order")
    with Connection(address) as connection:
        connection.send(REQUEST.format(case=case, by="class").encode())
        status = connection.read_response("POST").status
    with Connection(address) as connection:
        return status, json.loads(connection.request("GET", "/order").body)


def test_order(pair):
    """The override goes on when the request is logged and its hook has run."""
    theirs, ours = (in_order(one, "nothing") for one in pair.servers)
    assert ours == theirs


def test_hook_without_environ(pair):
    """A request of which no environ can be made."""
    theirs, ours = (in_order(one, "no-fields") for one in pair.servers)
    assert ours[0] == theirs[0] == 500
    assert sorted(ours[1]) == sorted(theirs[1])
