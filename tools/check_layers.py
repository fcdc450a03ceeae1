"""Check which files use which in src/ and in gunicorn/.

    ext -> {serve, proc} -> {net, proto} -> base

A layer includes the layers below it, never one beside or above. Python.h is for ext alone,
includes are written from src/ ("proto/http1.h"), and each source file is in the list of its
folder's meson.build.

Within a layer no files call each other in a circle. A file is here a .c file together with the
header of its name, and it calls another one by each function that its own functions name with a
parenthesis behind. A call through a table or a callback names no function and does not count.
Modules of gunicorn/ do not import each other in a circle, whether as they are imported or later, in
a function.
"""

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

RANK = {"base": 0, "net": 1, "proto": 1, "serve": 2, "proc": 2, "ext": 3, "demo": 3}
PYTHON_HEADER = re.compile(r"(Python|structmember|datetime|pythread)\.h$")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)

#: Files that may call each other in circles, and why.
ALLOWED: dict[str, str] = {
    "gunicorn.http.wsgi gunicorn.http._by_hand": (
        "wsgi has names of gunicorn's for workers that read requests themselves, and imports their "
        "code when one of them is used"
    ),
}

#: Comments, strings and characters of C.
NO_CODE = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.DOTALL)
#: A function with its body, as clang-format lays it out: both braces begin a line.
FUNCTION = re.compile(r"^(\w[^;{}#]*?)\b(\w+)\(([^;{}]*)\)\n\{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"(?<![.>])\b(\w+)\(")

#: Each user, each file or module that it uses, and by which names.
Uses = dict[str, dict[str, set[str]]]


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


class Functions:
    """The functions that one .c file and the header of its name define, and those they call."""

    def __init__(self) -> None:
        self.public: set[str] = set()
        self.private: set[str] = set()
        self.called: set[str] = set()

    def read(self, path: Path) -> None:
        """Add the functions of one of the two."""
        code = NO_CODE.sub('""', path.read_text())
        for specifiers, name, _, body in FUNCTION.findall(code):
            hidden = path.suffix == ".c" and re.search(r"\bstatic\b", specifiers)
            (self.private if hidden else self.public).add(name)
            self.called.update(CALL.findall(body))


def uses_of_layer(layer: str) -> Uses:
    """Return which functions the files of a layer call in each other."""
    files: dict[str, Functions] = defaultdict(Functions)
    for path in sorted((SRC / layer).rglob("*.[ch]")):
        files[str(path.relative_to(SRC).with_suffix(""))].read(path)
    owner = {function: name for name, file in files.items() for function in file.public}
    uses: Uses = {name: defaultdict(set) for name in files}
    for name, file in files.items():
        for function in file.called - file.private - file.public:
            if function in owner:
                uses[name][owner[function]].add(function)
    return uses


def module_name(path: Path) -> str:
    """Return the name by which a file below gunicorn/ is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Imports(ast.NodeVisitor):
    """The import statements of a module, but for those that only type checkers see."""

    def __init__(self) -> None:
        self.found: list[ast.Import | ast.ImportFrom] = []

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found.append(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.found.append(node)


def imported(statement: ast.Import | ast.ImportFrom, modules: set[str]) -> list[tuple[str, str]]:
    """Return the modules of ours that a statement imports, each with the name it asks for."""
    if isinstance(statement, ast.Import):
        return [(name.name, name.name) for name in statement.names if name.name in modules]
    if statement.module not in modules:
        return []
    found = []
    for name in statement.names:
        submodule = f"{statement.module}.{name.name}"
        found.append((submodule if submodule in modules else statement.module, name.name))
    return found


def uses_of_modules() -> Uses:
    """Return which names the modules of gunicorn/ import from each other."""
    paths = {module_name(path): path for path in sorted((ROOT / "gunicorn").rglob("*.py"))}
    uses: Uses = {name: defaultdict(set) for name in paths}
    for module, path in paths.items():
        imports = Imports()
        imports.visit(ast.parse(path.read_text()))
        for statement in imports.found:
            for other, name in imported(statement, set(paths)):
                if other != module:
                    uses[module][other].add(name)
    return uses


def reach(uses: Uses, start: str) -> set[str]:
    """Return all that ``start`` uses, directly or through others."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for other in uses[waiting.pop()]:
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return seen


def circles(uses: Uses) -> list[set[str]]:
    """Return the groups of names in which each uses each other, directly or through others."""
    reached = {name: reach(uses, name) for name in uses}
    groups = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in uses
        if name in reached[name]
    }
    return sorted((set(group) for group in groups), key=min)


def describe_circle(circle: set[str], uses: Uses) -> str:
    """Return the complaint about one circle: who uses whom in it, and by which names."""
    lines = ["a circle of " + ", ".join(sorted(circle))]
    for user in sorted(circle):
        for used in sorted(circle & uses[user].keys()):
            lines.append(f"    {user} -> {used}: " + ", ".join(sorted(uses[user][used])))
    return "\n".join(lines)


def check_circles(graphs: list[Uses]) -> list[str]:
    """Return a complaint for each circle that is not allowed, and for each entry without one."""
    found = [(circle, uses) for uses in graphs for circle in circles(uses)]
    allowed = [set(entry.split()) for entry in ALLOWED]
    complaints = [
        describe_circle(circle, uses)
        for circle, uses in found
        if not any(circle <= files for files in allowed)
    ]
    for files in allowed:
        if not any(circle <= files for circle, _ in found):
            complaints.append(f"ALLOWED: no circle any more: {' '.join(sorted(files))}")
    return complaints


def main() -> int:
    files = sorted(path for path in SRC.rglob("*.[ch]"))
    unknown = {path.relative_to(SRC).parts[0] for path in files} - RANK.keys()
    complaints = [f"src/{name}: no layer has this name" for name in sorted(unknown)]
    for path in files:
        if path.relative_to(SRC).parts[0] in RANK:
            complaints += check_file(path)
    complaints += check_lists()
    graphs = [*map(uses_of_layer, RANK), uses_of_modules()]
    complaints += check_circles(graphs)
    for complaint in complaints:
        print(complaint)
    print(f"layers: {len(files)} files, {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
