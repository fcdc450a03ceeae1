"""What an application sees of HTTP/2."""

import json
import os
import tempfile

from helpers.gate import pass_gate


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/") or "ok"](environ, start_response)


def answer(start_response, body, *headers):
    start_response("200 OK", [("Content-Length", str(len(body))), *headers])
    return [body]


def ok(environ, start_response):
    return answer(start_response, b"ok")


def pid(environ, start_response):
    return answer(start_response, str(os.getpid()).encode())


def shown(environ, start_response):
    """The environ, as far as it is text or a number."""
    shown = {k: v for k, v in environ.items() if isinstance(v, (str, int))}
    return answer(start_response, json.dumps(shown).encode())


def echo(environ, start_response):
    return answer(start_response, environ["wsgi.input"].read())


def taken(environ, start_response):
    try:
        environ["gunicorn.socket"].sendall(b"raw")
    except OSError as error:
        return answer(start_response, str(error).encode())
    return answer(start_response, b"sent")


def gate(environ, start_response):
    """Wait until the test lets us through."""
    pass_gate(environ["QUERY_STRING"])
    return answer(start_response, b"through")


def big(environ, start_response):
    return answer(start_response, b"x" * int(environ["QUERY_STRING"]))


def items(environ, start_response):
    """Many items, without a length."""
    start_response("200 OK", [("X-Own", "a"), ("Keep-Alive", "1")])
    return (b"%d\n" % i for i in range(1000))


def sent_file(environ, start_response):
    file = tempfile.TemporaryFile()
    file.write(b"y" * 300_000)
    file.seek(100_000)
    start_response("200 OK", [("Content-Length", "200000")])
    return environ["wsgi.file_wrapper"](file)


def nothing(environ, start_response):
    start_response("204 No Content", [])
    return []


def short(environ, start_response):
    start_response("200 OK", [("Content-Length", "100")])
    return [b"short"]


def trailers(environ, start_response):
    environ["gunicorn.http2.send_trailers"]([("X-Sum", "1"), ("X-Other", "2")])
    start_response("200 OK", [])
    return [b"a", b"b"]


def hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a.css>")])
    return answer(start_response, b"ok")


def broken(environ, start_response):
    raise ValueError("on purpose")
