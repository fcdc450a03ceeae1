"""The request and the response as hooks and loggers use them, with every worker class."""

from __future__ import annotations

import json

CONFIG = """
from hooked import Seeing as logger_class, pre_request, post_request
accesslog = "-"
access_log_format = "%(own)s %(s)s %({x-added}i)s"
"""


def start(gunicorn, tmp_path):
    (tmp_path / "hooks.py").write_text(CONFIG)
    return gunicorn("hooked:kept", "-c", str(tmp_path / "hooks.py"))


def test_objects_are_the_same_in_all_hooks(gunicorn, tmp_path):
    """They take attributes and weak references, and know of each other."""
    server = start(gunicorn, tmp_path)
    assert server.request("GET", "/").status == 200
    seen = json.loads(server.wait_for_log(r"hooks: (.*)$")[1])
    assert [name for name, *_ in seen] == ["pre_request", "access", "post_request"]
    assert len({ids[0] for _, *ids in seen}) == 1
    assert seen[1][2] == seen[2][2]
    assert "1 200 1" in server.stdout


def test_objects_end_with_their_request(gunicorn, tmp_path):
    server = start(gunicorn, tmp_path)
    with server.connect() as connection:
        for n in range(1, 5):
            told = json.loads(connection.request("GET", "/").body)
            assert told == {"requests": 1, "added": str(n)}
