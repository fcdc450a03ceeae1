"""What preloading saves: the memory of four Django workers, fresh and after requests.

    .venv/bin/python bench/preload.py --requests 10000

PSS counts a page that n processes share as a n-th of it in each, so the sum over the master and its
workers is what they occupy together. It needs Django in the environment of the server.
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATHS = ("/", "/admin/login/", "/rows", "/admin/login/?next=/admin/", "/missing")
VARIANTS = {
    "each loads by itself": [],
    "preload_app": ["--preload"],
    "and preload_freeze": ["--preload", "--preload-freeze"],
}


class Server:
    """A master with its workers on a port of its own."""

    def __init__(self, options: list[str], workers: int) -> None:
        command = [
            str(Path(sys.executable).with_name("gunicorn")),
            *("-b", "127.0.0.1:0", "-w", str(workers), "--no-control-socket", *options),
            "preload_app:application",
        ]
        self.process = subprocess.Popen(command, cwd=HERE, stderr=subprocess.PIPE, text=True)
        self.port = 0
        while not self.port:
            line = self.process.stderr.readline()
            if not line:
                raise SystemExit("the server ended")
            found = re.search(r"Listening at: http://127.0.0.1:(\d+)", line)
            self.port = int(found[1]) if found else 0
        while len(self.workers()) < workers:
            time.sleep(0.05)
        self.ask(4 * workers)  # all have booted

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def ask(self, count: int) -> None:
        """So many requests, each tenth on a connection of its own, so that each worker has some."""
        client = None
        for i in range(count):
            client = client or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            client.request("GET", PATHS[i % len(PATHS)])
            client.getresponse().read()
            if i % 10 == 9:
                client.close()
                client = None
        if client:
            client.close()

    def memory(self) -> tuple[float, float]:
        """The sum of PSS over all processes, and the private memory of a worker, in MiB."""
        workers = self.workers()
        total = sum(rollup(pid)["Pss"] for pid in [self.process.pid, *workers])
        private = [rollup(pid)["Private_Dirty"] + rollup(pid)["Private_Clean"] for pid in workers]
        return total / 1024, sum(private) / len(private) / 1024

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)


def rollup(pid: int) -> dict[str, int]:
    """The fields of smaps_rollup, in KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {name: int(kib) for name, kib in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10000)
    parser.add_argument("--workers", type=int, default=4)
    args = parser.parse_args()
    if importlib.util.find_spec("django") is None:
        raise SystemExit(f"Django is not there: {sys.executable} -m pip install django")
    print(f"{args.workers} workers; MiB: PSS of all (private memory of a worker)")
    for name, options in VARIANTS.items():
        server = Server(options, args.workers)
        try:
            fresh = server.memory()
            server.ask(args.requests)
            used = server.memory()
        finally:
            server.stop()
        print(
            f"{name:22} fresh {fresh[0]:6.1f} ({fresh[1]:5.1f})   "
            f"after {args.requests}: {used[0]:6.1f} ({used[1]:5.1f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
