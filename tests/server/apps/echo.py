"""Answers with what it was asked: the environ as JSON, each value with its type, and the body."""

import hashlib
import json

#: RAW_URI of all requests that got here since the worker started, except those of /seen.
seen = []


def describe(value):
    """A value as JSON can carry it."""
    if isinstance(value, (str, int, bool)) or value is None:
        return value
    if isinstance(value, tuple):
        return list(value)
    return repr(value)


def application(environ, start_response):
    if environ["PATH_INFO"] == "/seen":
        payload = json.dumps(seen).encode()
        start_response("200 OK", [("Content-Length", str(len(payload)))])
        return [payload]
    seen.append(environ["RAW_URI"])
    body = environ["wsgi.input"].read()
    payload = json.dumps(
        {
            "environ": {k: [type(v).__name__, describe(v)] for k, v in environ.items()},
            "order": list(environ),
            "body": body[:4096].decode("latin-1"),
            "size": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
    ).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(payload)))]
    start_response("200 OK", headers)
    return [payload]
