"""Dirty applications of the tests, and web applications that call them."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs

from helpers.gate import pass_gate

from gunicorn.dirty import DirtyApp, get_dirty_client, get_dirty_client_async, stash

JOBS = "process.dirty_app:Jobs"


def run_for_ever(begun):
    begun.set()
    while True:
        time.sleep(0.01)  # a signal may come before pause(), which would not return


class Jobs(DirtyApp):
    """What the tests have done."""

    def init(self):
        self.sum = 0

    def add(self, number, *, twice=False):
        self.sum += 2 * number if twice else number
        return self.sum

    def echo(self, value):
        return value

    def size(self, value):
        return len(value)

    def make(self, size):
        return b"x" * size

    def pid(self):
        return os.getpid()

    def thread(self, path):
        pass_gate(path)
        return threading.get_ident()

    def wait(self, path):
        """Return this process when the test has opened the gate."""
        pass_gate(path)
        return os.getpid()

    def environ(self, name):
        return os.environ.get(name)

    def raise_error(self, text):
        raise ValueError(text)

    def raise_exit(self):
        raise SystemExit(9)

    def leave(self, status):
        os._exit(status)

    def kill(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def terminate_a_child(self):
        """Return the status of a process that SIGTERM reaches, as of a pool that is terminated."""
        context = multiprocessing.get_context("fork")
        begun = context.Event()
        child = context.Process(target=run_for_ever, args=(begun,))
        child.start()
        begun.wait()
        child.terminate()
        child.join()
        return child.exitcode

    def sleep(self, seconds):
        time.sleep(seconds)

    def hoard(self, size, seconds):
        """Take memory for good."""
        self.hoarded = b"x" * size
        time.sleep(seconds)
        return os.getpid()

    def strange(self):
        return {1, 2}

    def count(self, number):
        yield from range(number)

    async def count_slowly(self, number):
        for one in range(number):
            await asyncio.sleep(0)
            yield one

    def count_and_fail(self, number):
        yield from range(number)
        raise ValueError("no more")

    def for_ever(self, path):
        """A stream that writes a file when it is closed."""
        try:
            while True:
                yield "x" * 1000
        finally:
            Path(path).write_text("closed")

    def stash(self, table, key, value):
        stash.put(table, key, value)
        assert stash.get(table, key) == value

    def hostile(self, name):
        import attack.hostile_dirty

        return getattr(attack.hostile_dirty, name)()

    def close(self):
        path = os.environ.get("CLOSED_FILE")
        if path:
            with Path(path).open("a") as file:
                file.write(f"{os.getpid()}\n")


class Other(Jobs):
    """Another one."""


class One(Jobs):
    """Wants one worker."""

    workers = 1
    stashes = ("declared",)


class Broken(Jobs):
    """Does not boot while a file is there."""

    def init(self):
        if os.path.exists(os.environ["BROKEN_FILE"]):
            raise RuntimeError("it is broken")


class NoApp:
    """Lacks the methods of an application."""


def query_of(text: str) -> tuple[str, list]:
    fields = {name: values[0] for name, values in parse_qs(text).items()}
    return fields["action"], json.loads(fields.get("args", "[]"))


def wsgi(environ, start_response):
    """Run an action, and answer what it returns."""
    action, args = query_of(environ["QUERY_STRING"])
    result = get_dirty_client().execute(JOBS, action, *args)
    body = json.dumps(result).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    """The same."""
    if scope["type"] != "http":
        return
    action, args = query_of(scope["query_string"].decode())
    client = await get_dirty_client_async()
    result = await client.execute_async(JOBS, action, *args)
    stream = [item async for item in client.stream_async(JOBS, "count", 3)]
    body = json.dumps([result, stream] if action == "add" else result).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
