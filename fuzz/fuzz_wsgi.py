"""Applications at random, run by a real server of each worker class: see tests/helpers/plans.py.

Usage: fuzz_wsgi.py SECONDS [--workers sync,gthread,gevent] [--seed N]

Every answer has to be the one that PEP 3333 and RFC 9112 ask for, each close() is called once,
nothing of a request stays behind, and no worker dies. A failing conversation is made as small as it
gets and printed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from helpers.planned import OPTIONS, Planned  # noqa: E402
from helpers.server import WORKER_ARGS, Server  # noqa: E402

ROUND = 200  # conversations between two looks at the server


def run(worker, seconds, seed):
    """Conversations with one server; returns how many."""
    end = time.monotonic() + seconds
    count = 0
    with tempfile.TemporaryDirectory() as directory:
        args = [*WORKER_ARGS[worker], *OPTIONS, "planned:app"]
        server = Server(args, Path(directory), expect_trouble=True).start()
        try:
            planned = Planned(server)
            while time.monotonic() < end:
                planned.converse(ROUND, seed + count)
                count += ROUND
                planned.forget_log()
        finally:
            problems = server.close()
    assert not problems, "\n".join(problems)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", type=float)
    parser.add_argument("--workers", default="sync,gthread,gevent")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    workers = args.workers.split(",")
    for worker in workers:
        count = run(worker, args.seconds / len(workers), args.seed)
        print(f"{worker}: {count} conversations", flush=True)


if __name__ == "__main__":
    main()
