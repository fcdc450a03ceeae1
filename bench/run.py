"""Compare the server with nginx and with other Python servers; see README.md beside this file."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import platform
import resource
import select
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from measure import LoadError, ask_once, measure, memory
from report import Results, render
from servers import Scratch, Server, Unavailable, all_servers
from works import WORKS, Work

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
IDLE_CONNECTIONS = 1000
IDLE_DEADLINE = 10.0
STARTS = 5
SETTLE_SECONDS = 0.3
FILE_SIZE = 1024 * 1024


def parse_arguments() -> argparse.Namespace:
    servers = [server.name for server in all_servers()]
    works = [work.name for work in WORKS]
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    parser.add_argument("--servers", default="all", help="of " + ", ".join(servers))
    parser.add_argument("--works", default="all", help="of " + ", ".join([*works, "footprint"]))
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--seconds", type=int, default=2, help="of each run, default 2")
    parser.add_argument("--one-core", action="store_true", help="load from the server's own core")
    parser.add_argument("--python", default=sys.executable, help="for the other Python servers")
    parser.add_argument("--gunicorn", help="the command to measure as ours")
    parser.add_argument("--json", type=Path, help="where the results go; default bench/results/")
    return parser.parse_args()


def chosen(wanted: str, names: list[str]) -> list[str]:
    """Return the names that a comma-separated option asks for, in their own order.

    Each may be a pattern, as asgi-*.
    """
    if wanted == "all":
        return names
    asked = wanted.split(",")
    if unknown := [one for one in asked if not fnmatch.filter(names, one)]:
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(names)}")
    return [name for name in names if any(fnmatch.fnmatch(name, one) for one in asked)]


def takes_part(server: Server, work: Work) -> bool:
    """Say whether a work is measured on a server."""
    if server.tls != work.tls or (work.only is not None and server.name not in work.only):
        return False
    return server.works is None or work.name in server.works


def build_echo() -> None:
    """Build the C echo application as the extension is built: optimised, linked as one."""
    folder = ROOT / "build" / "bench"
    meson = str(Path(sys.executable).parent / "meson")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    setup = [meson, "setup", str(folder), str(ROOT), "-Dextension=false", "-Dtests=disabled"]
    steps = [[meson, "compile", "-C", str(folder), "echo"]]
    if not (folder / "build.ninja").exists():
        steps.insert(0, setup)
    for step in steps:
        done = subprocess.run(step, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise Unavailable("the echo application was not built: " + done.stdout[-300:])


def prepare(servers: list[Server], python: str, scratch: Scratch) -> list[Server]:
    """Install what is missing; return the servers that can be measured, and say which cannot."""
    ready = []
    for server in servers:
        try:
            if server.name == "echo":
                build_echo()
            elif server.name == "floor":
                scratch.build_floor()
            server.install(python, scratch)
            ready.append(server)
        except (Unavailable, OSError) as error:
            print(f"{server.name}: left out: {error}", flush=True)
    return ready


def measure_once(server: Server, work: Work, seconds: int, core: int, scratch: Scratch) -> dict:
    """Measure one work on one server, which is started anew if it did not survive the last."""
    if not server.alive:
        server.start(core, scratch)
    with ExitStack() as stack:
        for _ in range(work.idle):
            stack.enter_context(ask_once(server.port, tls=server.tls))
        load = measure(work, server.port, server.process.pid, seconds)
    return {
        "cpu_us": load.cpu_a_request,
        "per_second": load.a_second,
        "p50_ms": load.p50 * 1000,
        "p99_ms": load.p99 * 1000,
        "requests": load.requests,
    }


def run_rounds(servers: list[Server], works: list[Work], options, core: int, scratch: Scratch):
    """Measure the works, the servers taking turns within each round, and return the results.

    All the servers run the whole time, since idle ones cost nothing: what is compared is then
    measured seconds apart, and a machine that changes its pace does so for all of them.
    """
    results: Results = {work.name: {} for work in works}
    for turn in range(options.rounds):
        for work in works:
            for server in servers:
                if not takes_part(server, work):
                    continue
                seen = results[work.name].setdefault(server.name, [])
                if isinstance(seen, str):
                    continue
                try:
                    if turn == 0:
                        measure_once(server, work, work.warm_up, core, scratch)
                    seen.append(measure_once(server, work, options.seconds, core, scratch))
                except (LoadError, Unavailable, OSError, subprocess.TimeoutExpired) as error:
                    died = "" if server.alive else "it died; "
                    results[work.name][server.name] = f"failed: {died}{error}"
                    server.stop()
        print(f"round {turn + 1} of {options.rounds} done", file=sys.stderr, flush=True)
    return results


def idle_connection_bytes(server: Server) -> float | None:
    """Return the private memory that each of many idle keep-alive connections costs.

    None if the server does not keep that many open, or needs too long for each.
    """
    deadline = time.monotonic() + IDLE_DEADLINE
    ask_once(server.port).close()
    time.sleep(SETTLE_SECONDS)
    before = memory(server.process.pid)[1]
    with ExitStack() as stack:
        for _ in range(IDLE_CONNECTIONS):
            connection = stack.enter_context(ask_once(server.port))
            if time.monotonic() > deadline or select.select([connection], [], [], 0)[0]:
                return None
        time.sleep(SETTLE_SECONDS)
        return (memory(server.process.pid)[1] - before) / IDLE_CONNECTIONS


def footprint(server: Server, core: int, scratch: Scratch) -> dict[str, float | None]:
    """Measure starting and memory of a server that runs alone, so that it shares with nobody."""
    starts = []
    for _ in range(STARTS):
        server.stop()
        starts.append(server.start(core, scratch))
    for _ in range(100):
        ask_once(server.port).close()
    pss = memory(server.process.pid)[0]
    idle = idle_connection_bytes(server)
    return {
        "pss_mib": pss / 1048576,
        "idle_kib": None if idle is None else idle / 1024,
        "first_answer_ms": median(starts) * 1000,
    }


def footprints(servers: list[Server], core: int, scratch: Scratch) -> dict:
    seen: dict[str, dict | str] = {}
    for server in servers:
        try:
            seen[server.name] = footprint(server, core, scratch)
        except (Unavailable, OSError) as error:
            seen[server.name] = f"failed: {error}"
        server.stop()
    return seen


def machine() -> dict[str, str]:
    """Say what the numbers were measured on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {"processor": model, "kernel": platform.release(), "python": platform.python_version()}


