"""What users configure: the command lines and files found in images, units and tutorials."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
from pathlib import Path

from compare.scenarios import EXIT_TIMEOUT, Stage, scenario
from helpers.wire import wait_until

ENVIRON_APP = """\
import os, sys

def app(environ, start_response):
    print("on stdout", flush=True)
    print("on stderr", file=sys.stderr, flush=True)
    told = [environ["wsgi.url_scheme"], str(os.path.exists("here")), os.environ.get("NAME", "")]
    body = " ".join(told).encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Told", " ".join(told))])
    return [body]
"""

HOOKS = """\
def name(value):
    return type(value).__name__

def on_starting(server):
    server.log.info("on_starting %s %s", name(server), server.address[0][0])

def on_reload(server):
    server.log.info("on_reload %s %s", name(server), server.cfg.workers)

def when_ready(server):
    server.log.info("when_ready %s %s", name(server), len(server.LISTENERS))

def pre_fork(server, worker):
    server.log.info("pre_fork %s %s %s %s", name(server), name(worker), worker.age, worker.pid)

def post_fork(server, worker):
    server.log.info("post_fork %s %s", worker.age, worker.pid > 0)

def post_worker_init(worker):
    worker.log.info("post_worker_init %s %s", worker.age, callable(worker.wsgi))

def worker_int(worker):
    worker.log.info("worker_int %s", worker.age)

def worker_abort(worker):
    worker.log.info("worker_abort %s", worker.age)

def pre_exec(server):
    server.log.info("pre_exec %s", name(server))

def pre_request(worker, req):
    worker.log.info("pre_request %s %s %s %s", req.method, req.path, req.query, req.version)

def post_request(worker, req, environ, resp):
    worker.log.info("post_request %s %s %s", req.path, environ["PATH_INFO"], resp.status)

def child_exit(server, worker):
    server.log.info("child_exit %s", worker.age)

def worker_exit(server, worker):
    server.log.info("worker_exit %s %s", name(server), worker.age)

def nworkers_changed(server, new, old):
    server.log.info("nworkers_changed %s %s", new, old)

def on_exit(server):
    server.log.info("on_exit %s", name(server))
