"""Whatever a setting is given is accepted, or refused by a line that names the setting.

`make fuzz` goes on for longer.
"""

import sys

import pytest
from helpers import settings_at_random
from helpers.settings_at_random import CHECKS, NAMES, WRONG
from hypothesis import HealthCheck, settings

from gunicorn import util
from gunicorn.errors import AppImportError


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_at_random(check):
    short = settings(
        max_examples=50,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    short(check)()


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_each_setting(value):
    check = settings_at_random.a_value.hypothesis.inner_test
    for name in NAMES:
        check(name, value)


@pytest.mark.parametrize(
    "reference",
    ["", ":app", ".app", ".:app", "a\0b:app"],
)
def test_what_is_no_module(reference):
    with pytest.raises(AppImportError, match="is no module"):
        util.import_app(reference)


@pytest.mark.parametrize(
    "call",
    ["factory({[]: 1})", "factory('\0')", "factory(\ud800)", "factory(" + "[" * 5000, "-" * 9999],
    ids=["unhashable", "nul", "surrogate", "deep", "minus"],
)
def test_what_is_no_call(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "target_of_settings", settings_at_random.TARGET)
    with pytest.raises(AppImportError, match="Failed to parse"):
        util.import_app(f"target_of_settings:{call}")
