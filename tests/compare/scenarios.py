"""What is done to a server, step by step; the comparison plays each with both servers.

A scenario is a function that takes a `Stage` and drives one server on it. It says nothing about
what should happen: the transcripts of the two are compared.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from helpers.server import SCRUBBED, free_port
from helpers.wire import wait_until

EXIT_TIMEOUT = 30.0

APP = """\
import os, time

open(f"loaded-{os.getpid()}", "w").close()

def app(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        open("begun", "w").close()
        time.sleep(float(environ["QUERY_STRING"]))
    if environ["PATH_INFO"] == "/exit":
        os._exit(int(environ["QUERY_STRING"]))
    if environ["PATH_INFO"] == "/raise":
        raise RuntimeError("on purpose")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

number = 42
nothing = None

def needs_one(argument):
    return app
"""


class Stage:
    """One server, its directory and its log."""

    def __init__(self, command: list[str], directory: Path):
        self.command = command
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen | None = None
        self.exit_code: int | None = None
        self.answers: list[str] = []
        self.app_file = directory / "app.py"
        self.app_file.write_text(APP)
        self.log_path = directory / "log"

    def start(
        self, *args: str, app: str | None = "app:app", env=None, bind=True, pass_fds=()
    ) -> Stage:
        environ = {k: v for k, v in os.environ.items() if k not in SCRUBBED}
        environ.pop("PYTHONPATH", None)
        environ |= {"PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        binding = ["-b", f"127.0.0.1:{self.port}"] if bind else []
        with self.log_path.open("ab") as log:
            named = [] if app is None else [app]
            self.process = subprocess.Popen(
                [*self.command, "--no-control-socket", *binding, *args, *named],
                cwd=self.directory, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=pass_fds,
            )  # fmt: skip
        return self

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def says(self, text: str, times: int = 1) -> Stage:
        """Wait until the log has `text` so often, or the server has ended."""
        wait_until(
            lambda: self.log.count(text) >= times or self.process.poll() is not None,
            f"{text!r} in\n{self.log}", timeout=EXIT_TIMEOUT,
        )  # fmt: skip
        return self

    def serves(self, workers: int = 1) -> Stage:
        """Wait until so many workers have loaded the application so far, and one answers."""
        self.says("Booting worker with pid", workers).loaded(workers)
        wait_until(lambda: self.get() == "200", f"an answer\n{self.log}", timeout=EXIT_TIMEOUT)
        return self

    def loaded(self, workers: int) -> Stage:
        """Wait until so many have loaded the application so far: they have their handlers."""
        wait_until(
            lambda: len(list(self.directory.glob("loaded-*"))) >= workers,
            f"{workers} have loaded it\n{self.log}", timeout=EXIT_TIMEOUT,
        )  # fmt: skip
        return self

    def get(self, path: str = "/", timeout: float = 20.0) -> str:
        """The status that GET `path` is answered with; "" for none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                data = client.recv(65536)
        except OSError:
            return ""
        return data[9:12].decode("latin-1")

    def ask(self, path: str) -> Stage:
        """Note how GET `path` is answered."""
        self.answers.append(f"{path} {self.get(path)}")
        return self

    def begin(self, path: str) -> socket.socket:
        """A request for /sleep, which goes on while other things happen."""
        client = socket.create_connection(("127.0.0.1", self.port), 20)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        wait_until((self.directory / "begun").exists, "it runs", timeout=EXIT_TIMEOUT)
        return client

    def end(self, client: socket.socket) -> Stage:
        """Note how that request was answered."""
        data = b""
        with client:
            try:
                while block := client.recv(65536):
                    data += block
            except OSError:
                pass
        self.answers.append(data[9:12].decode("latin-1"))
        return self

    def kill(self, signo: signal.Signals, pid: int | None = None) -> Stage:
        os.kill(pid or self.process.pid, signo)
        return self

    def workers(self) -> list[int]:
        """The pids of the workers, in the order of their age."""
        found = re.findall(r"Booting worker with pid: (\d+)", self.log)
        return [int(pid) for pid in found if Path(f"/proc/{pid}").exists()]

    def ends(self) -> Stage:
        self.exit_code = self.process.wait(EXIT_TIMEOUT)
        return self

    def clear(self) -> None:
        """End whatever is left."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(EXIT_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


SCENARIOS: dict[str, Callable[[Stage], object]] = {}


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


def _stopped_by(signo):
    def play(stage: Stage):
        # Those that are told to stop before they have handlers do not hear it, in gunicorn.
        (stage.directory / "gunicorn.conf.py").write_text(
            "def post_worker_init(worker):\n    worker.log.info('has handlers')\n"
        )
        stage.start("-w", "2").says("has handlers", 2).kill(signo).ends()

    return play


for _name in ("TERM", "INT", "QUIT"):
    SCENARIOS[f"stop_by_{_name}"] = _stopped_by(signal.Signals[f"SIG{_name}"])


def _fails(*args, **options):
    def play(stage: Stage):
        stage.start(*args, **options).ends()

    return play


for _name, _args, _options in [
    ("no_module", [], {"app": "nosuch:app"}),
    ("no_attribute", [], {"app": "app:nosuch"}),
    ("not_callable", [], {"app": "app:number"}),
    ("none", [], {"app": "app:nothing"}),
    ("bad_factory_call", [], {"app": "app:needs_one()"}),
    ("file_name", [], {"app": "app.py:app"}),
    ("no_application", [], {"app": None}),
    ("preload_no_module", ["--preload"], {"app": "nosuch:app"}),
    ("preload_no_attribute", ["--preload"], {"app": "app:nosuch"}),
    ("unknown_option", ["--nosuch"], {}),
    ("bad_number", ["--workers", "many"], {}),
    ("negative_number", ["--workers", "-1"], {}),
    ("no_config_file", ["-c", "nosuch.py"], {}),
    ("unknown_worker", ["-k", "nosuch"], {}),
    ("bad_port", ["-b", "127.0.0.1:http"], {"bind": False}),
    ("bad_address", ["-b", "192.0.2.1:0"], {"bind": False}),
    ("no_unix_directory", ["-b", "unix:nosuch/socket"], {"bind": False}),
    ("unknown_user", ["--user", "nosuchuser"], {}),
    ("bad_environment", ["-e", "A"], {}),
    ("no_chdir", ["--chdir", "nosuch"], {}),
    ("no_log_directory", ["--log-file", "nosuch/log"], {}),
    ("no_pid_directory", ["--pid", "nosuch/pid"], {}),
    ("no_log_config", ["--log-config", "nosuch.ini"], {}),
    ("check_config", ["--check-config"], {}),
    ("check_config_no_module", ["--check-config"], {"app": "nosuch:app"}),
    ("version", ["--version"], {}),
]:
    SCENARIOS[f"fails_{_name}"] = _fails(*_args, **_options)


@scenario
def syntax_error(stage: Stage):
    stage.app_file.write_text("def app(:\n")
    stage.start().ends()


@scenario
def error_while_imported(stage: Stage):
    stage.app_file.write_text("1 / 0\n")
    stage.start().ends()


@scenario
def exit_while_imported(stage: Stage):
    stage.app_file.write_text("import sys; sys.exit(7)\n")
    stage.start().says("Booting worker", 3).kill(signal.SIGTERM).ends()


@scenario
def broken_config_file(stage: Stage):
    (stage.directory / "gunicorn.conf.py").write_text("1 / 0\n")
    stage.start().ends()


@scenario
def bad_value_in_config_file(stage: Stage):
    (stage.directory / "gunicorn.conf.py").write_text("workers = 'many'\n")
    stage.start().ends()


@scenario
def hook_of_wrong_arity(stage: Stage):
    (stage.directory / "gunicorn.conf.py").write_text("def when_ready(): pass\n")
    stage.start().ends()


@scenario
def address_in_use(stage: Stage):
    with socket.socket() as other:
        other.bind(("127.0.0.1", stage.port))
        other.listen()
        stage.start().ends()


@scenario
def pidfile_of_a_living_process(stage: Stage):
    (stage.directory / "pid").write_text(f"{os.getpid()}\n")
    stage.start("--pid", "pid").ends()


@scenario
def pidfile_of_a_dead_process(stage: Stage):
    (stage.directory / "pid").write_text("999999999\n")
    stage.start("--pid", "pid").serves().kill(signal.SIGTERM).ends()
    stage.answers.append(f"pidfile left: {(stage.directory / 'pid').exists()}")


@scenario
def reload(stage: Stage):
    stage.start("-w", "2").serves(2).kill(signal.SIGHUP).says("Booting worker", 4)
    stage.says("Worker exiting", 2).ask("/").kill(signal.SIGTERM).ends()


@scenario
def more_and_fewer_workers(stage: Stage):
    stage.start().serves().kill(signal.SIGTTIN).serves(2)
    stage.kill(signal.SIGTTOU).says("Worker exiting").ask("/").kill(signal.SIGTERM).ends()


@scenario
def fewer_than_one_worker(stage: Stage):
    stage.start().serves().kill(signal.SIGTTOU).says("Handling signal: ttou").ask("/")
    stage.kill(signal.SIGTERM).ends()


@scenario
def logs_opened_anew(stage: Stage):
    stage.start("--log-file", "error.log").says("")
    wait_until(lambda: stage.get() == "200", "an answer", timeout=EXIT_TIMEOUT)
    (stage.directory / "error.log").rename(stage.directory / "error.log.1")
    stage.kill(signal.SIGUSR1)
    wait_until((stage.directory / "error.log").exists, "a new log", timeout=EXIT_TIMEOUT)
    stage.kill(signal.SIGTERM).ends()
    for name in ("error.log.1", "error.log"):
        stage.answers.append(f"== {name}")
        stage.answers += (stage.directory / name).read_text().splitlines()


@scenario
def winch_in_the_foreground(stage: Stage):
    stage.start().serves().kill(signal.SIGWINCH).says("winch").ask("/")
    stage.kill(signal.SIGTERM).ends()


@scenario
def worker_killed(stage: Stage):
    stage.start().serves()
    stage.kill(signal.SIGKILL, stage.workers()[0]).says("Booting worker", 2)
    stage.serves(2).kill(signal.SIGTERM).ends()


@scenario
def worker_terminated(stage: Stage):
    stage.start().serves()
    stage.kill(signal.SIGTERM, stage.workers()[0]).says("Booting worker", 2)
    stage.serves(2).kill(signal.SIGTERM).ends()


@scenario
def worker_exits(stage: Stage):
    stage.start().serves().ask("/exit?5").says("Booting worker", 2)
    stage.serves(2).kill(signal.SIGTERM).ends()


@scenario
def exception(stage: Stage):
    stage.start().serves().ask("/raise").kill(signal.SIGTERM).ends()


@scenario
def request_runs_at_term(stage: Stage):
    stage.start().serves()
    client = stage.begin("/sleep?1.5")
    stage.kill(signal.SIGTERM).end(client).ends()


@scenario
def request_outlasts_graceful_timeout(stage: Stage):
    stage.start("--graceful-timeout", "1").serves()
    client = stage.begin("/sleep?20")
    stage.kill(signal.SIGTERM).ends().end(client)


@scenario
def request_runs_at_int(stage: Stage):
    stage.start().serves()
    client = stage.begin("/sleep?20")
    stage.kill(signal.SIGINT).ends().end(client)


@scenario
def second_int_hurries(stage: Stage):
    stage.start().serves()
    client = stage.begin("/sleep?20")
    stage.kill(signal.SIGTERM).says("Handling signal: term")
    stage.kill(signal.SIGINT).ends().end(client)


@scenario
def worker_times_out(stage: Stage):
    stage.start("--timeout", "1").serves()
    client = stage.begin("/sleep?20")
    stage.says("Booting worker", 2).end(client).serves(2).kill(signal.SIGTERM).ends()


@scenario
def recycling(stage: Stage):
    stage.start("--max-requests", "3").serves()
    for _ in range(2):
        stage.ask("/")
    stage.says("Booting worker", 2).serves(2).kill(signal.SIGTERM).ends()


@scenario
def malformed_request(stage: Stage):
    stage.start().serves()
    with socket.create_connection(("127.0.0.1", stage.port), 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n")
        stage.answers.append(client.recv(65536)[9:12].decode())
    stage.kill(signal.SIGTERM).ends()
