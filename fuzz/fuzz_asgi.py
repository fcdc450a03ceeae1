"""ASGI applications at random, run by a real server: see tests/helpers/asgi_scripts.py.

Usage: fuzz_asgi.py SECONDS [--loops asyncio,uvloop] [--seed N]

HTTP and WebSocket, beside clients that leave. A failing conversation is made as small as it gets
and printed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from helpers.asgi_scripts import Scripted  # noqa: E402
from helpers.server import FATAL, Server, server_has  # noqa: E402

ROUND = 200  # conversations of each kind between two looks at the server


def run(loop, seconds, seed):
    """Conversations with one server; returns how many."""
    end = time.monotonic() + seconds
    count = 0
    with tempfile.TemporaryDirectory() as directory:
        args = ["-k", "asgi", "--asgi-loop", loop, "scripted:app"]
        server = Server(args, Path(directory), expect_trouble=True).start()
        try:
            scripted = Scripted(server)
            while time.monotonic() < end:
                scripted.converse(ROUND, seed + count)
                count += ROUND
                assert not FATAL.search(server.log), server.log[-5000:]
                server.stderr_path.write_text("")  # it is long
        except BaseException:
            print(server.log[-20000:])
            raise
        finally:
            problems = server.close()
    assert not problems, "\n".join(problems)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", type=float)
    parser.add_argument("--loops", default="asyncio,uvloop")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    loops = [loop for loop in args.loops.split(",") if loop == "asyncio" or server_has(loop)]
    print(f"seed {args.seed}", flush=True)
    for loop in loops:
        count = run(loop, args.seconds / len(loops), args.seed)
        print(f"{loop}: {count} conversations of each kind", flush=True)


if __name__ == "__main__":
    main()
