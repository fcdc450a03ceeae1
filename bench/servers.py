"""The servers that are compared: how each is installed, started and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from measure import ask_once, tree
from works import ASGI_WORKS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
START_TIMEOUT = 20.0
STOP_TIMEOUT = 5.0
POLL_INTERVAL = 0.001

NGINX_CONF = """
daemon off;
worker_processes 1;
pid {scratch}/nginx.pid;
error_log {scratch}/nginx.error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type text/plain;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 75s;
    client_max_body_size 0;
    client_body_temp_path {scratch}/nginx-body;
    proxy_temp_path {scratch}/nginx-proxy;
    fastcgi_temp_path {scratch}/nginx-fastcgi;
    uwsgi_temp_path {scratch}/nginx-uwsgi;
    scgi_temp_path {scratch}/nginx-scgi;
    server {{
        {listen}
        location = /hello {{ return 200 "Hello, world!"; }}
        location = /echo {{ return 200 "Hello, world!"; }}
        location = /file {{ alias {file}; }}
    }}
}}
"""

NGINX_TLS = """
        listen 127.0.0.1:{port} ssl http2 backlog=2048;
        ssl_certificate {scratch}/tls.pem;
        ssl_certificate_key {scratch}/tls.key;
        ssl_protocols TLSv1.3;
