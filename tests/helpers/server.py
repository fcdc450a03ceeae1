"""The server under test: started, watched and stopped, with its logs read at the end."""

from __future__ import annotations

import functools
import json
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from helpers.status_port import Port
from helpers.wire import (
    STEP,
    STEP_TIMEOUT,
    Address,
    Closed,
    Connection,
    Response,
    render,
    wait_until,
)

TESTS = Path(__file__).resolve().parent.parent
APPS = TESTS / "server" / "apps"

#: Whether a sanitizer watches: times and memory are not what they are otherwise.
SANITIZED = "san.so" in os.environ.get("LD_PRELOAD", "")

#: The environment of clients of others, which are not to be sanitized: curl hangs then.
UNWATCHED = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}

#: The same of ThreadSanitizer: it has a thread of its own, and a shell under it crashes.
THREAD_SANITIZED = "tsan.so" in os.environ.get("LD_PRELOAD", "")

START_TIMEOUT = 2 * STEP
STOP_TIMEOUT = STEP_TIMEOUT + 5.0

#: Settings of the caller's environment that would change what is tested.
SCRUBBED = (
    "FORWARDED_ALLOW_IPS",
    "GUNICORN_CMD_ARGS",
    "GUNICORN_FD",
    "GUNICORN_PID",
    "GUNICORN_STATUS_FD",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "PORT",
    "SCRIPT_NAME",
    "SENDFILE",
    "WEB_CONCURRENCY",
)

#: Never acceptable in a server's log, whatever a test provokes.
FATAL = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:"
    r"|Assertion .* failed|Fatal Python error|stack smashing|SystemError"
    r"|was sent SIG(?:SEGV|ABRT|BUS|ILL|FPE)"
)
#: Acceptable only where a test expects it.
TROUBLE = re.compile(r"Traceback \(most recent call last\)|\[(?:ERROR|CRITICAL)\]")

WORKER_ARGS = {
    "sync": ["-k", "sync"],
    "gthread": ["-k", "gthread", "--threads", "4"],
    "gevent": ["-k", "gevent"],
    "eventlet": ["-k", "eventlet"],
    "tornado": ["-k", "tornado"],
    "asgi": ["-k", "asgi"],
}

#: Worker classes that need a package of their name.
PACKAGED = ("gevent", "eventlet", "tornado")


def gunicorn_command() -> list[str]:
    """The command under test: $GUNICORN_COMMAND, else the one of this interpreter's environment."""
    given = os.environ.get("GUNICORN_COMMAND")
    if given:
        return shlex.split(given)
    beside = Path(sys.executable).with_name("gunicorn")
    if beside.exists():
        return [str(beside)]
    return [sys.executable, "-m", "gunicorn"]


@functools.cache
def is_reference(command: tuple[str, ...] | None = None) -> bool:
    """Whether the command is the original gunicorn, which has no extension module."""
    return not _answer(command, "import importlib.util as u; print(u.find_spec('gunicorn._core'))")


@functools.cache
def server_has(module: str, command: tuple[str, ...] | None = None) -> bool:
    """Whether the interpreter of the server under test, or of a command, can import a module."""
    return bool(_answer(command, f"import importlib.util as u; print(u.find_spec({module!r}))"))


