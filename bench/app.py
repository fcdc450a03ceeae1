"""The WSGI application that every Python server runs in the benchmark."""

import os

HELLO = b"Hello, world!"
MEBIBYTE = bytes(1024 * 1024)
BLOCK = bytes(65536)
BLOCKS = 16
FILE = os.environ.get("BENCH_FILE", __file__)


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [HELLO]


def echo(environ, start_response):
    length = environ["CONTENT_LENGTH"]
    body = environ["wsgi.input"].read(int(length))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", length)])
    return [body]


def whole(environ, start_response):
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", "1048576")]
    start_response("200 OK", headers)
    return [MEBIBYTE]


def generated(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for _ in range(BLOCKS):
        yield BLOCK


def file(environ, start_response):
    stream = open(FILE, "rb")  # noqa: SIM115 -- the server closes it
    size = os.fstat(stream.fileno()).st_size
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))]
    start_response("200 OK", headers)
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(stream, 65536) if wrapper else iter(lambda: stream.read(65536), b"")


ROUTES = {"/hello": hello, "/echo": echo, "/bytes": whole, "/gen": generated, "/file": file}


def app(environ, start_response):
    return ROUTES[environ["PATH_INFO"]](environ, start_response)
