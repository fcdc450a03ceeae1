"""Which attributes of gunicorn's objects ours have: all but those in the table, and why not."""

from __future__ import annotations

import json

import pytest
from helpers.original import original_gunicorn, skip_without
from helpers.server import Server, gunicorn_command
from helpers.wire import wait_until

READING = "the engine has read and checked the request"
SENDING = "the engine makes and sends the answer"

MISSING = {
    "request": {
        "_apply_header_policy": READING,
        "_fast_limit_request_line": READING,
        "_handle_proxy_protocol": READING,
        "_parse_fast": READING,
        "_parse_proxy_protocol_v1": READING,
        "_parse_proxy_protocol_v2": READING,
        "_parse_python": READING,
        "_peer_is_trusted_proxy": READING,
        "_peer_trusted_for_forwarded": READING,
        "_policy_expect_continue": READING,
        "_use_fast": READING,
        "get_data": READING,
        "parse": READING,
        "parse_headers": READING,
        "parse_request_line": READING,
        "proxy_protocol_access_check": READING,
        "read_bytes": READING,
        "read_into": READING,
        "read_line": READING,
        "set_body_reader": READING,
    },
    "unreader": {"max_body_chunk": READING},
    "response": {
        "_emit_body": SENDING,
        "_omits_body": SENDING,
        "_omits_body_warned": SENDING,
        "_response_forbids_content_length": SENDING,
        "_response_omits_body": SENDING,
        "close": SENDING,
        "process_headers": SENDING,
        "send_headers": SENDING,
        "sendfile": SENDING,
        "start_response": SENDING,
        "write": SENDING,
        "write_file": SENDING,
    },
    "connection": {},
}

CONFIG = """\
from compare.objects import pre_request, post_request, seeing_class
worker_class = seeing_class({kind!r})
"""


def seen(kind, home, command, wanted=None):
    """The attributes that hooks see, by object."""
    home.mkdir()
    (home / "gunicorn.conf.py").write_text(CONFIG.format(kind=kind))
    if wanted:
        (home / "wanted.json").write_text(json.dumps(wanted))
    server = Server(["compare.objects:app"], home, command=command).start()
    try:
        assert server.request("GET", "/").status == 200
        wait_until((home / "names.json").exists, "the hooks have run")
        return json.loads((home / "names.json").read_text())
    finally:
        problems = server.close()
        assert not problems, "\n".join(problems)


@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
def test_attributes(kind, tmp_path):
    skip_without(kind)
    wanted = seen(kind, tmp_path / "theirs", original_gunicorn())
    ours = seen(kind, tmp_path / "ours", gunicorn_command(), wanted)
    missing = {one: sorted(set(wanted[one]) - set(ours[one])) for one in wanted}
    assert missing == {one: sorted(MISSING[one]) for one in wanted}
