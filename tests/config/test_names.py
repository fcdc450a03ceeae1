"""What software of others imports of gunicorn's, name by name."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from config.names import ABSENT, ABSENT_MODULES, IMPORTED, PRESENT

PACKAGES = {"gunicorn.workers.ggevent": "gevent", "gunicorn.workers.gtornado": "tornado"}

# Each module's own public names: not its submodules, nor what it imports.
LIST = """
import importlib, json, pkgutil, gunicorn
names = {}
for found in [None, *pkgutil.walk_packages(gunicorn.__path__, "gunicorn.")]:
    name = "gunicorn" if found is None else found.name
    try:
        module = importlib.import_module(name)
    except (ImportError, RuntimeError):
        continue
    names[name] = [
        key for key, value in vars(module).items()
        if not key.startswith("_") and type(value) is not type(json)
        and getattr(value, "__module__", name) == name
    ]
print(json.dumps(names))
"""


def absent():
    return [
        (module, name)
        for module, reasons in ABSENT.items()
        for names in reasons.values()
        for name in names.split()
    ]


def module_of(name):
    package = PACKAGES.get(name)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    return importlib.import_module(name)


@pytest.mark.parametrize("module", PRESENT)
def test_gunicorns_names_are_importable(module):
    names = f"{PRESENT[module]} {IMPORTED.get(module, '')}".split()
    assert [name for name in names if not hasattr(module_of(module), name)] == []


@pytest.mark.parametrize("module", ABSENT)
def test_what_the_table_says_is_absent_is_absent(module):
    names = [name for place, name in absent() if place == module]
    assert [name for name in names if hasattr(module_of(module), name)] == []


def test_absent_modules_are_absent():
    assert [name for name in ABSENT_MODULES if importlib.util.find_spec(name)] == []


def test_the_table_has_all_names_of_the_original():
    """Where gunicorn is there to compare with: by `make compare`, or $GUNICORN_REFERENCE."""
    home = os.environ.get("GUNICORN_REFERENCE")
    if not home:
        pytest.skip("GUNICORN_REFERENCE names no environment with the original")
    out = subprocess.run(
        [str(Path(home, "bin", "python")), "-c", LIST],
        capture_output=True, text=True, check=True, timeout=120, cwd="/",
    ).stdout  # fmt: skip
    known = {(module, name) for module, names in PRESENT.items() for name in names.split()}
    known |= set(absent())
    unknown = [
        (module, name)
        for module, names in json.loads(out).items()
        if not any(f"{module}.".startswith(f"{gone}.") for gone in ABSENT_MODULES)
        for name in names
        if (module, name) not in known
    ]
    assert unknown == []


def test_a_server_does_not_load_what_is_there_for_others():
    code = (
        "import sys, gunicorn.app.wsgiapp, gunicorn.arbiter, gunicorn.workers.sync\n"
        "print([name for name in sys.modules if name.startswith('gunicorn.http')])"
    )
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    for name in ("parser", "body", "unreader", "_by_hand"):
        assert f"gunicorn.http.{name}'" not in out.stdout
