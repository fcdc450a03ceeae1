"""Configuration files: running them, and finding the line that a complaint is about."""

import os
import sys
import types

from gunicorn import util

MODULE_NAME = "__config__"
MAX_EDITS_PER_LENGTH = ((7, 2), (5, 1))  # a name of 7 letters may have 2 of them wrong


class FileSource:
    """Where a configuration file sets a name; the line is looked up when it is printed."""

    def __init__(self, path, name):
        self.path = path
        self.name = name

    def __str__(self):
        line = find_line(self.path, self.name)
        shown = os.path.relpath(self.path) if os.path.isabs(self.path) else self.path
        if shown.startswith(".."):
            shown = self.path
        return f"{shown}, line {line}" if line else shown


def find_line(path, name):
    """The number of the last line in the Python file `path` that sets `name`, or None."""
    import ast

    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return None
    found = None
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            here = node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            here = node.name
        elif isinstance(node, ast.alias):
            here = node.asname or node.name
        else:
            continue
        if here == name:
            found = max(found or 0, node.lineno)
    return found


def run_file(filename):
    """Run a configuration file and return its names. A broken one ends the process.

    Raises RuntimeError when there is no such file.
    """
    if not os.path.exists(filename):
        raise RuntimeError(f"{filename!r} doesn't exist")
    from importlib import machinery

    if filename.endswith(".pyc"):
        loader = machinery.SourcelessFileLoader(MODULE_NAME, filename)
    else:
        if not filename.endswith(".py"):
            util.warn("configuration file should have a valid Python extension.\n")
        loader = machinery.SourceFileLoader(MODULE_NAME, filename)
    module = types.ModuleType(MODULE_NAME)
    module.__file__ = filename
    module.__loader__ = loader
    module.__spec__ = machinery.ModuleSpec(MODULE_NAME, loader, origin=filename)
    module.__spec__.has_location = True
    sys.modules[MODULE_NAME] = module
    try:
        loader.exec_module(module)
    except Exception as exc:
        import traceback

        if isinstance(exc, OSError) and exc.filename == filename:  # of the file, not in it
            util.say(f"Failed to read config file: {filename}: {exc.strerror}")
        else:
            util.say(f"Failed to read config file: {filename}\n{traceback.format_exc()}".rstrip())
        sys.exit(1)
    return vars(module)


def _plain(name):
    return name.lower().replace("_", "").replace("-", "")


def _edits(a, b, limit):
    """How many letters to add, drop, change or swap to get from `a` to `b`; at most limit + 1."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        above, row = rows[-1], [i]
        for j, y in enumerate(b, 1):
            cost = min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def nearest_setting(name, settings):
    """The setting that `name` was probably meant to be, or None."""
    plain = _plain(name)
    spellings = {}
    for setting in settings.values():
        spellings[_plain(setting.name)] = setting.name
        for flag in setting.cli or ():
            if len(_plain(flag)) >= 7:  # short ones (env, name, pid) are anybody's variables
                spellings.setdefault(_plain(flag), setting.name)
    if plain in spellings:
        return spellings[plain]
    limit = next((edits for length, edits in MAX_EDITS_PER_LENGTH if len(plain) >= length), 0)
    best, best_edits = None, limit + 1
    for spelling, setting_name in spellings.items():
        edits = _edits(plain, spelling, limit)
        if edits < best_edits:
            best, best_edits = setting_name, edits
    return best


def is_users_own(name, value):
    """Whether a name in a configuration file is no attempt to set a setting."""
    return name.startswith("_") or isinstance(value, types.ModuleType) or callable(value)


def warn_of_misspelt(names, settings, path):
    """Say which names of a configuration file look like settings but are none."""
    for name, value in names.items():
        if name in settings or is_users_own(name, value):
            continue
        near = nearest_setting(name, settings)
        if near is not None and near not in names:
            util.say(
                f"Warning: {FileSource(path, name)}: {name!r} is no setting and has no effect; "
                f"did you mean {near!r}?"
            )
