"""What hooks can do with the objects that they are given: both servers run this file."""

import json
import os

from compare.changing import own_class

NAMES = {}


def names(kind, one):
    """Note the attributes of an object: all, or which of those in wanted.json it has."""
    if os.path.exists("wanted.json"):
        with open("wanted.json") as file:
            NAMES[kind] = [name for name in json.load(file)[kind] if hasattr(one, name)]
    else:
        NAMES[kind] = sorted(name for name in dir(one) if not name.startswith("__"))


def pre_request(worker, req):
    names("request", req)
    names("unreader", req.unreader)


def post_request(worker, req, environ, resp):
    names("response", resp)
    with open("names", "w") as file:
        json.dump(NAMES, file)
    os.rename("names", "names.json")


def seeing_class(kind):
    base = own_class(kind)

    class Seeing(base):
        def handle_request(self, *args):
            if len(args) == 2:
                names("connection", args[1])
            return super().handle_request(*args)

    return Seeing


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
