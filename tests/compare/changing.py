"""What hooks and worker classes do to a request before the application sees it.

Both servers run this file: it is the application, the configuration and the worker classes. The
field X-Case of a request names the change, X-By who makes it: the hook or the class.
"""

import copy
import importlib
import io
import json

PROXIED = {
    "proxy_protocol": "TCP4",
    "client_addr": "192.0.2.7",
    "client_port": 7,
    "proxy_addr": "192.0.2.8",
    "proxy_port": 8,
}


def without(req, name):
    return [pair for pair in req.headers if pair[0] != name]


def certificate(req):
    """The widespread recipe: a user's name is taken from the certificate alone."""
    req.headers = [*without(req, "X-USER"), ("X-USER", "from the certificate")]


def replaced_in_place(req):
    at = next(i for i, pair in enumerate(req.headers) if pair[0] == "X-USER")
    req.headers[at] = ("X-USER", "another")


def host(name):
    def change(req):
        req.headers = [*without(req, "HOST"), *([("HOST", name)] if name else [])]

    return change


def added(*pairs):
    return lambda req: req.headers.extend(pairs)


class LazyList(list):
    """Leaves the field out when it is read, and equals the list that it was made of."""

    def __iter__(self):
        return (pair for pair in super().__iter__() if pair[0] != "X-USER")


def assigned(**values):
    def change(req):
        for name, value in values.items():
            setattr(req, name, value)

    return change


CHANGES = {
    "nothing": lambda req: None,
    "certificate": certificate,
    "appended": added(("X-ADDED", "1")),
    "appended-again": added(("X-USER", "2"), ("X-USER", "3")),
    "removed": lambda req: req.headers.remove(("X-USER", "client")),
    "replaced-in-place": replaced_in_place,
    "cleared": lambda req: req.headers.clear(),
    "inserted": lambda req: req.headers.insert(0, ("X-USER", "first")),
    "sorted": lambda req: req.headers.sort(),
    "lower-case": added(("x-user", "lower"), ("X-Added", "mixed")),
    "underscore": added(("X_USER", "joined")),
    "pair-is-a-list": added(["X-ADDED", "list"]),
    "no-string": added(("X-NUMBER", 5)),
    "iterator": lambda req: setattr(req, "headers", iter(without(req, "X-USER"))),
    "tuple": lambda req: setattr(req, "headers", tuple(without(req, "X-USER"))),
    "lazy-list": lambda req: setattr(req, "headers", LazyList(req.headers)),
    "content-length": added(("CONTENT-LENGTH", "3")),
    "content-type": added(("CONTENT-TYPE", "text/plain"), ("CONTENT-TYPE", "text/html")),
    "cookie": added(("COOKIE", "c=d")),
    "authorization": added(("AUTHORIZATION", "Basic dXNlcjpwYXNz")),
    "script-name": added(("SCRIPT_NAME", "/app")),
    "script-name-outside": added(("SCRIPT_NAME", "/other")),
    "host": host("a.example"),
    "host-and-port": host("a.example:8443"),
    "no-host": host(None),
    "https-host": lambda req: [host("a.example")(req), assigned(scheme="https")(req)],
    "path": assigned(path="/app/other%20place%C3%A9"),
    "query": assigned(query="z=1"),
    "fragment": assigned(fragment="part"),
    "uri": assigned(uri="/other?x"),
    "method": assigned(method="PATCH"),
    "scheme": assigned(scheme="https"),
    "odd-scheme": assigned(scheme="wss"),
    "version": assigned(version=(1, 0)),
    "path-is-bytes": assigned(path=b"/app/bytes"),
    "no-fields": assigned(headers={"X-CASE": 1}),
    "should-close": assigned(should_close=lambda: True),
    "trailers": lambda req: req.trailers.append(("X-T", "1")),
    "addresses": assigned(remote_addr=("192.0.2.1", 1), peer_addr=("192.0.2.2", 2)),
    "proxied": assigned(proxy_protocol_info=PROXIED),
    "body": lambda req: setattr(req, "body", io.BytesIO(b"another body")),
    "must-close": assigned(must_close=True),
    "force-close": lambda req: req.force_close(),
    "connection-close": added(("CONNECTION", "close")),
    "own-attribute": assigned(start_time=1),
}


def other_address(req, client, server, sock):
    return req, ("192.0.2.3", 3), server, sock


def unix_address(req, client, server, sock):
    return req, "", server, sock


def other_server(req, client, server, sock):
    return req, client, ("srv.example", 81), sock


def named_server(req, client, server, sock):
    return req, client, "srv.example:81", sock


def copied(req, client, server, sock):
    one = copy.copy(req)
    one.headers = [*without(req, "X-USER"), ("X-ADDED", "in the copy")]
    return one, client, server, sock


#: What only a class can do: it passes on other things than it was given.
PASSED = {
    "other-address": other_address,
    "unix-address": unix_address,
    "other-server": other_server,
    "named-server": named_server,
    "copied": copied,
}


#: What a class does when ours has returned: it comes too late for the application and the log.
LATE = {
    "late-fields": added(("X-USER", "late")),
    "late-address": assigned(uri="/late", method="LATE", path="/late"),
}

order = []  # of the calls within a request


def wanted(req, by):
    fields = dict(req.headers)
    return fields.get("X-CASE") if fields.get("X-BY") == by else None


def pre_request(worker, req):
    CHANGES.get(wanted(req, "hook"), CHANGES["nothing"])(req)


def post_request(worker, req, environ, resp):
    order.append(f"post_request {sorted(environ)[:1]} {getattr(resp, 'status', None)}")


class Listener:
    """What handle_request() of a sync worker asks for the server's address."""

    def __init__(self, name):
        self.name = name

    def getsockname(self):
        return self.name


class Changing:
    def handle_request(self, *args):
        if len(args) == 2:
            req, conn = args
            client, server, sock = conn.client, conn.server, conn.sock
        else:
            server, req, sock, client = args
        case = wanted(req, "class")
        name = server.getsockname() if hasattr(server, "getsockname") else server
        CHANGES.get(case, CHANGES["nothing"])(req)
        changed = req
        if case in PASSED:
            changed, client, name, sock = PASSED[case](req, client, name, sock)
        if len(args) == 2:
            conn.client, conn.server, conn.sock = client, name, sock
            passed = (changed, conn)
        else:
            passed = Listener(name) if hasattr(server, "getsockname") else name
            passed = (passed, changed, sock, client)
        try:
            return super().handle_request(*passed)
        finally:
            order.append("handle_request")
            LATE.get(case, CHANGES["nothing"])(req)


def own_class(kind):
    module, _, name = {
        "sync": "sync.SyncWorker",
        "gthread": "gthread.ThreadWorker",
        "gevent": "ggevent.GeventWorker",
    }[kind].partition(".")
    base = getattr(importlib.import_module(f"gunicorn.workers.{module}"), name)
    return type("Changing", (Changing, base), {})


def app(environ, start_response):
    if environ["PATH_INFO"] == "/order":
        body = json.dumps(order).encode()
        order.clear()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    told = {name: value for name, value in environ.items() if isinstance(value, (str, int))}
    told["body"] = environ["wsgi.input"].read().decode()
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
