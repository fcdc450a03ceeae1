"""An application and the server, both watched by wsgiref.validate."""

from wsgiref.validate import validator


def plain(environ, start_response):
    body = environ["wsgi.input"].read(10)
    environ["wsgi.input"].readline(100)
    environ["wsgi.input"].readlines(100)
    for _ in environ["wsgi.input"]:
        pass
    environ["wsgi.errors"].write("")
    environ["wsgi.errors"].flush()
    # The validator takes an answer to HEAD for one that may have no Content-Type.
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"read ", str(len(body)).encode()]


application = validator(plain)
