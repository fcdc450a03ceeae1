"""The pages for users of other servers name options that there are."""

import re
from pathlib import Path

import pytest

from gunicorn.config import KNOWN_SETTINGS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ["moving-from-uvicorn.md", "moving-from-uwsgi.md", "moving-from-granian.md"]
FLAGS = {flag for setting in KNOWN_SETTINGS for flag in setting.cli or []}
NAMES = {setting.name for setting in KNOWN_SETTINGS}
OTHER_WORDS = {"uwsgi", "fastcgi", "http", "gthread", "gunicornc"}
ROW = re.compile(r"^\|[^|]*\|([^|]*)\|", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")


def named_here(page):
    """The pieces of code in the second column of the page's tables."""
    return [code for cell in ROW.findall((DOCS / page).read_text()) for code in CODE.findall(cell)]


@pytest.mark.parametrize("page", PAGES)
def test_flags_exist(page):
    flags = {code.split()[0] for code in named_here(page) if code.startswith("-")}
    assert flags <= FLAGS, flags - FLAGS


@pytest.mark.parametrize("page", PAGES)
def test_settings_exist(page):
    names = {match[0] for code in named_here(page) if (match := re.match(r"[a-z_]+(?= =|$)", code))}
    assert names
    assert names <= NAMES | OTHER_WORDS, names - NAMES
