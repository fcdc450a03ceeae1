"""Measure how the number of workers follows a load that comes and goes (`workers_max`).

Closed clients, each with a new connection for each request, come and go in periods. The result is
each change of the number with its time, and the requests that were served and lost.
"""

from __future__ import annotations

import argparse
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

APP = """
import time
def app(environ, start_response):
    until = time.process_time() + {compute}
    while time.process_time() < until:
        pass
    time.sleep({sleep})
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/scaling.py", description=__doc__.splitlines()[0])
    parser.add_argument("--gunicorn", default=str(Path(sys.executable).with_name("gunicorn")))
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--sleep", type=float, default=0.1, help="seconds of a request")
    parser.add_argument("--compute", type=float, default=0.0, help="the same, of processor time")
    parser.add_argument("--busy", type=float, default=10.0, help="seconds with clients")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds without, after them")
    parser.add_argument("--periods", type=int, default=1, help="how often the clients come")
    parser.add_argument("--args", default="--workers-max 16 --scale-down-idle 5")
    return parser.parse_args()


class Server:
    """A gunicorn whose changes of the number are printed with their time."""

    def __init__(self, options, directory: str) -> None:
        text = APP.format(sleep=options.sleep, compute=options.compute)
        (Path(directory) / "scaled.py").write_text(text)
        command = [options.gunicorn, "-b", "127.0.0.1:0", "--no-control-socket"]
        command += [*options.args.split(), "scaled:app"]
        self.process = subprocess.Popen(
            command, cwd=directory, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        self.port = 0
        self.began = time.monotonic()
        self.changes = 0
        self._listening = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()
        if not self._listening.wait(20):
            sys.exit("the server does not start")

    def _follow(self) -> None:
        for line in self.process.stderr:
            if found := re.search(r"Listening at: http://.*:(\d+) ", line):
                self.port = int(found[1])
            if "Booting worker" in line:
                self._listening.set()
            if "Workers: " in line:
                self.changes += "one more" in line or "one less" in line
                self.say(line[line.index("Workers: ") :].rstrip())

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:7.2f} {text}", flush=True)


class Client(threading.Thread):
    def __init__(self, port: int, until: float) -> None:
        super().__init__()
        self.port, self.until = port, until
        self.served = self.lost = 0

    def run(self) -> None:
        while time.monotonic() < self.until:
            try:
                good = self._ask().startswith(b"HTTP/1.1 200")
            except OSError:
                good = False
            self.served += good
            self.lost += not good

    def _ask(self) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 30) as sock:
            sock.sendall(REQUEST)
            return sock.recv(4096)


def main() -> None:
    options = parse_arguments()
    with tempfile.TemporaryDirectory() as directory:
        server = Server(options, directory)
        time.sleep(1)
        for _ in range(options.periods):
            server.say("the clients come")
            until = time.monotonic() + options.busy
            clients = [Client(server.port, until) for _ in range(options.clients)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            served, lost = sum(c.served for c in clients), sum(c.lost for c in clients)
            server.say(f"the clients have left: {served} requests served, {lost} lost")
            time.sleep(options.idle)
        server.process.terminate()
        status = server.process.wait(60)
        server.say(f"the end, status {status}: {server.changes} changes")


if __name__ == "__main__":
    main()
