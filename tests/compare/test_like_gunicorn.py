"""The life of a server beside gunicorn's: exit codes, answers and what the log says.

`make compare` runs this. Each scenario is played with the original and with ours; the transcripts
are equal but for what DIFFERENCES lists, which is what docs/differences.md tells users.
"""

from __future__ import annotations

import difflib
import re

import pytest
from compare import asgi, setups  # noqa: F401
from compare.differences import DIFFERENCES
from compare.scenarios import SCENARIOS, Stage
from helpers.original import original_gunicorn
from helpers.server import gunicorn_command

#: Scenarios in which something goes on until the scenario ends it: how often is luck.
REPEATING = {"exit_while_imported", "recycling_with_jitter"}

#: What a line of the log begins with.
STAMP = r"\[\d{4}-\d\d-\d\d [\d:]+ [+-]\d{4}\] \[\d+\] "

#: What differs from run to run, and what it becomes.
VOLATILE = [
    (re.compile("^" + STAMP), ""),
    (re.compile(r"(127\.0\.0\.1|0\.0\.0\.0|\[::1\]):\d+|\('127\.0\.0\.1', \d+\)"), "ADDRESS"),
    (re.compile(r"\[\d\d/\w+/\d{4}:[\d:]+ [+-]\d{4}\]"), "[TIME]"),
    (re.compile(r"(pid: ?|PID |\(pid:)\d+"), r"\1N"),
    (re.compile(r" \(\d+\)$"), " (N)"),
    (re.compile(r"/\S*/(gunicorn\.conf\.py)"), r"\1"),
    (re.compile(r" at 0x[0-9a-f]+"), ""),
    (re.compile(r"after [\d.]+ ?s|[\d.]+ seconds"), "some time"),
]


#: Lines of tracebacks and of stacks: they name files and lines of the server's own. A stack that a
#: signal's handler writes comes in pieces, and another process's line may stand amid one of it.
STACK = re.compile(
    r"\s|\[?Traceback|During handling|The above exception|Current thread|Thread 0x|$"
    r"|\S*,? ?(line )?\d+ in [\w<>]+$|\S* ?\S*\(most recent call first\):$"
)


def plain(line: str) -> str:
    for pattern, text in VOLATILE:
        line = pattern.sub(text, line)
    return line


def lines_of(text: str) -> list[str]:
    text = re.sub(f"(?<!\n)(?={STAMP})", "\n", text)
    return [plain(line) for line in text.splitlines() if not STACK.match(line)]


def transcript(command, name, directory) -> list[str]:
    directory.mkdir()
    stage = Stage(command, directory)
    try:
        SCENARIOS[name](stage)
    finally:
        stage.clear()
    # Two processes write: who was first is luck.
    said = sorted(lines_of(stage.log))
    if name in REPEATING:
        said = sorted(set(said))
    answers = [f"answer {plain(answer)}" for answer in stage.answers]
    return [f"exit code {stage.exit_code}", *answers, *said]


@pytest.mark.parametrize("name", SCENARIOS)
def test_like_gunicorn(name, tmp_path):
    theirs = transcript(original_gunicorn(), name, tmp_path / "gunicorn")
    ours = transcript(gunicorn_command(), name, tmp_path / "monoceros")
    changes = [line for line in difflib.ndiff(theirs, ours) if line[0] in "+-"]
    unknown = [line for line in changes if not any(d.covers(name, line) for d in DIFFERENCES)]
    assert not unknown, "\n".join(unknown)
