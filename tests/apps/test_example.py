"""The example application, as `make run` starts it: what its page asks for."""

import re
from pathlib import Path

import pytest
from helpers.server import Server
from helpers.wire import wait_until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "hello"


@pytest.fixture
def example(tmp_path):
    arguments = ["-c", str(EXAMPLE / "gunicorn.conf.py"), "--chdir", str(EXAMPLE), "hello:app"]
    server = Server(arguments, tmp_path, expect_trouble=True)
    try:
        yield server.start(2)
    finally:
        problems = server.close()
    assert problems == []


def test_each_question_of_the_page_has_an_answer(example):
    page = example.request().body.decode()
    asked = set(re.findall(r'(?:data-path="|ask\([`"]|fetch\(")(/\w+)', page))
    failing = {"/error", "/crash"}
    assert asked == failing | {"/who", "/slow", "/stream", "/upload", "/numbers", "/environ"}
    for path in asked - failing:
        assert example.request(target=f"{path}?seconds=0").status == 200, path
    assert example.request(target="/nowhere").status == 404


def test_numbers_come_from_the_status_port(example):
    pids = {worker["pid"] for worker in example.json(target="/numbers")["workers"]}
    assert pids == set(example.worker_pids())


def test_an_upload_is_counted(example):
    assert example.json("POST", "/upload", body=b"x" * 2_000_000)["bytes"] == 2_000_000


def test_a_crash_costs_one_worker(example):
    killed = re.search(rb"Worker (\d+) kills itself", example.cut("/crash"))
    example.wait_for_log(rf"\(pid:{killed[1].decode()}\) was sent SIGKILL! .* GET /crash")
    pids = wait_until(
        lambda: len(example.ready_pids()) == 2 and example.ready_pids(), "two workers"
    )
    assert int(killed[1]) not in pids


def test_the_terminal_shows_what_was_asked_for(example):
    for path in ("/numbers", "/error", "/who"):
        example.request(target=path)
    wait_until(lambda: "/who" in example.stdout, "the line of the last request")
    assert '"GET /error HTTP/1.1" 500 ' in example.stdout
    assert "/numbers" not in example.stdout
