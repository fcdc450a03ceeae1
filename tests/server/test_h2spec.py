"""h2spec, which checks a server's HTTP/2 frame by frame, over TLS and in clear text."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.server import SANITIZED

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "h2spec"


@pytest.mark.skipif(
    not shutil.which("h2spec", path=f"{BUILT}:{os.environ['PATH']}"),
    reason="make h2spec builds it, where Go is at hand",
)
@pytest.mark.skipif(SANITIZED, reason="the command would be sanitized, too")
def test_h2spec(worker):
    command = [sys.executable, str(ROOT / "tools" / "h2spec.py"), str(BUILT), worker]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