"""

BJOERN = "import sys, app, bjoern; bjoern.run(app.app, '127.0.0.1', int(sys.argv[1]))"
FASTPYSGI = (
    "import sys, app, fastpysgi; fastpysgi.run(app.app, '127.0.0.1', int(sys.argv[1]), loglevel=1)"
)


class Unavailable(Exception):
    """The server cannot be installed or started here; the text says why."""


@dataclass
class Scratch:
    """Where a run keeps its logs and the file that is served."""

    folder: Path
    file: Path

    def make_certificate(self) -> None:
        """Write tls.pem and tls.key, if they are not there."""
        if (self.folder / "tls.pem").exists():
            return
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:P-256", "-nodes", "-days", "3650", "-subj", "/CN=localhost"),
                *("-keyout", "tls.key", "-out", "tls.pem"),
            ],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )

    def build_floor(self) -> None:
        """Compile floor.c. Raise Unavailable if that fails."""
        command = ["cc", "-O2", "-o", str(self.folder / "floor"), str(HERE / "floor.c")]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable("the floor was not built: " + done.stderr[-300:])


@dataclass
class Server:
    """One contestant. ``command`` is formatted with bin, port, scratch and file.

    ``requirement`` is what pip installs in an environment of its own; without one, the program
    must be there. ``works`` limits what it is asked, None means everything.
    """

    name: str
    command: list[str]
    requirement: str | None = None
    environment: str | None = None
    works: frozenset[str] | None = None
    ours: bool = False
    tls: bool = False
    process: subprocess.Popen | None = field(default=None, repr=False)
    port: int = 0
    bin: Path = Path(sys.executable).parent

    def install(self, python: str, scratch: Scratch) -> None:
        """Make the environment if it is not there yet. Raise Unavailable if pip fails."""
        if self.requirement is None:
            return
        version = subprocess.run(
            [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        folder = HERE / f".venv-{self.environment or self.name}-{version}"
        self.bin = folder / "bin"
        wanted = folder / ".installed"
        if wanted.exists() and wanted.read_text() == self.requirement:
            return
        subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
        log = scratch.folder / f"install-{self.name}.log"
        with log.open("w") as output:
            done = subprocess.run(
                [str(self.bin / "pip"), "install", *self.requirement.split()],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if done.returncode:
            raise Unavailable(f"pip install {self.requirement} failed, see {log}")
        wanted.write_text(self.requirement)

    def version(self) -> str:
        """What was compared."""
        if self.requirement:
            return self.requirement.split()[0].partition("==")[2]
        if self.name != "nginx":
            return ""
        said = subprocess.run([self.command[0], "-v"], capture_output=True, text=True)
        return said.stderr.strip().rpartition("/")[2]

    def start(self, core: int, scratch: Scratch) -> float:
        """Start on a core and wait for the first answer; return the seconds that took."""
        self.port = free_port()
        values = {
            "bin": self.bin,
            "port": self.port,
            "scratch": scratch.folder,
            "file": scratch.file,
        }
        if self.name.startswith("nginx"):
            listen = NGINX_TLS if self.tls else "listen 127.0.0.1:{port} backlog=2048;"
            configuration = NGINX_CONF.replace("{listen}", listen).replace(
                "{scratch}/nginx", f"{{scratch}}/{self.name}"
            )
            (scratch.folder / f"{self.name}.conf").write_text(configuration.format(**values))
        command = [part.format(**values) for part in self.command]
        if shutil.which(command[0]) is None:
            raise Unavailable(f"there is no {command[0]}")
        log = (scratch.folder / f"{self.name}.log").open("w")
        started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            cwd=HERE,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "BENCH_FILE": str(scratch.file), "PYTHONDONTWRITEBYTECODE": ""},
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        log.close()
        while time.perf_counter() - started < START_TIMEOUT:
            try:
                ask_once(self.port, tls=self.tls).close()
                return time.perf_counter() - started
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(POLL_INTERVAL)
        self.stop()
        raise Unavailable(f"did not answer, see {scratch.folder / (self.name + '.log')}")

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Stop the processes that were started here, gently first."""
        if self.process is None:
            return
        processes = tree(self.process.pid) if self.alive else []
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in processes[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process = None


def free_port() -> int:
    """Return a port of the loopback address that the system says is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def gunicorn_command(worker: str, *more: str) -> list[str]:
    return [
        *("{bin}/gunicorn", "-w", "1", "-k", worker, "-b", "127.0.0.1:{port}"),
        *("--keep-alive", "75", *more, "app:app"),
    ]


def with_hub(name: str, gunicorn: str) -> list[Server]:
    """Return our worker of the class `name`, and that of a gunicorn that has it."""
    more = ("--worker-connections", "2000")
    theirs = f"gunicorn[{name}]=={gunicorn}"
    return [
        Server(f"ours-{name}", gunicorn_command(name, *more), ours=True, works=HUB_WORKS),
        Server(f"gunicorn-{name}", gunicorn_command(name, *more), theirs, works=HUB_WORKS),
    ]


UVLOOP = "uvloop==0.23.0"
FRAMEWORKS = "fastapi==0.165.0 starlette==1.10.0"
ASGI_APP = "asgi_app:app"


def asgi_servers(loop: str) -> list[Server]:
    """Return our asgi worker and its peers, on an event loop."""
    suffix = "" if loop == "uvloop" else f"-{loop}"
    worker = ("--asgi-loop", loop, "--worker-connections", "12000")
    gunicorn = [*gunicorn_command("asgi", *worker)[:-1], ASGI_APP]
    uvicorn = ["{bin}/uvicorn", "--loop", loop, "--http", "httptools", "--port", "{port}"]
    granian = ["{bin}/granian", "--interface", "asgi", "--loop", loop, "--port", "{port}"]
    works = frozenset(work.name for work in ASGI_WORKS)

    def peer(name: str, command: list[str], requirement: str) -> Server:
        requirements = f"{requirement} {UVLOOP} {FRAMEWORKS}"
        return Server(name + suffix, [*command, ASGI_APP], requirements, name, works)

    return [
        Server(f"ours-asgi{suffix}", gunicorn, ours=True, works=works),
        peer(
            "uvicorn",
            [*uvicorn, "--log-level", "error", "--no-access-log"],
            "uvicorn==0.54.0 httptools==0.9.0",
        ),
        peer("granian-asgi", [*granian, "--no-access-log"], "granian==2.8.9"),
        peer("gunicorn-asgi", gunicorn[:-1], f"{GUNICORN} gunicorn_h1c==0.6.9"),
    ]


HELLO_ONLY = frozenset({"hello", "hello-1000"})
HUB_WORKS = HELLO_ONLY | {"post-4k"}
HTTP2_WORKS = frozenset({"h2-hello-1x100", "h2-hello-32x10", "h2-file-4x4"})
LOGGED_WORKS = frozenset({"hello", "browser"})
CERTIFICATE = ("--certfile", "{scratch}/tls.pem", "--keyfile", "{scratch}/tls.key")
ACCESS_LOG = ("--access-logfile", "{scratch}/access.log")
ECHO_WORKS = HELLO_ONLY | {"browser", "post-4k", "post-64k", "post-1m", "close"}
GUNICORN = "gunicorn==27.0.1"


def all_servers() -> list[Server]:
    """Return the contestants, ours first."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    return [
        Server("ours", gunicorn_command("sync", "--worker-connections", "12000"), ours=True),
        Server("ours-gthread", gunicorn_command("gthread", "--threads", "8"), ours=True),
        Server(
            "ours-accesslog",
            gunicorn_command("sync", *ACCESS_LOG),
            ours=True,
            works=LOGGED_WORKS,
        ),
        Server(
            "echo",
            [str(ROOT / "build" / "bench" / "src" / "demo" / "echo"), "{port}"],
            works=ECHO_WORKS,
        ),
        Server(
            "floor",
            ["{scratch}/floor", "{port}"],
            works=HELLO_ONLY | {"browser", "asgi-hello", "asgi-browser"},
        ),
        Server(
            "nginx",
            [nginx, "-c", "{scratch}/nginx.conf", "-p", "{scratch}"],
            works=ECHO_WORKS | {"file", "asgi-file"},
        ),
        Server(
            "ours-tls",
            gunicorn_command("sync", *CERTIFICATE, "--http-protocols", "h2,h1"),
            ours=True,
            tls=True,
        ),
        Server(
            "nginx-tls",
            [nginx, "-c", "{scratch}/nginx-tls.conf", "-p", "{scratch}"],
            tls=True,
        ),
        Server(
            "gunicorn-tls",
            gunicorn_command("gthread", "--threads", "8", *CERTIFICATE),
            GUNICORN,
            environment="gunicorn",
            tls=True,
        ),
        Server("fastpysgi", ["{bin}/python", "-c", FASTPYSGI, "{port}"], "fastpysgi==0.6"),
        Server("bjoern", ["{bin}/python", "-c", BJOERN, "{port}"], "bjoern==3.2.2"),
        Server(
            "granian",
            [
                *("{bin}/granian", "--interface", "wsgi", "--host", "127.0.0.1"),
                *("--port", "{port}", "--workers", "1", "--no-access-log", "app:app"),
            ],
            "granian==2.8.7",
        ),
        Server(
            "granian-tls",
            [
                *("{bin}/granian", "--interface", "wsgi", "--host", "127.0.0.1"),
                *("--ssl-certificate", "{scratch}/tls.pem", "--ssl-keyfile", "{scratch}/tls.key"),
                *("--port", "{port}", "--workers", "1", "--no-access-log", "app:app"),
            ],
            "granian==2.8.7",
            environment="granian",
            works=HTTP2_WORKS,
            tls=True,
        ),
        Server(
            "hypercorn-tls",
            [
                *("{bin}/hypercorn", "--bind", "127.0.0.1:{port}", "--workers", "1"),
                *("--config", "hypercorn.toml", "--worker-class", "uvloop"),
                *(*CERTIFICATE, ASGI_APP),
            ],
            f"hypercorn==0.18.0 {UVLOOP} {FRAMEWORKS}",
            environment="hypercorn",
            works=HTTP2_WORKS,
            tls=True,
        ),
        Server(
            "uwsgi",
            [
                *("{bin}/uwsgi", "--http", "127.0.0.1:{port}", "--http-keepalive"),
                *("--http-auto-chunked", "--master", "--processes", "1", "--disable-logging"),
                *("--listen", "1024", "--wsgi-file", "app.py", "--callable", "app"),
            ],
            "uWSGI==2.0.31",
        ),
        Server("gunicorn", gunicorn_command("sync"), GUNICORN),
        Server(
            "gunicorn-accesslog",
            gunicorn_command("sync", *ACCESS_LOG),
            GUNICORN,
            environment="gunicorn",
            works=LOGGED_WORKS,
        ),
        Server(
            "gunicorn-gthread",
            gunicorn_command("gthread", "--threads", "8"),
            GUNICORN,
            environment="gunicorn",
            works=HELLO_ONLY,
        ),
        *with_hub("gevent", "27.0.1"),
        *with_hub("eventlet", "25.3.0"),  # the last that has it
        *with_hub("tornado", "27.0.1"),
        *asgi_servers("uvloop"),
        *asgi_servers("asyncio"),
    ]
