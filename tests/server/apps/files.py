"""Answers with files through wsgi.file_wrapper. X-File names the file; the path says how."""

import io
import json
import os
import tempfile

#: close() calls of the files handed out.
closed = []


class Counting:
    """A file whose close() is counted."""

    def __init__(self, file, name):
        self.file, self.name = file, name

    def read(self, size):
        return self.file.read(size)

    def fileno(self):
        return self.file.fileno()

    def close(self):
        closed.append(self.name)
        self.file.close()


class OnlyRead:
    def __init__(self, data):
        self.stream = io.BytesIO(data)

    def read(self, size):
        return self.stream.read(size)


class BadFileno(OnlyRead):
    def fileno(self):
        raise io.UnsupportedOperation("fileno")


def wrap(environ, file, *args):
    return environ["wsgi.file_wrapper"](file, *args)


def opened(environ):
    return open(environ["HTTP_X_FILE"], "rb")  # noqa: SIM115


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    if name == "closed":
        payload = json.dumps([closed, len(os.listdir("/proc/self/fd"))]).encode()
        start_response("200 OK", [("Content-Length", str(len(payload)))])
        return [payload]
    headers = [("Content-Type", "application/octet-stream")]
    if "HTTP_X_LENGTH" in environ:
        headers.append(("Content-Length", environ["HTTP_X_LENGTH"]))
    start_response(environ.get("HTTP_X_STATUS", "200 OK"), headers)
    return globals()[name](environ)


def plain(environ):
    return wrap(environ, opened(environ))


def block_size(environ):
    return wrap(environ, opened(environ), 1000)


def counted(environ):
    return wrap(environ, Counting(opened(environ), environ["QUERY_STRING"]))


def offset(environ):
    """A file that was read before: what is left of it, also of its buffer."""
    file = opened(environ)
    file.seek(int(environ["QUERY_STRING"]))
    return wrap(environ, file)


def read_before(environ):
    file = open(environ["HTTP_X_FILE"], "rb", buffering=0)  # noqa: SIM115
    file.read(int(environ["QUERY_STRING"]))
    return wrap(environ, file)


def unbuffered(environ):
    return wrap(environ, open(environ["HTTP_X_FILE"], "rb", buffering=0))  # noqa: SIM115


def memory(environ):
    with opened(environ) as file:
        return wrap(environ, io.BytesIO(file.read()))


def only_read(environ):
    with opened(environ) as file:
        return wrap(environ, OnlyRead(file.read()))


def bad_fileno(environ):
    with opened(environ) as file:
        return wrap(environ, BadFileno(file.read()))


def pipe(environ):
    """A descriptor that sendfile cannot take from."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as end:  # gevent puts os.close() off until the loop's next turn
        end.write(b"through a pipe")
    return wrap(environ, os.fdopen(reader, "rb"))


def unlinked(environ):
    file = tempfile.TemporaryFile()  # noqa: SIM115
    with opened(environ) as source:
        file.write(source.read())
    file.seek(0)
    return wrap(environ, file)


def shrinks(environ):
    """The file is shorter than the answer said when it is sent."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(b"short")
    file.seek(0)
    return wrap(environ, file)


def iterated(environ):
    """The wrapper is iterable for middleware."""
    return [b"".join(plain(environ))]


def indirect(environ):
    """Wrapped again by a generator: nothing to send as a file."""
    yield from plain(environ)


def wrapper_attributes(environ):
    file = opened(environ)
    wrapper = wrap(environ, file, 123)
    facts = [
        wrapper.filelike is file,
        wrapper.blksize,
        callable(wrapper.close),
        isinstance(wrapper, environ["wsgi.file_wrapper"]),
    ]
    wrapper.close()
    facts.append(file.closed)
    return [json.dumps(facts).encode()]


def no_close(environ):
    wrapper = wrap(environ, OnlyRead(b"no close"))
    assert not hasattr(wrapper, "close")
    return wrapper