def main() -> int:
    options = parse_arguments()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for the server, one for the load")
    core = cores[0]
    os.sched_setaffinity(0, {core if options.one_core else cores[1]})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    folder = ROOT / "build" / "bench-scratch"
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Scratch(folder, folder / "file.bin")
    scratch.file.write_bytes(os.urandom(FILE_SIZE))
    (folder / "access.log").unlink(missing_ok=True)
    scratch.make_certificate()

    names = chosen(options.servers, [server.name for server in all_servers()])
    asked = chosen(options.works, [*(work.name for work in WORKS), "footprint"])
    servers = [server for server in all_servers() if server.name in names]
    if options.gunicorn:
        for server in servers:
            if server.ours:
                server.command[0] = options.gunicorn
    works = [work for work in WORKS if work.name in asked]
    if "footprint" not in asked:
        servers = [one for one in servers if any(takes_part(one, work) for work in works)]
    servers = prepare(servers, options.python, scratch)

    seen: dict = {}
    try:
        if "footprint" in asked:
            seen = footprints([one for one in servers if not one.tls], core, scratch)
        results = run_rounds(servers, works, options, core, scratch)
    finally:
        for server in servers:
            server.stop()

    print(render(results, seen))
    when = time.strftime("%Y%m%d-%H%M%S")
    path = options.json or HERE / "results" / f"{when}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": {server.name: server.version() for server in servers if not server.ours},
        "one_core": options.one_core,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "results": results,
        "footprints": seen,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nwritten to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
