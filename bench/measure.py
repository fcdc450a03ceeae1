"""Reading what a server costs from /proc, and loading it with wrk, or h2load for HTTP/2."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")


def stat_fields(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on, or None if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def tree(root: int) -> list[int]:
    """Return the process ``root`` and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat_fields(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """Return the CPU time of a process tree, of children that ended and were waited for too."""
    ticks = 0
    for pid in tree(root):
        if fields := stat_fields(pid):
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS


def memory(root: int) -> tuple[int, int]:
    """Return the proportional and the private memory of a process tree, in bytes."""
    proportional = private = 0
    for pid in tree(root):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "Pss":
                proportional += int(rest.split()[0]) * 1024
            elif name in ("Private_Clean", "Private_Dirty"):
                private += int(rest.split()[0]) * 1024
    return proportional, private


@dataclass
class Load:
    """What one run of wrk saw. Times in seconds, ``cpu`` is the server's."""

    requests: int
    seconds: float
    bytes: int
    p50: float
    p99: float
    errors: dict[str, int]
    cpu: float = 0.0

    @property
    def cpu_a_request(self) -> float:
        """Microseconds of the server's CPU time."""
        return self.cpu / self.requests * 1e6

    @property
    def a_second(self) -> float:
        return self.requests / self.seconds


class LoadError(Exception):
    """The run says nothing about speed: wrk saw errors, or nothing at all."""


def run_wrk(work, port: int, seconds: float) -> Load:
    """Load a server with one run of wrk. Raise LoadError if any request failed."""
    command = ["wrk", "-t1", f"-c{work.connections}", f"-d{seconds:g}s", "-s", work.script]
    command += ["--timeout", "10s"]  # the first request of a framework imports it
    for header in work.headers:
        command += ["-H", header]
    scheme = "https" if work.tls else "http"
    command += [f"{scheme}://127.0.0.1:{port}{work.path}", "--", work.argument]
    done = subprocess.run(
        command, cwd=HERE / "wrk", capture_output=True, text=True, timeout=seconds + 30
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT")), "")
    if not line:
        raise LoadError((done.stderr or done.stdout).strip()[:200] or "wrk said nothing")
    values = {
        key: int(value) for key, _, value in (part.partition("=") for part in line.split()[1:])
    }
    errors = {key: values[key] for key in ("connect", "read", "write", "timeout", "status")}
    if values["requests"] == 0 or any(errors.values()):
        seen = ", ".join(f"{count} {kind}" for kind, count in errors.items() if count)
        raise LoadError(f"{values['requests']} requests, errors: {seen or 'none'}")
    return Load(
        values["requests"],
        values["microseconds"] / 1e6,
        values["bytes"],
        values["p50"] / 1e6,
        values["p99"] / 1e6,
        errors,
    )


def run_h2load(work, port: int, seconds: float) -> Load:
    """The same with one run of h2load, which has no percentiles."""
    command = ["h2load", f"-c{work.connections}", f"-m{work.streams}", f"-D{seconds:g}"]
    command.append(f"https://127.0.0.1:{port}{work.path}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    seen = {kind: int(count) for count, kind in re.findall(r"(\d+) (\w+)", done.stdout)}
    errors = {kind: seen.get(kind, 0) for kind in ("failed", "errored", "timeout")}
    if not seen.get("succeeded") or any(errors.values()):
        raise LoadError((done.stderr or done.stdout).strip()[-200:])
    return Load(seen["succeeded"], seconds, 0, 0.0, 0.0, errors)


def measure(work, port: int, pid: int, seconds: float) -> Load:
    """Load a server and charge it for the CPU time that its processes used meanwhile."""
    before = cpu_seconds(pid)
    load = (run_h2load if work.streams else run_wrk)(work, port, seconds)
    load.cpu = cpu_seconds(pid) - before
    return load


def is_whole(answer: bytes) -> bool:
    """Say whether these bytes hold a head with Content-Length and the body it announces."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return bool(end) and length is not None and len(body) >= int(length[1])


def ask_once(
    port: int, path: str = "/hello", timeout: float = 5.0, tls: bool = False
) -> socket.socket:
    """Send one request on a new connection, read its answer, return the connection still open.

    Raise OSError if the server does not answer with status 200.
    """
    connection = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    try:
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = context.wrap_socket(connection)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while not is_whole(answer):
            block = connection.recv(65536)
            if not block:
                raise OSError("closed before the answer was whole")
            answer += block
        if b" 200 " not in answer.partition(b"\r\n")[0]:
            raise OSError(answer.partition(b"\r\n")[0].decode("latin-1"))
    except BaseException:
        connection.close()
        raise
    return connection
