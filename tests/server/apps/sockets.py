"""What gunicorn.socket is to an application."""

import json
import socket


def application(environ, start_response):
    sock = environ["gunicorn.socket"]
    facts = {
        "peer": sock.getpeername(),
        "name": sock.getsockname(),
        "family": int(sock.family),
        "fileno": sock.fileno() >= 0,
        "nodelay": sock.family == socket.AF_UNIX
        or bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
    }
    payload = json.dumps(facts).encode()
    start_response("200 OK", [("Content-Length", str(len(payload)))])
    return [payload]
