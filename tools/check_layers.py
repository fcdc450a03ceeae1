"""Check the includes of src/: a layer uses the layers below it, never one beside or above.

    ext -> {serve, proc} -> {net, proto} -> base

Python.h is for ext alone, includes are written from src/ ("proto/http1.h"), and each source
file is in the list of its folder's meson.build.
"""

import re
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"

RANK = {"base": 0, "net": 1, "proto": 1, "serve": 2, "proc": 2, "ext": 3, "demo": 3}
PYTHON_HEADER = re.compile(r"(Python|structmember|datetime|pythread)\.h$")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def may_use(layer: str, other: str) -> bool:
    """Say whether a file of ``layer`` may include a header of ``other``."""
    return layer == other or RANK[other] < RANK[layer]


def check_include(layer: str, quote: str, target: str) -> str | None:
    """Return what is wrong with one include line of a file in ``layer``, or None."""
    if PYTHON_HEADER.search(target):
        return None if layer == "ext" else f"<{target}> is for ext alone"
    if quote == "<":
        return None
    other = target.partition("/")[0]
    if "/" not in target or other not in RANK:
        return f'"{target}": write includes from src/, as in "base/str.h"'
    if not may_use(layer, other):
        return f'"{target}": {layer} must not use {other}'
    return None


def check_file(path: Path) -> list[str]:
    """Return the complaints about the includes of one file."""
    layer = path.relative_to(SRC).parts[0]
    text = path.read_text()
    complaints = []
    for match in INCLUDE.finditer(text):
        wrong = check_include(layer, match[1], match[2])
        if wrong:
            line = text.count("\n", 0, match.start(2)) + 1
            complaints.append(f"src/{path.relative_to(SRC)}:{line}: {wrong}")
    return complaints


def check_lists() -> list[str]:
    """Return the sources that no meson.build lists, so that they are not silently left out."""
    complaints = []
    for layer in RANK:
        build = SRC / layer / "meson.build"
        listed = set(re.findall(r"'([\w/]+\.c)'", build.read_text()))
        there = {str(path.relative_to(build.parent)) for path in build.parent.rglob("*.c")}
        complaints += [f"src/{layer}/{name}: not listed in meson.build" for name in there - listed]
        complaints += [f"src/{layer}/{name}: listed, but not there" for name in listed - there]
    return complaints


def main() -> int:
    files = sorted(path for path in SRC.rglob("*.[ch]"))
    unknown = {path.relative_to(SRC).parts[0] for path in files} - RANK.keys()
    complaints = [f"src/{name}: no layer has this name" for name in sorted(unknown)]
    for path in files:
        if path.relative_to(SRC).parts[0] in RANK:
            complaints += check_file(path)
    complaints += check_lists()
    for complaint in complaints:
        print(complaint)
    print(f"layers: {len(files)} files, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
