"""The wheel, built from these sources, and empty environments to install it in.

Other packages are downloaded once, from the index that pip is configured for; after that
nothing needs a network.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging_tools import ROOT, Environment, PipEnvironment, UvEnvironment, clean_environ, run

#: What uvicorn-worker needs, and the original: a resolver that wants it finds it.
DOWNLOADS = ("uvicorn-worker", "uvicorn", "h11", "click", "typing_extensions", "gunicorn==27.0.1")

#: A package that requires gunicorn as mlflow does.
NEEDS_GUNICORN = """\
[build-system]
requires = ["meson-python"]
build-backend = "mesonpy"

[project]
name = "needs-gunicorn"
version = "1.0"
dependencies = ["gunicorn>=20"]
"""
NEEDS_GUNICORN_MESON = """\
project('needs-gunicorn', version: '1.0')
import('python').find_installation(pure: true).install_sources('needs_gunicorn.py')
"""


def _build(source: Path, build: Path, target: Path) -> Path:
    """Build the wheel of `source` with what the environment of the tests has."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    build.parent.mkdir(parents=True, exist_ok=True)
    with open(build.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(
            *(sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps"),
            *(f"--config-settings=build-dir={build}", "-w", target, source),
            env={"PATH": path},
        )
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel of these sources; GUNICORN_WHEEL names one that is there already."""
    if "GUNICORN_WHEEL" in os.environ:
        return Path(os.environ["GUNICORN_WHEEL"]).resolve()
    if not (ROOT / "meson.build").exists():
        pytest.skip("the sources are not here")
    version = "{}.{}".format(*sys.version_info)
    return _build(ROOT, ROOT / "build" / f"packaging-{version}", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def packages(tmp_path_factory) -> Path:
    """A directory of wheels, the only place that installations here look at.

    It is filled once for all processes of a test run.
    """
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "packages"
    with open(directory.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists():
            draft = tmp_path_factory.mktemp("draft")
            _fill(draft, tmp_path_factory)
            draft.rename(directory)
    return directory


def _fill(directory: Path, tmp_path_factory) -> None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--retries", "1"]
            + ["-d", str(directory), *DOWNLOADS],
            env=clean_environ(),
            capture_output=True,
            text=True,
            timeout=120,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("no package index: it does not answer in time")
    if done.returncode:
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    source = tmp_path_factory.mktemp("needs-gunicorn")
    (source / "pyproject.toml").write_text(NEEDS_GUNICORN)
    (source / "meson.build").write_text(NEEDS_GUNICORN_MESON)
    (source / "needs_gunicorn.py").write_text("from gunicorn.app.base import BaseApplication\n")
    shutil.copy(_build(source, source / "build", tmp_path_factory.mktemp("built")), directory)


@pytest.fixture(params=["pip", "uv"])
def environment(request, tmp_path, packages) -> Environment:
    """An empty virtual environment, managed by pip or uv."""
    kind = {"pip": PipEnvironment, "uv": UvEnvironment}[request.param]
    return kind(tmp_path / "venv", packages)
