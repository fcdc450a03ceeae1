"""Print the files of the Python package, one a line, as paths below its parent folder.

Meson installs what this lists: the sources, and neither caches nor a module that was built in
place. New files are seen when the build is configured, which every ``pip install`` does.
"""

import sys
from pathlib import Path

SUFFIXES = {".py", ".pyi", ".typed"}


def main() -> None:
    package = Path(sys.argv[1])
    for path in sorted(package.rglob("*")):
        if path.suffix in SUFFIXES or path.name == "py.typed":
            print(path.relative_to(package.parent).as_posix())


main()
