"""What an application sees of TLS."""

import json
import os

from helpers.gate import pass_gate


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/") or "ok"](environ, start_response)


def answer(start_response, value):
    payload = json.dumps(value).encode()
    start_response("200 OK", [("Content-Length", str(len(payload)))])
    return [payload]


def ok(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def pid(environ, start_response):
    return answer(start_response, os.getpid())


def shown(environ, start_response):
    """The environ, as far as it is text."""
    return answer(start_response, {k: v for k, v in environ.items() if isinstance(v, str)})


def look(environ, start_response):
    """What the socket says, without being taken over."""
    sock = environ["gunicorn.socket"]
    (sock.getpeercert() or {}).clear()  # one's own to change
    facts = {
        "peer": sock.getpeername(),
        "version": sock.version(),
        "cipher": sock.cipher(),
        "alpn": sock.selected_alpn_protocol(),
        "reused": sock.session_reused,
        "name": sock.server_hostname,
        "server_side": sock.server_side,
        "certificate": sock.getpeercert(),
        "der": (sock.getpeercert(True) or b"").hex(),
        "pid": os.getpid(),
    }
    return answer(start_response, facts)


CHANGES = {
    "sni_callback": lambda context: None,
    "keylog_filename": "keys.log",
    "_msg_callback": lambda *args: None,
    "options": 0,
    "load_cert_chain": ("nothing.pem",),
    "set_ciphers": ("ALL",),
    "set_servername_callback": (lambda *args: None,),
}


def late(environ, start_response):
    """Try to change the context in use; what that says."""
    name = environ["QUERY_STRING"]
    context = environ["gunicorn.socket"].context
    try:
        if isinstance(CHANGES[name], tuple):
            getattr(context, name)(*CHANGES[name])
        else:
            setattr(context, name, CHANGES[name])
    except RuntimeError as exc:
        return answer(start_response, str(exc))
    return answer(start_response, "")


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def streamed(environ, start_response):
    """What comes, as it comes."""
    start_response("200 OK", [])
    while piece := environ["wsgi.input"].read(65536):
        yield piece


def sent_file(environ, start_response):
    path = environ["HTTP_X_FILE"]
    start_response("200 OK", [("Content-Length", str(os.path.getsize(path)))])
    return environ["wsgi.file_wrapper"](open(path, "rb"))


def gated(environ, start_response):
    pass_gate(environ["HTTP_X_GATE"])
    return ok(environ, start_response)


def lines(environ, start_response):
    """Takes the connection over and echoes lines until "bye"."""
    sock = environ["gunicorn.socket"]
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: lines\r\n\r\n")
    with sock.makefile("rb") as received:
        for line in received:
            if line == b"bye\n":
                break
            sock.sendall(line.upper())
    raise StopIteration


def timed(environ, start_response):
    """Takes the connection over, and gives up waiting."""
    sock = environ["gunicorn.socket"]
    sock.settimeout(0.05)
    try:
        text = sock.recv(10)
    except TimeoutError:
        text = b"timed out"
    sock.settimeout(None)
    sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + text)
    sock.close()
    raise StopIteration