"""


#: Runs a command with a descriptor of ours as its first from systemd.
ACTIVATE = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


def config(stage: Stage, text: str) -> None:
    (stage.directory / "gunicorn.conf.py").write_text(text)


def environ_app(stage: Stage) -> None:
    stage.app_file.write_text(ENVIRON_APP)


def logs(stage: Stage, text: str, times: int = 1) -> Stage:
    """Wait until the log has `text` so often, though the process that was started has ended."""
    wait_until(
        lambda: stage.log.count(text) >= times, f"{text!r} in\n{stage.log}", timeout=EXIT_TIMEOUT
    )
    return stage


def told(stage: Stage, fields: str = "", address=None) -> Stage:
    """Note what the application tells of itself; `fields` are of the request."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(20)
        client.connect(address or ("127.0.0.1", stage.port))
        client.sendall(f"GET /?q=1 HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data and (block := client.recv(65536)):
            data += block
    head = data.partition(b"\r\n\r\n")[0].decode()
    stage.answers.append(" ".join([head[9:12], *(x for x in head.split("\r\n") if "X-Told" in x)]))
    return stage


def lines(stage: Stage, *names: str) -> None:
    """Note what stands in files."""
    for name in names:
        path = stage.directory / name
        stage.answers.append(f"== {name} {path.exists()}")
        written = path.read_text().splitlines() if path.exists() else []
        stage.answers += sorted(written, key=lambda line: line.rpartition("] ")[2])


def serving(stage: Stage, text: str = "Booting worker with pid", times: int = 1) -> Stage:
    """The server logs `text` and answers."""
    stage.says(text, times)
    wait_until(lambda: stage.get() == "200", f"an answer\n{stage.log}", timeout=EXIT_TIMEOUT)
    return stage


# As in images and on platforms


@scenario
def image_command(stage: Stage):
    environ_app(stage)
    stage.start(
        "-k", "gthread", "--threads", "4", "--worker-tmp-dir", "/dev/shm",
        "-b", f"0.0.0.0:{stage.port}", "--access-logfile", "-", "--forwarded-allow-ips=*",
        bind=False,
    )  # fmt: skip
    stage.says("Booting worker")
    told(wait_for_port(stage), "X-Forwarded-Proto: https\r\n")
    stage.says("GET /?q=1").kill(signal.SIGTERM).ends()


def wait_for_port(stage: Stage) -> Stage:
    def is_open():
        try:
            socket.create_connection(("127.0.0.1", stage.port), 5).close()
        except OSError:
            return False
        return True

    wait_until(is_open, f"it listens\n{stage.log}", timeout=EXIT_TIMEOUT)
    return stage


@scenario
def platform_environment(stage: Stage):
    environ_app(stage)
    env = {"PORT": str(stage.port), "WEB_CONCURRENCY": "2", "FORWARDED_ALLOW_IPS": "*",
           "GUNICORN_CMD_ARGS": "--access-logfile=- --env NAME=given"}  # fmt: skip
    stage.start(bind=False, env=env).says("Booting worker", 2)
    told(wait_for_port(stage), "X-Forwarded-Proto: https\r\n")
    stage.says("GET /?q=1").kill(signal.SIGTERM).ends()


@scenario
def threads_alone(stage: Stage):
    serving(stage.start("--threads", "2")).kill(signal.SIGTERM).ends()


@scenario
def access_log_format(stage: Stage):
    text = "%(m)s %(U)s %(q)s %(H)s %(s)s %(b)s %(f)s %(a)s %({x-a}i)s %({x-told}o)s %({x}e)s %(l)s"
    environ_app(stage)
    stage.start("--access-logfile", "-", "--access-logformat", text)
    told(wait_for_port(stage.says("Booting worker")), "X-A: b\r\nUser-Agent: c\r\nReferer: d\r\n")
    stage.says("GET /").kill(signal.SIGTERM).ends()


# Hooks


@scenario
def hooks_of_a_life(stage: Stage):
    config(stage, HOOKS)
    stage.start("-w", "2").says("post_worker_init", 2).ask("/?a=b").says("post_request")
    stage.kill(signal.SIGTERM).ends()


@scenario
def hooks_of_a_quick_stop(stage: Stage):
    config(stage, HOOKS)
    stage.start().says("post_worker_init").kill(signal.SIGINT).ends()


@scenario
def hooks_of_more_and_fewer(stage: Stage):
    config(stage, HOOKS)
    stage.start().says("post_worker_init").kill(signal.SIGTTIN).says("post_worker_init", 2)
    stage.kill(signal.SIGTTOU).says("child_exit").kill(signal.SIGTERM).ends()


@scenario
def hooks_of_a_reload(stage: Stage):
    config(stage, HOOKS)
    stage.start().says("post_worker_init").kill(signal.SIGHUP).says("post_worker_init", 2)
    stage.says("child_exit").kill(signal.SIGTERM).ends()


@scenario
def hooks_of_a_timeout(stage: Stage):
    config(stage, HOOKS)
    stage.start("--timeout", "1").says("post_worker_init")
    client = stage.begin("/sleep?20")
    stage.says("post_worker_init", 2).end(client).kill(signal.SIGTERM).ends()


@scenario
def hook_that_raises(stage: Stage):
    config(stage, "def when_ready(server):\n    raise ValueError('on purpose')\n")
    stage.start().ends()


@scenario
def hook_in_a_worker_that_raises(stage: Stage):
    config(stage, "def post_worker_init(worker):\n    raise ValueError('on purpose')\n")
    stage.start().ends()


@scenario
def request_hooks_that_raise(stage: Stage):
    config(stage, "def pre_request(worker, req):\n    raise ValueError('before')\n"
                  "def post_request(worker, req):\n    raise ValueError('after')\n")  # fmt: skip
    stage.start().says("Booting worker")
    wait_for_port(stage).ask("/").says("after").kill(signal.SIGTERM).ends()


# Logs

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"short": {"format": "%(name)s %(levelname)s %(message)s"}},
    "handlers": {
        "out": {
            "class": "logging.StreamHandler",
            "formatter": "short",
            "stream": "ext://sys.stdout",
        }
    },
    "root": {"level": "INFO", "handlers": ["out"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["out"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["out"], "propagate": False},
    },
}

