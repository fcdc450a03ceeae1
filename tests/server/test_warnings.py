"""With -X dev and warnings as errors, nothing of ours warns from start to end."""

import re
import signal

import pytest
from helpers.tls import Authority, serve_tls
from helpers.wire import wait_until

SETTINGS = """
accesslog = "access.log"
errorlog = "-"
pidfile = "pid"
statsd_host = "127.0.0.1:1"
syslog = True
syslog_addr = "udp://127.0.0.1:1"
max_requests = 1000000
max_requests_jitter = 10
raw_env = ["A=b"]
threads = 2


def post_request(worker, req, environ, resp):
    worker.log.info("%s %s", req.path, resp.status)
"""

#: What workers need besides Python; their own warnings are theirs.
OF_OTHERS = ("gevent", "eventlet", "tornado")


def exercise(server, tmp_path):
    """A bit of everything, twice with a reload in between."""
    (tmp_path / "file").write_bytes(b"x" * 100000)
    for turn in (1, 2):
        assert server.request(target="/ok").status == 200
        assert server.request("POST", "/ok", body=b"x" * 100000).status == 200
        assert server.request(target="/chunked").status == 201
        response = server.request(target="/sent_file", headers=[("X-File", str(tmp_path / "file"))])
        assert len(response.body) == 100000
        with server.connect() as connection:
            connection.send(b"nonsense\r\n\r\n")
            connection.read_response()
        server.kill(signal.SIGUSR1)
        server.kill(signal.SIGHUP)
        wait_until(lambda n=turn: server.log.count("Booting worker") == 1 + n, "a new worker")
        wait_until(lambda n=turn: server.log.count("Worker exiting") == n, "the old one is gone")
    assert server.stop() == 0


def warnings_of(server) -> list[str]:
    """The warnings in the log, and what the interpreter says of objects at its end."""
    lines = (server.log + server.stdout).splitlines()
    return [line for line in lines if re.search(r"\w*Warning: |Exception ignored", line)]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_nothing_warns(gunicorn, worker, tmp_path, tls):
    (tmp_path / "gunicorn.conf.py").write_text(SETTINGS)
    strict = worker not in OF_OTHERS
    env = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error" if strict else "always"}
    authority = Authority(tmp_path)
    flags = authority.issue().args if tls else []
    server = gunicorn("logged", *flags, cwd=tmp_path, env=env)
    if tls:
        serve_tls(server, authority.client())
    exercise(server, tmp_path)
    said = warnings_of(server)
    if not strict:
        said = [line for line in said if "/gunicorn/" in line and "EventletDep" not in line]
    assert not said, "\n".join(said)
