"""An application whose answers the log has to tell about."""

import logging
import os
import sys
from wsgiref.util import FileWrapper

BODY = b"0123456789"


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/") or "ok"](environ, start_response)


def ok(environ, start_response):
    headers = [("Content-Type", "text/plain"), ("Content-Length", "10"), ("X-Cost", 'a "b"')]
    start_response("200 OK", headers)
    return [BODY]


def chunked(environ, start_response):
    start_response("201 Created", [("Content-Type", "text/plain")])
    return iter([BODY, BODY])


def nothing(environ, start_response):
    start_response("204 No Content", [])
    return []


def sent_file(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return environ["wsgi.file_wrapper"](open(environ["HTTP_X_FILE"], "rb"))


def other_wrapper(environ, start_response):
    size = os.path.getsize(environ["HTTP_X_FILE"])
    start_response("200 OK", [("Content-Length", str(size))])
    return FileWrapper(open(environ["HTTP_X_FILE"], "rb"))


def fails(environ, start_response):
    raise ValueError("as it has to")


def begins_and_fails(environ, start_response):
    start_response("201 Created", [("X-Cost", "1")])
    raise ValueError("as it has to")


def printed(environ, start_response):
    print("to the output", flush=True)
    print("to the error", file=sys.stderr, flush=True)
    environ["wsgi.errors"].write("to wsgi.errors\n")
    logging.getLogger("shop").warning("to a logger")
    return ok(environ, start_response)
