"""Code of an application that runs in the midst of the server's calls, and objects it keeps."""

import io
import json
import os
import socket
import threading

REAL_SOCKET = socket.socket
TIMEOUT = 60.0  # seconds; whoever waits in vain has failed

over = threading.Event()  # set by the request after the one that a thread has outlived
entered = threading.Event()
threads = []
results = []
kept = []


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/") or "ok"](environ, start_response)


def answer(start_response, value):
    payload = json.dumps(value).encode()
    start_response("200 OK", [("Content-Length", str(len(payload)))])
    return [payload]


def ok(environ, start_response):
    return answer(start_response, "ok")


def outlive(call):
    """Run `call` in a thread, which is entered when this returns, and ends after the request."""

    def run():
        try:
            results.append(repr(call()))
        except Exception as exc:
            results.append(f"{type(exc).__name__}: {exc}")

    threads.append(threading.Thread(target=run))
    threads[-1].start()
    assert entered.wait(TIMEOUT)


def wait_for_the_end():
    entered.set()
    assert over.wait(TIMEOUT)


def outlived(environ, start_response):
    """What became of them."""
    join_all()
    return answer(start_response, results)


def outlived_and_raise(environ, start_response):
    join_all()
    raise RuntimeError(results)


def join_all():
    assert entered.wait(TIMEOUT)
    over.set()
    for thread in threads:
        thread.join()


class Slow:
    def __float__(self):
        wait_for_the_end()
        return 1.0

    def __index__(self):
        wait_for_the_end()
        return 1


class SlowSocket(REAL_SOCKET):
    def __init__(self, *args, **kwargs):
        wait_for_the_end()
        super().__init__(*args, **kwargs)


