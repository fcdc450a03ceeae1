"""Configurations as tutorials have them: each mechanic spelled out, logging, nginx in front."""

import re
import signal

import pytest
from helpers.nginx import NGINX, Nginx
from helpers.server import Server
from helpers.wire import Connection, wait_until

SPELLED_OUT = """
import multiprocessing

# Sockets
backlog = 2048

# Workers
workers = min(multiprocessing.cpu_count() * 2 + 1, 2)
worker_class = "sync"
worker_connections = 1000
timeout = 30
keepalive = 2
spew = False

# Mechanics
daemon = False
raw_env = ["DJANGO_SECRET_KEY=something", "SPAM=eggs"]
pidfile = "site.pid"
umask = 0
user = None
group = None
tmp_upload_dir = None

# Logs
errorlog = "-"
loglevel = "info"
accesslog = "-"
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'

# Naming
proc_name = None


def post_fork(server, worker):
    server.log.info("Worker spawned (pid: %s)", worker.pid)


def pre_fork(server, worker):
    pass


def pre_exec(server):
    server.log.info("Forked child, re-executing.")


def when_ready(server):
    server.log.info("Server is ready. Spawning workers")


def worker_int(worker):
    worker.log.info("worker received INT or QUIT signal")

    # the stacks of all threads
    import sys
    import threading
    import traceback

    names = {thread.ident: thread.name for thread in threading.enumerate()}
    code = []
    for ident, stack in sys._current_frames().items():
        code.append("\\n# Thread: %s(%d)" % (names.get(ident, ""), ident))
        for filename, line, name, text in traceback.extract_stack(stack):
            code.append('File: "%s", line %d, in %s' % (filename, line, name))
            if text:
                code.append("  %s" % (text.strip()))
    worker.log.debug("\\n".join(code))
    worker.log.info("%d threads", len(names))


def worker_abort(worker):
    worker.log.info("worker received SIGABRT signal")
"""

APP = """
import os

def app(environ, start_response):
    body = ("%s %s %s" % (os.environ.get("SPAM"), environ["wsgi.url_scheme"],
                          environ.get("HTTP_X_FORWARDED_FOR"))).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

LOGGING_INI = """
[loggers]
keys=root, gunicorn.error, gunicorn.access

[handlers]
keys=console, error_file, access_file

[formatters]
keys=generic, access

[logger_root]
level=INFO
handlers=console

[logger_gunicorn.error]
level=INFO
handlers=error_file,console
propagate=0
qualname=gunicorn.error

[logger_gunicorn.access]
level=INFO
handlers=access_file
propagate=0
qualname=gunicorn.access

[handler_console]
class=StreamHandler
formatter=generic
args=(sys.stderr, )

[handler_error_file]
class=logging.FileHandler
formatter=generic
args=('site-error.log',)

[handler_access_file]
class=logging.FileHandler
formatter=access
args=('site-access.log',)

[formatter_generic]
format=%(asctime)s [%(process)d] [%(levelname)s] %(message)s
datefmt=%Y-%m-%d %H:%M:%S
class=logging.Formatter

[formatter_access]
format=%(message)s
class=logging.Formatter
"""


@pytest.fixture
def site(tmp_path):
    """site(*args, ...): a server of an application in tmp_path, checked when it is stopped."""
    (tmp_path / "site_app.py").write_text(APP)
    servers = []

    def start(*args, workers=1, **options):
        servers.append(Server([*args, "site_app:app"], tmp_path, **options))
        return servers[-1].start(workers)

    yield start
    problems = [problem for server in servers for problem in server.close()]
    assert not problems, "\n".join(problems)


def test_every_mechanic_spelled_out(site, tmp_path):
    (tmp_path / "gunicorn.conf.py").write_text(SPELLED_OUT)
    server = site(workers=2)
    assert (tmp_path / "site.pid").read_text() == f"{server.pid}\n"
    assert server.request().body == b"eggs http None"
    server.wait_for_log(r"Server is ready\. Spawning workers")
    server.wait_for_log(r"Worker spawned \(pid: \d+\).*Worker spawned \(pid: \d+\)")
    wait_until(lambda: '"GET / HTTP/1.1" 200 14' in server.stdout, "the access log")
    assert server.stop(signal.SIGINT) == 0
    assert server.log.count("worker received INT or QUIT signal") == 2
    assert re.search(r"\d+ threads", server.log)
    assert not (tmp_path / "site.pid").exists()


def test_named_by_a_supervisor(site, tmp_path):
    """supervisord runs `gunicorn -c FILE` with the log on standard error, and stops by TERM."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "site.conf.py").write_text(SPELLED_OUT.replace("= min(", "= 1 or min("))
    server = site("-c", str(tmp_path / "etc" / "site.conf.py"), "--capture-output")
    assert server.request().status == 200
    assert server.stop(signal.SIGTERM) == 0


def test_logging_ini(site, tmp_path):
    (tmp_path / "logging.ini").write_text(LOGGING_INI)
    server = site("--log-config", "logging.ini", "--access-logformat", "%(m)s %(U)s %(s)s")
    server.request(target="/a")
    access, error = tmp_path / "site-access.log", tmp_path / "site-error.log"
    wait_until(lambda: access.read_text() == "GET /a 200\n", "the line in the file")
    assert re.search(r"\[INFO\] Booting worker with pid", error.read_text())
    access.rename(tmp_path / "site-access.log.1")
    server.kill(signal.SIGUSR1)
    wait_until(access.exists, "a new file after SIGUSR1")


# nginx in front

FORWARDED = """
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header Host $http_host;
      proxy_redirect off;
"""
KEPT_ALIVE = 'proxy_http_version 1.1; proxy_set_header Connection "";'


@pytest.mark.skipif(not NGINX, reason="nginx is not installed")
@pytest.mark.parametrize("connections", ["", KEPT_ALIVE], ids=["closed", "kept-alive"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_behind_nginx(site, tmp_path, kind, connections):
    if kind == "unix":
        server = site(bind=[f"unix:{tmp_path}/site.sock"])
        upstream = f"unix:{tmp_path}/site.sock"
    else:
        server = site()
        upstream = f"127.0.0.1:{server.address[1]}"
    with Nginx(tmp_path) as nginx:
        address = nginx.start("proxy", upstream, "on", FORWARDED + connections)
        with Connection(address) as client:
            for _ in range(20):
                response = client.request()
                assert (response.status, response.body) == (200, b"None https 127.0.0.1")
        server.kill(signal.SIGHUP)
        for _ in range(20):
            with Connection(address) as client:
                assert client.request().status == 200