LOGGING_INI = """\
[loggers]
keys=root, gunicorn.error, gunicorn.access
[handlers]
keys=out
[formatters]
keys=short
[logger_root]
level=INFO
handlers=out
[logger_gunicorn.error]
level=INFO
handlers=out
propagate=0
qualname=gunicorn.error
[logger_gunicorn.access]
level=INFO
handlers=out
propagate=0
qualname=gunicorn.access
[handler_out]
class=StreamHandler
formatter=short
args=(sys.stdout, )
[formatter_short]
format=%(name)s %(levelname)s %(message)s
"""


@scenario
def logging_by_dictionary(stage: Stage):
    config(stage, f"logconfig_dict = {LOGGING!r}\naccesslog = '-'\n")
    serving(stage.start()).ask("/x").says("GET /x").kill(signal.SIGTERM).ends()


@scenario
def logging_by_file(stage: Stage):
    (stage.directory / "logging.ini").write_text(LOGGING_INI)
    serving(stage.start("--log-config", "logging.ini", "--access-logfile", "-"))
    stage.ask("/x").says("GET /x").kill(signal.SIGTERM).ends()


@scenario
def logging_by_broken_dictionary(stage: Stage):
    config(stage, "logconfig_dict = {'version': 1, 'root': {'handlers': ['nosuch']}}\n")
    stage.start().ends()


@scenario
def captured_output(stage: Stage):
    environ_app(stage)
    stage.start(
        "--capture-output", "--error-logfile", "error.log", "--access-logfile", "access.log"
    )
    told(wait_for_port(stage)).kill(signal.SIGTERM).ends()
    lines(stage, "error.log", "access.log")


