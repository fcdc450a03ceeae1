"""Reads wsgi.input by the operations in the query: ?read:5,readline,readlines,iter,next"""

import hashlib
import json


def perform(stream, operation):
    name, _, argument = operation.partition(":")
    arguments = [None if argument == "None" else int(argument)] if argument else []
    if name == "iter":
        return list(stream)
    if name == "next":
        return next(stream)
    if name == "digest":
        return digest(stream, *arguments)
    return getattr(stream, name)(*arguments)


def digest(stream, step):
    """Everything by pieces, as the size and the hash."""
    total, checksum = 0, hashlib.sha256()
    while piece := stream.read(step):
        assert len(piece) <= step
        total += len(piece)
        checksum.update(piece)
    return f"{total} {checksum.hexdigest()}".encode()


def plain(value):
    """What JSON can carry."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, list):
        return [plain(item) for item in value]
    return repr(value)


def application(environ, start_response):
    results = []
    for operation in filter(None, environ["QUERY_STRING"].split(",")):
        try:
            results.append(plain(perform(environ["wsgi.input"], operation)))
        except Exception as e:
            results.append({"raised": type(e).__name__})
    payload = json.dumps(results).encode()
    start_response("200 OK", [("Content-Length", str(len(payload)))])
    return [payload]
