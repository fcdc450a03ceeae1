"""docs/settings.md says what the table of settings says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gunicorn._settings import OURS, SECTIONS
from gunicorn.config import Config

ROOT = Path(__file__).resolve().parents[2]
GENERATOR = ROOT / "tools" / "gen_settings.py"
PAGE = ROOT / "docs" / "settings.md"


@pytest.mark.skipif(not GENERATOR.exists(), reason="not a checkout")
def test_page_is_up_to_date():
    result = subprocess.run(
        [sys.executable, str(GENERATOR), "--check"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


OWN = [row for rows in SECTIONS.values() for row in rows if row.since == OURS]


@pytest.mark.skipif(not GENERATOR.exists(), reason="not a checkout")
@pytest.mark.parametrize("name", [row.name for row in OWN])
def test_each_own_setting_has_an_example(name):
    """One that sets it, and is valid."""
    entry = PAGE.read_text().split(f"\n### {name}\n")[1].split("\n### ")[0]
    code = entry.partition("```python\n")[2].partition("```")[0]
    values = {}
    exec(code, values)
    assert name in values
    cfg = Config()
    for key in [row.name for row in OWN if row.name in values]:
        cfg.set(key, values[key])


def test_each_own_number_has_a_unit():
    numbers = {"int", "number", "int, or text with a unit"}
    assert [row.name for row in OWN if row.kind.label in numbers and not row.unit] == []
