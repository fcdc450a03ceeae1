"""What an authentication puts in the place of what the client sends is all that counts."""

from __future__ import annotations

import json

import pytest
from helpers.echoed import environ_of
from helpers.server import PACKAGED, Server, server_has
from helpers.tls import serve_tls

CLASS = """
from gunicorn.workers.{module} import {name}

class Certificate({name}):
    def handle_request(self, *args):
        req = args[0] if len(args) == 2 else args[1]
        headers = [(name, value) for name, value in req.headers if name != "X-USER"]
        if "/known" in req.path:
            headers.append(("X-USER", "from the certificate"))
        req.headers = headers
        return super().handle_request(*args)

worker_class = Certificate
"""
HOOK = """
worker_class = {kind!r}

def pre_request(worker, req):
    for pair in [pair for pair in req.headers if pair[0] == "X-USER"]:
        req.headers.remove(pair)
    if "/known" in req.path:
        req.headers.append(("X-USER", "from the certificate"))
"""
CLASSES = {
    "sync": ("sync", "SyncWorker"),
    "gthread": ("gthread", "ThreadWorker"),
    "gevent": ("ggevent", "GeventWorker"),
    "eventlet": ("geventlet", "EventletWorker"),
}

#: Ways to say X-User that others might take for it.
FORGED = (
    [("X-User", "root")],
    [("x-user", "root"), ("X-USER", "root")],
    [("X_User", "root")],
    [("X-User", "a"), ("Connection", "X-User")],
)


@pytest.fixture(params=["hook", "class"])
def by(request):
    return request.param


@pytest.fixture(params=CLASSES)
def server(request, by, tmp_path):
    kind = request.param
    if kind in PACKAGED and not server_has(kind):
        pytest.skip(f"{kind} is not installed")
    module, name = CLASSES[kind]
    text = HOOK.format(kind=kind) if by == "hook" else CLASS.format(module=module, name=name)
    text += "threads = 2\naccesslog = '-'\naccess_log_format = '%({x-user}i)s %({http_x_user}e)s'\n"
    (tmp_path / "gunicorn.conf.py").write_text(text)
    one = Server(["echo"], tmp_path).start()
    yield one
    problems = one.close()
    assert not problems, "\n".join(problems)


def user(response):
    environ = environ_of(response)
    return {name: value for name, value in environ.items() if "USER" in name.upper()}


def test_a_forged_user(server):
    """On one connection: what is left of a request is not there for the next one."""
    agent = {"HTTP_USER_AGENT": "a"}
    with server.connect() as connection:
        for forged in FORGED:
            for path, expected in (
                ("/unknown", {}),
                ("/known", {"HTTP_X_USER": "from the certificate"}),
            ):
                fields = [*forged, ("User-Agent", "a")]
                assert user(connection.request("GET", path, fields)) == expected | agent
    assert set(server.stdout.splitlines()) <= {"- -", "from the certificate from the certificate"}


def test_a_forged_user_in_a_chunked_upload(server):
    fields = [("X-User", "root"), ("Transfer-Encoding", "chunked"), ("Connection", "close")]
    response = server.request("POST", "/unknown", fields, b"5\r\nhello\r\n0\r\n\r\n")
    answer = json.loads(response.body)
    assert answer["body"] == "hello"
    assert answer["environ"]["CONTENT_LENGTH"] == ["str", "5"]
    assert not {"HTTP_X_USER", "HTTP_TRANSFER_ENCODING"} & set(answer["environ"])


# The recipe over TLS, from the class's own socket and from the hook's.

SYNC = """
from gunicorn.workers.sync import SyncWorker

class Worker(SyncWorker):
    def handle_request(self, listener, req, client, addr):
        name_by(req, client)
        super().handle_request(listener, req, client, addr)

worker_class = Worker
"""
GTHREAD = """
from gunicorn.workers.gthread import ThreadWorker

class Worker(ThreadWorker):
    def handle_request(self, req, conn):
        name_by(req, conn.sock)
        return super().handle_request(req, conn)

worker_class = Worker
threads = 2
"""
UNREADER = """
def pre_request(worker, req):
    name_by(req, req.unreader.sock)
"""
NAME_BY = """
def name_by(req, client):
    req.headers = [(name, value) for name, value in req.headers if name != "X-USER"]
    certificate = client.getpeercert()
    if certificate:
        subject = dict(pair for part in certificate["subject"] for pair in part)
        req.headers.append(("X-USER", subject["commonName"]))
"""


@pytest.mark.parametrize("text", [SYNC, GTHREAD, UNREADER], ids=["sync", "gthread", "hook"])
def test_the_user_of_the_certificate(text, authority, tmp_path):
    jane = authority.issue("jane@example.com", file="jane", subject="Jane")
    (tmp_path / "gunicorn.conf.py").write_text(NAME_BY + text)
    tls = [*authority.issue().args, "--cert-reqs", "1", "--ca-certs", str(authority.cafile)]
    server = Server([*tls, "echo"], tmp_path).start()
    for own, expected in ((jane, {"HTTP_X_USER": "Jane"}), (None, {})):
        serve_tls(server, authority.client(own), ends_ragged=True)
        for forged in FORGED:
            told = user(server.request("GET", "/", forged))
            assert {k: v for k, v in told.items() if not k.startswith("SSL_")} == expected
    problems = server.close()
    assert not problems, "\n".join(problems)
