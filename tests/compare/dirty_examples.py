"""Dirty applications of the kinds that gunicorn's documentation shows, and a web application."""

from __future__ import annotations

import json

from gunicorn.dirty import DirtyApp, DirtyError, get_dirty_client, stash


class Model(DirtyApp):
    """Keeps what it has loaded."""

    def __init__(self):
        self.models = {}

    def init(self):
        self.models["default"] = "base"

    def predict(self, name, values, *, factor=2):
        if name not in self.models:
            raise ValueError(f"no model {name}")
        return {"values": [factor * value for value in values], "model": self.models[name]}


class Compute(DirtyApp):
    """Dispatches by itself."""

    def __call__(self, action, *args, **kwargs):
        if action == "sum":
            return sum(args[0])
        if action == "power":
            return 2 ** args[0]
        raise ValueError(f"Unknown action: {action}")


class Stream(DirtyApp):
    """Streams."""

    def words(self, text):
        yield from text.split()

    async def later(self, text):
        for word in text.split():
            yield word


class Sessions(DirtyApp):
    """Uses the stash."""

    stashes = ("sessions", "cache")
    workers = 1

    def login(self, name):
        stash.put("sessions", f"user:{name}", {"name": name})

    def user(self, name):
        return stash.get("sessions", f"user:{name}", "nobody")

    def names(self):
        return stash.keys("sessions", pattern="user:*")

    def tables(self):
        return sorted(stash.tables())

    def as_dict(self):
        table = stash.table("sessions")
        table["a"] = 1
        found = [table["a"], "a" in table, len(table) > 0]
        del table["a"]
        return [*found, "a" in table]


def app(environ, start_response):
    """Run the call of the body: class, action, arguments, keywords, and whether it streams."""
    name, action, args, kwargs, streams = json.loads(environ["wsgi.input"].read())
    client = get_dirty_client()
    path = f"compare.dirty_examples:{name}"
    try:
        if streams:
            result = list(client.stream(path, action, *args, **kwargs))
        else:
            result = client.execute(path, action, *args, **kwargs)
    except DirtyError as exc:
        result = {"error": type(exc).__name__, "message": exc.message}
    body = json.dumps(result).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
