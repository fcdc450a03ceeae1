"""Applications that talk on gunicorn.socket themselves, as WebSocket libraries do."""

import json
import os

kept = []


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)


def interim(environ, start_response):
    """What is written goes out at once, before the answer."""
    environ["gunicorn.socket"].sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def echo(environ, start_response):
    """Switches protocols, echoes lines until "bye", and ends like flask-sock."""
    sock = environ["gunicorn.socket"]
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: lines\r\n\r\n")
    with sock.makefile("rb") as lines:
        for line in lines:
            if line == b"bye\n":
                break
            sock.sendall(line.upper())
    raise StopIteration


def closes(environ, start_response):
    """Closes the socket, and uses its number for something else."""
    sock = environ["gunicorn.socket"]
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    sock.close()
    kept.append(os.open("/dev/null", os.O_RDONLY))
    raise StopIteration


def check(environ, start_response):
    """Whether the descriptors that closes() opened are still what they were."""
    names = []
    for fd in kept:
        try:
            names.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError as e:
            names.append(str(e))
    payload = json.dumps(names).encode()
    start_response("200 OK", [("Content-Length", str(len(payload)))])
    return [payload]
