"""The Server field, as people hide or change it: read once, when the worker starts."""

from __future__ import annotations

import json

import pytest
from helpers.server import Server

SUBCLASS = """
from gunicorn.http import wsgi

class Own(wsgi.Response):
    def default_headers(self, *args, **kwargs):
        lines = super().default_headers(*args, **kwargs)
        return {lines}

wsgi.Response = Own
"""

#: The configuration, the Server fields of an answer, and what else of it is the server's own.
WAYS = {
    "nothing": ("", ["gunicorn"], []),
    "name": ("import gunicorn\ngunicorn.SERVER = 'mine/1'", ["mine/1"], []),
    "empty": ("import gunicorn\ngunicorn.SERVER = ''", [""], []),
    "module": ("from gunicorn.http import wsgi\nwsgi.SERVER = 'mine'", ["mine"], []),
    "hidden": (SUBCLASS.format(lines="[x for x in lines if not x.startswith('Server:')]"), [], []),
    "changed": (
        SUBCLASS.format(lines="[x.replace('gunicorn', 'mine') for x in lines]"),
        ["mine"],
        [],
    ),
    "added": (
        SUBCLASS.format(lines="[*lines, 'X-Frame-Options: DENY\\r\\nX-Own: a b\\r\\n']"),
        ["gunicorn"],
        [("X-Frame-Options", "DENY"), ("X-Own", "a b")],
    ),
    "long": (
        SUBCLASS.format(lines="[*lines, 'X-Own: ' + 4000 * 'a' + '\\r\\n']"),
        ["gunicorn"],
        None,
    ),
    "version": (
        "from gunicorn.http import wsgi\n"
        "class Own(wsgi.Response):\n"
        "    def __init__(self, *args):\n"
        "        super().__init__(*args)\n"
        "        self.version = 'mine'\n"
        "wsgi.Response = Own\n",
        ["mine"],
        [],
    ),
    "patched": (
        "from gunicorn.http import wsgi\n"
        "def own(self):\n"
        "    return ['HTTP/1.1 %s\\r\\n' % self.status, 'Connection: close\\r\\n']\n"
        "wsgi.Response.default_headers = own\n",
        [],
        [],
    ),
    "when-it-serves": (
        "def post_worker_init(worker):\n    import gunicorn\n    gunicorn.SERVER = 'late'\n",
        ["late"],
        [],
    ),
}
KNOWN = ("Server", "Date", "Connection", "Content-Type", "Content-Length")


def start(tmp_path, config, *args, **options):
    (tmp_path / "gunicorn.conf.py").write_text(config)
    return Server([*args, "echo"], tmp_path, **options).start()


def close(server):
    problems = server.close()
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("way", WAYS)
def test_server_field(way, tmp_path):
    config, server_fields, others = WAYS[way]
    server = start(tmp_path, config)
    with server.connect() as connection:
        for _ in range(2):
            response = connection.request("GET", "/")
            assert response.all("Server") == server_fields
            assert len(response.all("Date")) == 1
            own = [pair for pair in response.headers if pair[0] not in KNOWN]
            assert others is None or own == others
    # The engine's refusals have no Server field, as gunicorn's have none.
    assert server.raw(b"G\0T / HTTP/1.1\r\n\r\n").all("Server") == []
    close(server)


@pytest.mark.parametrize(
    "config",
    [
        "import gunicorn\ngunicorn.SERVER_SOFTWARE = 'mine'",
        "from gunicorn.http import wsgi\nwsgi.SERVER_SOFTWARE = 'mine'",
    ],
)
def test_server_software(config, tmp_path):
    server = start(tmp_path, config)
    response = server.request("GET", "/")
    assert response.header("Server") == "gunicorn"
    assert json.loads(response.body)["environ"]["SERVER_SOFTWARE"] == ["str", "mine"]
    close(server)


BAD = ["no field", "X-Own: a\\0b\\r\\n", "X Y: a\\r\\n", "X-Own: \\u20ac", "X: " + 5000 * "a"]


@pytest.mark.parametrize("line", BAD, ids=["colon", "nul", "name", "latin", "long"])
def test_a_line_that_is_no_field_is_left_out(line, tmp_path):
    server = start(tmp_path, SUBCLASS.format(lines=f"[*lines, '{line}']"), expect_trouble=True)
    response = server.request("GET", "/")
    assert response.all("Server") == ["gunicorn"]
    assert {name for name, _ in response.headers} == set(KNOWN)
    server.wait_for_log("is left out of the answers")
    close(server)


def test_default_headers_that_fails(tmp_path):
    server = start(tmp_path, SUBCLASS.format(lines="lines[10]"), expect_trouble=True)
    assert server.request("GET", "/").all("Server") == ["gunicorn"]
    server.wait_for_log(r"default_headers\(\) failed and changes nothing\nTraceback")
    close(server)


def test_methods_that_nothing_calls(tmp_path):
    config = SUBCLASS.format(lines="lines").replace(
        "class Own(wsgi.Response):",
        "class Own(wsgi.Response):\n    def start_response(self, *args):\n        raise KeyError\n",
    )
    server = start(tmp_path, config)
    server.wait_for_log(r"Own has start_response\(\), which nothing calls")
    assert server.request("GET", "/").status == 200
    close(server)