def all_have(stage: Stage, name: str) -> bool:
    """Whether the server and its workers have a file open."""
    path = str(stage.directory / name)
    master = stage.process.pid
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return all(
        path in [os.path.realpath(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
        for pid in (master, *workers)
    )


@scenario
def both_logs_opened_anew(stage: Stage):
    stage.start("--error-logfile", "error.log", "--access-logfile", "access.log")
    wait_for_port(stage).ask("/before")
    written = stage.directory / "access.log"
    wait_until(lambda: "/before" in written.read_text(), "its line", timeout=EXIT_TIMEOUT)
    for name in ("error.log", "access.log"):
        (stage.directory / name).rename(stage.directory / f"{name}.1")
    stage.kill(signal.SIGUSR1)
    wait_until((stage.directory / "access.log").exists, "a new log", timeout=EXIT_TIMEOUT)
    wait_until(lambda: all_have(stage, "access.log"), "the worker too", timeout=EXIT_TIMEOUT)
    stage.ask("/after").kill(signal.SIGTERM).ends()
    lines(stage, "error.log.1", "access.log.1", "error.log", "access.log")


@scenario
def log_level_debug(stage: Stage):
    stage.start("--log-level", "debug", "--check-config").ends()


@scenario
def metrics(stage: Stage):
    """What a statsd server is told of a start, a request, and a stop."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(0.5)
        stage.start("--statsd-host", f"127.0.0.1:{statsd.getsockname()[1]}",
                    "--statsd-prefix", "shop", "--dogstatsd-tags", "a:b")  # fmt: skip
        serving(stage).kill(signal.SIGTERM).ends()
        got = set()
        try:
            while True:
                metric = statsd.recv(65536).decode()
                kind = metric.partition(":")[2].partition("|")[2]
                got.add(f"{metric.partition(':')[0]} {kind}")
        except TimeoutError:
            pass
    stage.answers += sorted(got)


# Processes and signals


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def pid_in(stage: Stage, name: str = "pid") -> int:
    path = stage.directory / name
    wait_until(lambda: path.exists() and path.read_text().strip(), name, timeout=EXIT_TIMEOUT)
    return int(path.read_text())


@scenario
def daemon(stage: Stage):
    environ_app(stage)
    stage.start("--daemon", "--pid", "pid", "--error-logfile", "error.log").ends()
    master = pid_in(stage)
    told(wait_for_port(stage)).kill(signal.SIGTERM, master)
    wait_until(lambda: gone(master), "it ends", timeout=EXIT_TIMEOUT)
    lines(stage, "error.log", "pid")


@scenario
def daemon_without_workers(stage: Stage):
    stage.start("--daemon", "--pid", "pid", "--error-logfile", "log").ends()
    master = pid_in(stage)
    wait_for_port(logs(stage, "Booting worker"))
    logs(stage.kill(signal.SIGWINCH, master), "Worker exiting").kill(signal.SIGHUP, master)
    logs(stage, "Booting worker", 2).ask("/").kill(signal.SIGTERM, master)
    wait_until(lambda: gone(master), "it ends", timeout=EXIT_TIMEOUT)


@scenario
def upgrade(stage: Stage):
    config(stage, HOOKS)
    stage.start("--pid", "pid").says("post_worker_init").kill(signal.SIGUSR2)
    second = pid_in(stage, "pid.2")
    stage.says("post_worker_init", 2).kill(signal.SIGTERM).ends()
    wait_until(lambda: not (stage.directory / "pid.2").exists(), "promoted", timeout=EXIT_TIMEOUT)
    stage.answers.append(f"pid is the second's: {pid_in(stage) == second}")
    stage.ask("/").kill(signal.SIGTERM, second)
    wait_until(lambda: gone(second), "it ends", timeout=EXIT_TIMEOUT)
    stage.answers.append(f"pid left: {(stage.directory / 'pid').exists()}")


@scenario
def upgrade_taken_back(stage: Stage):
    stage.start("--pid", "pid").says("Booting worker")
    wait_for_port(stage).kill(signal.SIGUSR2)
    second = pid_in(stage, "pid.2")
    stage.loaded(2).kill(signal.SIGTERM, second)
    wait_until(lambda: gone(second), "it ends", timeout=EXIT_TIMEOUT)
    stage.ask("/").kill(signal.SIGTERM).ends()


@scenario
def second_upgrade_is_refused(stage: Stage):
    stage.start("--pid", "pid").says("Booting worker")
    wait_for_port(stage).kill(signal.SIGUSR2)
    second = pid_in(stage, "pid.2")
    stage.says("Booting worker", 2).kill(signal.SIGUSR2).says("USR2 signal ignored")
    stage.loaded(2).kill(signal.SIGTERM, second)
    wait_until(lambda: gone(second), "it ends", timeout=EXIT_TIMEOUT)
    stage.kill(signal.SIGTERM).ends()


@scenario
def socket_activation(stage: Stage):
    """As systemd does it: the socket is descriptor 3."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", stage.port))
        listener.listen()
        stage.command = [sys.executable, "-c", ACTIVATE, str(listener.fileno()), *stage.command]
        stage.start(env={"LISTEN_FDS": "1"}, bind=False, pass_fds=(listener.fileno(),))
    serving(stage).kill(signal.SIGTERM).ends()


@scenario
def recycling_with_jitter(stage: Stage):
    stage.start("--max-requests", "2", "--max-requests-jitter", "1")
    serving(stage)
    while stage.log.count("Booting worker") < 2:
        stage.get()
    stage.serves(2).kill(signal.SIGTERM).ends()


@scenario
def preloaded(stage: Stage):
    serving(stage.start("--preload", "-w", "2"), times=2).kill(signal.SIGHUP)
    stage.says("Booting worker", 4).says("Worker exiting", 2).kill(signal.SIGTERM).ends()


