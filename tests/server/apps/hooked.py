"""Hooks that use the objects of a request as those of people's configurations do."""

import gc
import json
import weakref

from gunicorn.glogging import Logger

SEEN = []


class Token:
    """What a hook keeps a weak reference to a request beside."""


def pre_request(worker, req):
    req.start_time = 1
    req.headers.append(("X-ADDED", str(req.req_number)))
    assert vars(req)["start_time"] == 1
    worker.request = weakref.ref(req)
    assert req.unreader.sock.fileno() >= 0
    assert req.cfg is worker.cfg
    SEEN.append(("pre_request", id(req)))


class Seeing(Logger):
    def access(self, resp, req, environ, request_time):
        super().access(resp, req, environ, request_time)
        SEEN.append(("access", id(req), id(resp)))
        assert resp.req is req
        assert resp.cfg is self.cfg
        assert resp.sock is req.unreader.sock
        resp.took = request_time

    def atoms(self, resp, req, environ, request_time):
        return {**super().atoms(resp, req, environ, request_time), "own": req.start_time}


def post_request(worker, req, environ, resp):
    SEEN.append(("post_request", id(req), id(resp)))
    assert worker.request() is req
    assert weakref.ref(resp)() is resp
    assert vars(resp)["took"] is resp.took
    worker.log.info("hooks: %s", json.dumps(SEEN))
    SEEN.clear()
    worker.request = weakref.ref(Token())


def kept(environ, start_response):
    """How many requests of those before are still in memory."""
    gc.collect()
    kinds = [type(one).__name__ for one in gc.get_objects()]
    body = json.dumps({"requests": kinds.count("Request"), "added": environ["HTTP_X_ADDED"]})
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body.encode()]
