"""The example of WebSockets, as `make run APP=chat` starts it, in a browser."""

import signal
from pathlib import Path

import pytest
from helpers.browser import browsing
from helpers.server import Server
from helpers.wire import wait_until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "chat"
CONNECTED = "element('state').textContent.startsWith('connected')"
MESSAGES = "[...document.querySelectorAll('#messages li')].map(line => line.textContent)"
WORKER = r"Number(/worker (\d+)/.exec(element('state').textContent)[1])"


@pytest.fixture
def chat(tmp_path):
    arguments = ["-c", str(EXAMPLE / "gunicorn.conf.py"), "--chdir", str(EXAMPLE), "chat:app"]
    server = Server(arguments, tmp_path, env={"TMPDIR": str(tmp_path)})
    try:
        yield server.start(2)
    finally:
        problems = server.close()
    assert problems == []
    assert list(tmp_path.glob("monoceros-chat-*")) == []


def say(page, text):
    page.evaluate(f"element('text').value = '{text}'; element('form').requestSubmit()")


def test_a_message_reaches_the_clients_of_all_workers_also_after_a_reload(chat, tmp_path):
    with browsing(tmp_path) as browser:
        pages = [browser.open(f"http://127.0.0.1:{chat.address[1]}/") for _ in range(4)]
        for page in pages:
            page.wait_for(f"typeof element === 'function' && {CONNECTED}", "a WebSocket")
        say(pages[0], "good morning")
        for page in pages:
            page.wait_for(f"{MESSAGES}.some(text => text.includes('good morning'))", "the message")
        before = set(chat.worker_pids())
        for pid in before:
            pages[0].wait_for(f"element('workers').textContent.includes('{pid}')", "the table")

        chat.kill(signal.SIGHUP)
        wait_until(
            lambda: len(chat.ready_pids()) == 2 and not before & set(chat.ready_pids()), "new"
        )
        for page in pages:
            page.wait_for(
                f"{CONNECTED} && ![{','.join(map(str, before))}].includes({WORKER})", "1012"
            )
        say(pages[1], "good evening")
        for page in pages:
            page.wait_for(f"{MESSAGES}.some(text => text.includes('good evening'))", "the message")
