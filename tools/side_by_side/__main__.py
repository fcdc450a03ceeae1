"""Run published applications on gunicorn and on this, and print what their clients see differ.

    python tools/side_by_side WHEEL [--workers sync,gthread,gevent] [APPLICATION ...]

Each application has a virtual environment in build/side-by-side, and is prepared there once. Then
both servers run it one after the other: the same options, files, address and requests. Where
something differs gunicorn runs once more, and what differs between its own two runs does not count.
With --behind uwsgi_pass,fastcgi_pass,send-proxy-v2,tls-send-proxy-v2 it is this server twice:
behind the proxy in that way, and behind the same proxy without it (front.py).
Ends with status 1 if a difference is left that no line of `ACCEPTED` or of the application accepts.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import asgi
import front
from applications import APPLICATIONS, Application
from compare import BEHIND, UVICORN, Record, differing, report
from environment import Place, Served, install_servers, services
from visit import Visitor, look_around

BUILD = Path(__file__).resolve().parents[2] / "build/side-by-side"


def record(place: Place, server: Path, worker: str, way: str = "") -> Record:
    """All that one server shows of the application."""
    place.lay_anew()
    visitor, end = Visitor(place.port, place.environ()), {}
    with services(place), Served(place, server, worker, way) as served:
        look_around(visitor, place.application.pages, place.application.static)
        place.application.visit(visitor)
        before = served.error.read_text("utf-8", "replace")
        if server.name != "uvicorn":  # it has no reload with one worker
            end["reload"] = served.reload()
        visitor.get(place.application.pages[0], label="(after the reload)")
        end["stop"] = served.stop()
    lines = served.access.read_text("utf-8", "replace").splitlines()
    access = [] if worker == "asgi" else lines  # uvicorn's has another format
    later = served.error.read_text("utf-8", "replace")[len(before) :]
    return Record(visitor.answers, access, before, later, end)


def compare(place: Place, servers: dict[str, Path], worker: str, way: str) -> bool:
    """Print what differs; whether nothing did that is not accepted."""
    like = front.WAYS[way].like if way else ""
    reference = servers["here" if way else "uvicorn" if worker == "asgi" else "gunicorn"]
    original = record(place, reference, worker, like)
    here = record(place, servers["here"], worker, way)
    found = differing(original, here)
    meant = BEHIND[way] if way else UVICORN if worker == "asgi" else ()
    meant = place.application.accepted + meant
    if report(found, meant)[0]:
        unsteady = differing(original, record(place, reference, worker, like))
        found = {where: pair for where, pair in found.items() if where not in unsteady}
    lines, reasons = report(found, meant)
    print(
        f"{place.application.name} {worker} {way}: {len(here.answers)} requests,"
        f" {len(lines) // 3} differences, {sum(reasons.values())} accepted",
        flush=True,
    )
    for line in lines:
        print("  " + line)
    for why, count in reasons.items():
        print(f"  accepted {count}: {why}")
    return not lines


def try_one(application: Application, servers: dict[str, Path], workers: list[str], ways) -> bool:
    place = Place(BUILD, application)
    try:
        place.install()
        place.prepare()
        chosen = [worker for worker in workers if worker in application.workers]
        return all([compare(place, servers, w, way) for w in chosen for way in ways])
    except RuntimeError as e:
        print(f"{application.name}: {e}", flush=True)
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("applications", nargs="*", metavar="APPLICATION")
    parser.add_argument("--workers", default="sync,gthread,gevent,asgi")
    parser.add_argument("--behind", default="", metavar="WAYS")
    arguments = parser.parse_intermixed_args()
    known = {application.name: application for application in (*APPLICATIONS, *asgi.APPLICATIONS)}
    unknown = set(arguments.applications) - known.keys()
    if unknown:
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped then
    servers = install_servers(BUILD, arguments.wheel)
    chosen = [known[name] for name in arguments.applications or known]
    workers, ways = arguments.workers.split(","), arguments.behind.split(",")
    return 0 if all([try_one(a, servers, workers, ways) for a in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
