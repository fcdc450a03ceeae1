"""A small application to try the server with: ``gunicorn --chdir examples/hello hello:app``."""

import html
import os
import time
from urllib.parse import parse_qs

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<h1>{title}</h1>
{body}
"""

HOME = """<p>Answered by worker {pid} of {server}.</p>
<ul>
<li><a href="/slow?seconds=3">A slow request</a>: sleeps, then answers
<li><a href="/stream">A stream</a>: ten lines, one each half second
</ul>
<form action="/upload" method="post" enctype="multipart/form-data">
<p>An upload: <input type="file" name="file"> <button>Send</button>
</form>
<h2>The environ</h2>
<table>
{environ}
</table>
"""

UPLOAD_BLOCK = 65536
LONGEST_SLEEP = 30.0


def page(start_response, title, body, status="200 OK"):
    """Answer with one HTML page."""
    content = PAGE.format(title=html.escape(title), body=body).encode()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(content))),
    ]
    start_response(status, headers)
    return [content]


def home(environ, start_response):
    rows = "\n".join(
        f"<tr><th align=left>{html.escape(key)}<td>{html.escape(repr(value))}"
        for key, value in sorted(environ.items())
    )
    server = html.escape(environ["SERVER_SOFTWARE"])
    body = HOME.format(pid=os.getpid(), server=server, environ=rows)
    return page(start_response, "It works", body)


def slow(environ, start_response):
    query = parse_qs(environ.get("QUERY_STRING", ""))
    try:
        seconds = min(max(0.0, float(query["seconds"][0])), LONGEST_SLEEP)
    except (KeyError, ValueError):
        seconds = 1.0
    time.sleep(seconds)
    return page(start_response, "Slow", f"<p>Worker {os.getpid()} slept {seconds:g} s.</p>")


def upload(environ, start_response):
    size = 0
    while block := environ["wsgi.input"].read(UPLOAD_BLOCK):
        size += len(block)
    return page(start_response, "Upload", f"<p>{size} bytes came, form fields included.</p>")


def stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    for number in range(1, 11):
        yield f"line {number} of 10 from worker {os.getpid()}\n".encode()
        time.sleep(0.5)


ROUTES = {"/": home, "/slow": slow, "/upload": upload, "/stream": stream}


def app(environ, start_response):
    """Route by the path alone."""
    handler = ROUTES.get(environ["PATH_INFO"])
    if handler is None:
        return page(start_response, "Not found", "<p>There is no such page.</p>", "404 Not Found")
    return handler(environ, start_response)
