"""Tests of gunicorn's own, of the parts that users extend, run against this server.

They come from its source package and are not kept here.
"""

import os
import subprocess
import sys
import tarfile

import pytest

MODULES = ("util", "logger", "statsd", "systemd", "config", "signal_integration")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gunicorn")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, "-d", str(folder), "gunicorn==27.0.1"], check=True)
    with tarfile.open(folder / "gunicorn-27.0.1.tar.gz") as archive:
        tests = [m for m in archive if m.name.startswith("gunicorn-27.0.1/tests/")]
        archive.extractall(folder, members=tests)
    (folder / "gunicorn-27.0.1/pytest.ini").write_text("[pytest]\n")
    return folder / "gunicorn-27.0.1"


@pytest.mark.parametrize("module", MODULES)
def test_gunicorns_own_tests_pass(source, module):
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, f"tests/test_{module}.py"],
        cwd=source,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
