"""docs/settings.md says what the table of settings says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GENERATOR = Path(__file__).resolve().parents[2] / "tools" / "gen_settings.py"


@pytest.mark.skipif(not GENERATOR.exists(), reason="not a checkout")
def test_page_is_up_to_date():
    result = subprocess.run(
        [sys.executable, str(GENERATOR), "--check"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