@scenario
def worker_aborted(stage: Stage):
    """Before its first request: who is answered cannot know that the worker is done with it."""
    config(stage, HOOKS)
    stage.start().says("post_worker_init").kill(signal.SIGABRT, stage.workers()[0])
    stage.says("post_worker_init", 2).kill(signal.SIGTERM).ends()


@scenario
def worker_aborted_in_a_request(stage: Stage):
    client = stage.start().serves().begin("/sleep?20")
    stage.kill(signal.SIGABRT, stage.workers()[0]).says("Booting worker", 2).end(client)
    stage.loaded(2).kill(signal.SIGTERM).ends()


# Addresses, files and paths


@scenario
def unix_socket_with_umask(stage: Stage):
    environ_app(stage)
    stage.start("-b", "unix:socket", "--umask", "007", "--pid", "pid", bind=False)
    path = stage.directory / "socket"
    stage.says("Booting worker")
    told(stage, address=str(path))
    for name in ("socket", "pid"):
        stage.answers.append(f"{name} {stat.filemode((stage.directory / name).stat().st_mode)}")
    stage.kill(signal.SIGTERM).ends()
    stage.answers.append(f"socket left: {path.exists()}")


@scenario
def unix_socket_in_the_way(stage: Stage):
    (stage.directory / "socket").write_text("a file")
    stage.start("-b", "unix:socket", bind=False).ends()


@scenario
def several_addresses(stage: Stage):
    stage.start("-b", "unix:socket", "-b", "[::1]:0", "-b", "localhost:0")
    serving(stage).kill(signal.SIGTERM).ends()


@scenario
def another_directory(stage: Stage):
    there = stage.directory / "there"
    there.mkdir()
    environ_app(stage)
    stage.app_file.rename(there / "app.py")
    (there / "here").touch()
    stage.start("--chdir", "there").says("Booting worker")
    told(wait_for_port(stage)).kill(signal.SIGTERM).ends()


@scenario
def another_path(stage: Stage):
    there = stage.directory / "there"
    there.mkdir()
    environ_app(stage)
    stage.app_file.rename(there / "app.py")
    stage.start("--pythonpath", str(there), "--env", "NAME=given").says("Booting worker")
    told(wait_for_port(stage)).kill(signal.SIGTERM).ends()


@scenario
def configuration_in_a_module(stage: Stage):
    text = f"workers = 2\nbind = ['127.0.0.1:{stage.port}']\n"
    (stage.directory / "settings.py").write_text(text)
    serving(stage.start("-c", "python:settings", bind=False), times=2).kill(signal.SIGTERM).ends()


@scenario
def configuration_without_suffix(stage: Stage):
    (stage.directory / "settings").write_text("proc_name = 'shop'\n")
    serving(stage.start("-c", "settings")).kill(signal.SIGTERM).ends()


@scenario
def application_in_the_configuration(stage: Stage):
    config(stage, "wsgi_app = 'app:app'\n")
    serving(stage.start(app=None)).kill(signal.SIGTERM).ends()


@scenario
def made_by_a_factory(stage: Stage):
    serving(stage.start(app="app:needs_one('x')")).kill(signal.SIGTERM).ends()


@scenario
def fails_unknown_group(stage: Stage):
    stage.start("--group", "nosuchgroup").ends()


@scenario
def fails_no_certificate(stage: Stage):
    stage.start("--certfile", "nosuch.pem", "--keyfile", "nosuch.key").ends()


@scenario
def fails_pidfile_is_a_directory(stage: Stage):
    (stage.directory / "pid").mkdir()
    stage.start("--pid", "pid").ends()


@scenario
def fails_empty_application(stage: Stage):
    stage.start(app="").ends()


@scenario
def fails_bad_application(stage: Stage):
    stage.start(app="app:app(").ends()


@scenario
def long_request_line(stage: Stage):
    stage.start("--limit-request-line", "50", "--access-logfile", "-")
    serving(stage).ask("/" + "x" * 100).kill(signal.SIGTERM).ends()
