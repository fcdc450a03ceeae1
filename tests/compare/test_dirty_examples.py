"""The kinds of dirty applications that gunicorn's documentation shows, beside gunicorn."""

from __future__ import annotations

import json

import pytest
from helpers.original import original_gunicorn
from helpers.server import Server, gunicorn_command
from helpers.wire import wait_until

SETTINGS = [
    "-k", "gthread", "--threads", "2", "--dirty-workers", "2", "--no-control-socket",
    *(f"--dirty-app=compare.dirty_examples:{one}" for one in
      ("Model", "Compute", "Stream", "Sessions")),
]  # fmt: skip

#: Calls, in their order; with an answer where ours differs, by docs/differences.md.
CALLS = [
    (("Model", "predict", ["default", [1, 2]], {}, False), None),
    (("Model", "predict", ["default", [1, 2]], {"factor": 3}, False), None),
    (("Model", "predict", ["other", []], {}, False), None),
    (("Model", "_private", [], {}, False), None),
    (("Model", "nothing", [], {}, False), None),
    (("Compute", "sum", [[1, 2.5, 3]], {}, False), None),
    (("Compute", "power", [62], {}, False), None),
    (("Compute", "power", [64], {}, False), "64 bits"),
    (("Compute", "other", [], {}, False), None),
    (("Compute", "sum", [[1, 2]], {}, True), "[3]"),
    (("Stream", "words", ["a b c"], {}, True), None),
    (("Stream", "words", [""], {}, True), None),
    (("Stream", "later", ["a b c"], {}, True), None),
    (("Stream", "words", ["a b c"], {}, False), "returns a stream"),
    (("Sessions", "login", ["ada"], {}, False), None),
    (("Sessions", "user", ["ada"], {}, False), None),
    (("Sessions", "user", ["bob"], {}, False), '"nobody"'),
    (("Sessions", "names", [], {}, False), None),
    (("Sessions", "tables", [], {}, False), '["cache", "sessions"]'),
    (("Sessions", "as_dict", [], {}, False), None),
    (("Missing", "x", [], {}, False), "DirtyAppNotFoundError"),
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The original, and ours."""
    servers = []
    for command in (original_gunicorn(), gunicorn_command()):
        home = tmp_path_factory.mktemp("dirty")
        one = Server(
            [*SETTINGS, "compare.dirty_examples:app"], home, command=command, expect_trouble=True
        )
        servers.append(one.start())
    for one in servers:
        wait_until(
            lambda one=one: one.log.count("Initialized dirty app") == 7,
            lambda one=one: f"two workers have booted\n{one.log}",
        )
    yield servers
    for one in servers:
        one.stop()


def answer(server, call) -> str:
    response = server.request("POST", body=json.dumps(call).encode())
    assert response.status == 200, server.log
    return response.body.decode()


@pytest.mark.parametrize("call,differs", CALLS, ids=lambda one: str(one)[:50])
def test_a_call_has_the_same_answer(pair, call, differs):
    theirs, ours = (answer(server, call) for server in pair)
    if differs is None:
        assert ours == theirs
    else:
        assert differs in ours
        assert differs not in theirs