class BrokenSocket(REAL_SOCKET):
    """As when RequestTimeout is raised there."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        raise RuntimeError("broken")


def extend(environ, start_response):
    deadline = environ["gunicorn.deadline"]
    outlive(lambda: deadline.extend(Slow()))
    return ok(environ, start_response)


def tls_read(environ, start_response):
    sock = environ["gunicorn.socket"]
    outlive(lambda: sock.tls_read(Slow()))
    return ok(environ, start_response)


def tls_wait(environ, start_response):
    sock = environ["gunicorn.socket"]
    outlive(lambda: sock.tls_wait(False, Slow()))
    return ok(environ, start_response)


def tls_write(environ, start_response):
    class Exporter:
        def __buffer__(self, flags):
            wait_for_the_end()
            return memoryview(b"x")

    sock = environ["gunicorn.socket"]
    outlive(lambda: sock.tls_write(Exporter()))
    return ok(environ, start_response)


def take_over(environ, start_response):
    sock = environ["gunicorn.socket"]
    socket.socket = SlowSocket
    outlive(lambda: sock.sendall(b"x"))
    socket.socket = REAL_SOCKET
    return ok(environ, start_response)


def look(environ, start_response):
    socket.socket = BrokenSocket
    try:
        peer = environ["gunicorn.socket"].getpeername()
    except RuntimeError as exc:
        peer = str(exc)
    finally:
        socket.socket = REAL_SOCKET
    return answer(start_response, peer)


class Name(str):
    """Takes itself out of the headers when an error shows it."""

    def __repr__(self):
        self.headers.clear()
        del self.headers
        return "shown"


class Odd:
    def __repr__(self):
        self.headers.clear()
        return "odd"


def shown_name(environ, start_response):
    headers = []
    name = Name("X-Name")
    name.headers = headers
    headers.append((name, object()))
    del name
    try:
        start_response("200 OK", headers)
    except TypeError as exc:
        return answer(start_response, str(exc).partition(" object at")[0])


def shown_item(environ, start_response):
    headers = []
    odd = Odd()
    odd.headers = headers
    headers.append((odd, "x"))
    del odd
    try:
        start_response("200 OK", headers)
    except TypeError as exc:
        return answer(start_response, str(exc))


def wrapper_in_init(environ, start_response):
    """`close` is looked up while the wrapper is made."""
    wrapper = environ["wsgi.file_wrapper"](io.BytesIO(b"first"), 10**30)

    class File(io.BytesIO):
        def __getattribute__(self, name):
            if name == "close":
                wrapper.__init__(io.BytesIO(b"inner"), 3)
            return super().__getattribute__(name)

    for _ in range(10):
        wrapper.__init__(File(b"hello"), 5)
    return answer(start_response, b"".join(wrapper).decode())


def wrapper_in_read(environ, start_response):
    """`read` is looked up before the size is given to it."""
    wrappers = []

    class File:
        def __getattribute__(self, name):
            if name == "read":
                wrappers[0].__init__(io.BytesIO(b""), 1)
                kept.extend(str(n) * 40 for n in range(1000))
                return lambda size: str(size).encode()
            raise AttributeError(name)

    wrappers.append(environ["wsgi.file_wrapper"](File(), int("7" * 60)))
    return answer(start_response, next(iter(wrappers[0])).decode())


def wrapper_in_fileno(environ, start_response):
    """The file is dropped between its descriptor and its bytes."""
    path = environ["HTTP_X_FILE"]

    class File(io.FileIO):
        def fileno(self):
            wrapper.__init__(io.BytesIO(b""))
            return super().fileno()

    wrapper = environ["wsgi.file_wrapper"](File(path))
    start_response("200 OK", [("Content-Length", str(os.path.getsize(path)))])
    return wrapper


class LateStatus(str):
    def __del__(self):
        wait_for_the_end()


def late_status(environ, start_response):
    """The first status goes when there is a second one, and the request is over by then."""

    def twice():
        start_response(LateStatus("200 OK"), [])
        start_response("500 Late", [("X-Late", "1")], (ValueError, ValueError(), None))

    outlive(twice)
    return answer_again(start_response)


def answer_again(start_response):
    start_response("200 OK", [("Content-Length", "2")], (ValueError, ValueError(), None))
    return [b"ok"]


class Reader:
    """When the environ goes, a thread begins to read a body that has not come."""

    def __init__(self, stream):
        self.stream = stream

    def __del__(self):
        outlive(self.read)
        threads[-1].join(0.3)  # it waits for the client by then, if it may

    def read(self):
        entered.set()
        return self.stream.read(1)


def late_reader(environ, start_response):
    environ["reader"] = Reader(environ["wsgi.input"])
    return ok(environ, start_response)


class Unshown:
    def __str__(self):
        raise ValueError("not to be shown")


class Vanishing:
    def __init__(self, environ, key, text="vanished"):
        self.environ, self.key, self.text = environ, key, text

    def __str__(self):
        del self.environ[self.key]
        return self.text


def log_line(environ, start_response):
    environ["REMOTE_ADDR"] = Unshown()
    environ["HTTP_REFERER"] = Vanishing(environ, "HTTP_REFERER")
    environ["HTTP_USER_AGENT"] = Unshown()
    environ["Any-Case"] = Vanishing(environ, "Any-Case", text=1)
    return ok(environ, start_response)


def keep(environ, start_response):
    kept[:] = [environ, start_response, start_response("200 OK", [("Content-Length", "2")])]
    kept.append(environ["wsgi.file_wrapper"](io.BytesIO(b"file")))
    if "look" in environ["QUERY_STRING"]:
        environ["gunicorn.socket"].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return [b"ok"]


def use_kept(environ, start_response):
    """What the objects of a request that is over say, each once more."""
    old, start, write, wrapper = kept
    sock = old["gunicorn.socket"]
    calls = {
        "start_response": lambda: start("200 OK", []),
        "write": lambda: write(b"x"),
        "early_hints": lambda: old["wsgi.early_hints"]([("Link", "</x>")]),
        "remaining": lambda: old["gunicorn.deadline"].remaining,
        "extend": lambda: old["gunicorn.deadline"].extend(1),
        "read": lambda: old["wsgi.input"].read(),
        "readline": lambda: old["wsgi.input"].readline(),
        "lines": lambda: list(old["wsgi.input"]),
        "fileno": sock.fileno,
        "getpeername": lambda: sock.getpeername(),
        "family": lambda: sock.family,
        "recv": lambda: sock.recv(1),
        "sendall": lambda: sock.sendall(b"x"),
        "close": lambda: sock.close(),
        "tls_read": lambda: sock.tls_read(1),
        "tls_write": lambda: sock.tls_write(b"x"),
        "tls_wait": lambda: sock.tls_wait(True, 0),
        "take_over": lambda: sock.take_over(),
        "duplicate": lambda: sock.duplicate(),
        "wrapper": lambda: b"".join(wrapper),
    }
    said = {}
    for name, call in calls.items():
        try:
            said[name] = repr(call())
        except Exception as exc:
            said[name] = f"{type(exc).__name__}: {exc}"
    return answer(start_response, said)
