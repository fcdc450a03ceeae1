"""Values at random for every setting, from every source: see tests/helpers/settings_at_random.py.

Usage: fuzz_config.py SECONDS [--seed N]

Each is accepted or refused by an error that names the setting and the value. A failing one is made
as small as it gets and printed.
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from helpers.settings_at_random import CHECKS  # noqa: E402

ROUND = 200  # examples of a check at a time


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    options = settings(
        max_examples=ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    checks = [options(check) for check in CHECKS]
    end = time.monotonic() + args.seconds
    for round in itertools.count():
        if time.monotonic() >= end:
            print(f"{round * ROUND} values of each of {len(checks)} kinds")
            return
        for check in checks:
            seed(args.seed + round)(check)()


if __name__ == "__main__":
    main()
