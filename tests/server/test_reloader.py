"""`reload`: workers that serve the code as it is saved, however it is saved."""

import os

import pytest
from helpers.wire import wait_until

RELOAD_TIMEOUT = 20  # seconds

APP = """
import helper

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", str(len(helper.ANSWER)))])
    return [helper.ANSWER]
"""


@pytest.fixture(params=["poll", "inotify"])
def site(request, gunicorn, tmp_path):
    """site(*args): a server of a directory with an application that is reloaded."""
    (tmp_path / "site_app.py").write_text(APP)
    (tmp_path / "helper.py").write_text("ANSWER = b'one'\n")

    def start(*args):
        engine = ["--reload", "--reload-engine", request.param]
        return gunicorn("site_app", *engine, *args, cwd=tmp_path, expect_trouble=True)

    return start


def answers(server):
    """The status and the body of an answer, None while a worker is being replaced."""
    try:
        response = server.request()
    except (AssertionError, OSError):
        return None
    return response.status, response.body


def wait_for(server, status, text):
    def served():
        answer = answers(server)
        return answer and answer[0] == status and text in answer[1]

    wait_until(served, f"{status} with {text!r}:\n{server.log[-2000:]}", RELOAD_TIMEOUT)


def test_edited(site, tmp_path):
    server = site()
    wait_for(server, 200, b"one")
    (tmp_path / "helper.py").write_text("ANSWER = b'edited'\n")
    wait_for(server, 200, b"edited")
    server.wait_for_log(r"Worker reloading: \S*helper\.py modified")


def test_replaced_by_rename(site, tmp_path):
    server = site()
    wait_for(server, 200, b"one")
    for number in range(2):
        new = tmp_path / "helper.py.new"
        new.write_text(f"ANSWER = b'renamed {number}'\n")
        os.rename(new, tmp_path / "helper.py")
        wait_for(server, 200, b"renamed %d" % number)


def test_syntax_error_is_shown_and_mended(site, tmp_path):
    server = site()
    wait_for(server, 200, b"one")
    (tmp_path / "helper.py").write_text("ANSWER = = b'broken'\n")
    wait_for(server, 500, b"SyntaxError")
    (tmp_path / "helper.py").write_text("ANSWER = b'mended'\n")
    wait_for(server, 200, b"mended")


def test_new_module(site, tmp_path):
    server = site()
    wait_for(server, 200, b"one")
    (tmp_path / "fresh.py").write_text("WORD = b'fresh'\n")
    (tmp_path / "helper.py").write_text("import fresh\nANSWER = fresh.WORD\n")
    wait_for(server, 200, b"fresh")
    (tmp_path / "fresh.py").write_text("WORD = b'fresher still'\n")
    wait_for(server, 200, b"fresher still")


def test_extra_files(site, tmp_path):
    (tmp_path / "data.txt").write_text("first")
    (tmp_path / "helper.py").write_text("ANSWER = open('data.txt', 'rb').read()\n")
    server = site("--reload-extra-file", "*.txt")
    wait_for(server, 200, b"first")
    (tmp_path / "data.txt").write_text("second")
    wait_for(server, 200, b"second")
