"""A headless Chromium, steered by its DevTools protocol over WebSocket."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from helpers.wire import wait_until

PROGRAM = "chromium-headless-shell"
LISTENING = re.compile(r"DevTools listening on (ws://\S+)")
LARGEST_ANSWER = 1 << 24  # bytes


class Browser:
    """A running browser: opens pages."""

    def __init__(self, connection: ClientConnection):
        self.connection = connection
        self.numbers = itertools.count(1)

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result; events are passed over."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        self.connection.send(json.dumps(message))
        while True:
            answer = json.loads(self.connection.recv(timeout=60))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url: str) -> Page:
        """Open a page in a tab of its own."""
        target = self.call("Target.createTarget", url=url)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session)


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str):
        self.browser = browser
        self.session = session

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        result = self.browser.call(
            "Runtime.evaluate",
            self.session,
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, expression: str, what: str) -> Any:
        """Wait until an expression is true, and return its value."""
        return wait_until(lambda: self.evaluate(expression), what)


@contextmanager
def browsing(directory: Path, *arguments: str) -> Iterator[Browser]:
    """Start a browser whose profile and log are in `directory`."""
    log = directory / "browser.log"
    command = [
        PROGRAM,
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--remote-debugging-port=0",
        f"--user-data-dir={directory / 'profile'}",
        *arguments,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        found = wait_until(lambda: LISTENING.search(log.read_text()), "the browser")
        with connect(found[1], max_size=LARGEST_ANSWER, proxy=None) as connection:
            yield Browser(connection)
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # the program is a script, and has children
        process.wait()