def _answer(command: tuple[str, ...] | None, code: str) -> bool:
    out = subprocess.run(
        [*interpreter_of(list(command) if command else gunicorn_command()), "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd="/",
    )
    return out.stdout.strip() != "None"


def interpreter_of(command: Sequence[str]) -> list[str]:
    """The Python that a gunicorn command runs on."""
    if len(command) > 1:
        return [command[0]]
    path = Path(command[0])
    for name in ("python3", "python"):
        if path.with_name(name).exists():
            return [str(path.with_name(name))]
    return [sys.executable]


class Server:
    """One gunicorn master with its workers.

    args: the command line without the binding. bind: addresses in gunicorn's notation; by default a
    port of 127.0.0.1 that the system chooses. expect_trouble: whether errors and tracebacks in the
    log are what the test is about.
    """

    def __init__(
        self,
        args: Sequence[str],
        cwd: Path,
        *,
        bind: Sequence[str] = ("127.0.0.1:0",),
        env: dict[str, str] | None = None,
        expect_trouble: bool = False,
        command: Sequence[str] | None = None,
        pass_fds: Sequence[int] = (),
        preexec=None,
    ):
        self.cwd = Path(cwd)
        self.expect_trouble = expect_trouble
        self.command = list(command or gunicorn_command())
        for address in bind:
            self.command += ["-b", address]
        self.command += args
        environ = {k: v for k, v in os.environ.items() if k not in SCRUBBED}
        path = [str(self.cwd), str(APPS), str(TESTS)]
        environ |= {
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_RUNTIME_DIR": str(self.cwd),
            "HOME": str(self.cwd),
        }
        environ |= env or {}
        self.env = environ
        self.stderr_path = self.cwd / "stderr.log"
        self.stdout_path = self.cwd / "stdout.log"
        self.pass_fds = pass_fds
        self.preexec = preexec
        self.addresses: list[Address] = []
        self.process: subprocess.Popen | None = None
        self.exit_code: int | None = None

    # Life

    def start(self, workers: int = 1) -> Server:
        """Start and wait until it listens and so many workers are forked."""
        self.launch()
        wait_until(lambda: self.is_up(workers), "the server is up", START_TIMEOUT)
        return self

    def launch(self) -> None:
        """Start without waiting for anything."""
        with self.stderr_path.open("ab") as err, self.stdout_path.open("ab") as out:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=self.pass_fds,
                start_new_session=True,
                preexec_fn=self.preexec,
            )

    def is_up(self, workers: int) -> bool:
        """Whether it listens and so many workers are forked; it must not have ended."""
        assert self.process is not None
        log = self.log
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{log}")
        listening = re.search(r"Listening at: (\S*) \(\d+\)", log)
        if not listening or log.count("Booting worker with pid") < workers:
            return False
        self.addresses = [parse_address(text) for text in listening[1].split(",") if text]
        return True

    def kill(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout: float = STOP_TIMEOUT) -> int:
        """Until the master has ended; its exit code."""
        assert self.process is not None
        try:
            self.exit_code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._kill()
            raise AssertionError(f"still running after {timeout:g} s:\n{self.log}") from None
        return self.exit_code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop by a signal, if it still runs; the exit code."""
        if self.exit_code is None:
            self.kill(number)
            self.wait()
        assert self.exit_code is not None
        return self.exit_code

    def close(self) -> list[str]:
        """Stop and give back what is wrong with how the server lived and ended."""
        problems = []
        try:
            code = self.stop()
            if code != 0:
                problems.append(f"exit code {code}")
        except AssertionError as e:
            problems.append(str(e).splitlines()[0])
        finally:
            self._kill()
        log = self.log
        problems += [f"log: {line}" for line in log.splitlines() if FATAL.search(line)]
        if not self.expect_trouble and TROUBLE.search(log):
            problems.append("unexpected errors in the log")
        if problems:
            problems.append(f"command: {shlex.join(self.command)}\n{log[-2500:]}")
        return problems

    def _kill(self) -> None:
        """Whatever is left of our own session ends now."""
        assert self.process is not None
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    # What it says

    @property
    def log(self) -> str:
        """All of stderr so far."""
        return self.stderr_path.read_text(errors="replace") if self.stderr_path.exists() else ""

    @property
    def stdout(self) -> str:
        return self.stdout_path.read_text(errors="replace") if self.stdout_path.exists() else ""

    def wait_for_log(self, pattern: str, timeout: float = STEP, start: int = 0) -> re.Match[str]:
        """The first match of a pattern in the log from character `start` on, once it is there."""
        return wait_until(
            lambda: re.search(pattern, self.log[start:], re.M | re.S),
            lambda: f"{pattern!r} in the log:\n{self.log[start:][-3000:]}",
            timeout,
        )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def worker_pids(self) -> list[int]:
        """The pids of the workers that live, oldest first."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def wait_running(self, count: int = 1) -> None:
        """Until so many requests run."""
        port = Port.private(self.pid)
        wait_until(
            lambda: sum(worker["running"] for worker in port.workers()) >= count,
            lambda: f"{count} requests run: {port.workers()}",
        )

    def ready_pids(self) -> list[int]:
        """The pids of the workers that have booted and serve."""
        workers = Port.private(self.pid).workers()
        return [worker["pid"] for worker in workers if worker["phase"] == "ready"]

    # Talking to it

    @property
    def address(self) -> Address:
        return self.addresses[0]

    def connect(self, **options) -> Connection:
        return Connection(self.address, **options)

    def request(
        self,
        method: str = "GET",
        target: str = "/",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | None = None,
        version: str = "1.1",
    ) -> Response:
        """One request on a connection of its own, which is closed by the request."""
        fields = [*headers]
        if not any(name.lower() == "connection" for name, _ in fields):
            fields.append(("Connection", "close"))
        return self.raw(render(method, target, fields, body, version), method)

    def raw(self, data: bytes, method: str = "GET") -> Response:
        """The one response to these bytes, after which the server must close."""
        with self.connect() as connection:
            connection.send(data)
            response = connection.read_response(method)
            connection.expect_closed()
            return response

    def cut(self, target: str) -> bytes:
        """The one chunk of an answer that ends without its last chunk."""
        with self.connect() as connection:
            connection.send(render(target=target))
            assert connection.read_head().status == 200
            chunk = connection.read_chunk()
            try:
                more = connection.read_chunk()
            except Closed:
                return chunk
            raise AssertionError(f"it goes on: {more!r}")

    def json(self, *args, **options):
        """The JSON body of the response to request(), which must be a 200."""
        response = self.request(*args, **options)
        assert response.status == 200, response
        return json.loads(response.body)


_given_ports: set[int] = set()


def free_port() -> int:
    """A free port of 127.0.0.1, another one each time; not one that the system gives to clients."""
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    end = int(ephemeral.read_text().split()[0]) if ephemeral.exists() else 0
    while True:
        wish = random.SystemRandom().randrange(10_000, end) if end > 20_000 else 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", wish))
            except OSError:
                continue
            port = probe.getsockname()[1]
        if port not in _given_ports:
            _given_ports.add(port)
            return port


def parse_address(text: str) -> Address:
    """The address of one item of "Listening at:"."""
    if text.startswith("unix:"):
        return text[len("unix:") :]
    match = re.fullmatch(r"https?://\[?([^\]]*?)\]?:(\d+)", text)
    assert match, f"not an address: {text!r}"
    return (match[1], int(match[2]))


def resident_kib(pid: int) -> int:
    """Resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start


def assert_soon(seconds: float, attempt: Callable[[], float], tries: int = 5) -> None:
    """One of some attempts, each of which returns what it took, takes less than so many seconds.

    A busy machine delays one or another; a fault delays them all.
    """
    took = [attempt()]
    while took[-1] >= seconds:
        assert len(took) < tries, f"they took {took} s, each not less than {seconds:g} s"
        took.append(attempt())
