"""One attribute of gunicorn.socket a request: `/NAME`."""

import json
import os
import socket
import ssl

ADDRESS = ("127.0.0.1", 1)


#: What is done with an attribute that takes arguments.
USES = {
    "bind": lambda sock: sock.bind(ADDRESS),
    "connect": lambda sock: sock.connect(ADDRESS),
    "connect_ex": lambda sock: sock.connect_ex(ADDRESS),
    "getsockopt": lambda sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE),
    "setsockopt": lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    "set_inheritable": lambda sock: sock.set_inheritable(False),
    "listen": lambda sock: sock.listen(),
    "makefile": lambda sock: sock.makefile("rb").close(),
    "read": lambda sock: sock.read(),
    "recv": lambda sock: sock.recv(4),
    "recv_into": lambda sock: sock.recv_into(bytearray(4)),
    "recvfrom": lambda sock: sock.recvfrom(4)[0],
    "recvfrom_into": lambda sock: sock.recvfrom_into(bytearray(4))[0],
    "recvmsg": lambda sock: sock.recvmsg(4)[0],
    "recvmsg_into": lambda sock: sock.recvmsg_into([bytearray(4)])[0],
    "send": lambda sock: sock.send(b"taken"),
    "sendall": lambda sock: sock.sendall(b"taken"),
    "sendmsg": lambda sock: sock.sendmsg([b"taken"]),
    "sendto": lambda sock: sock.sendto(b"taken", ADDRESS),
    "sendfile": lambda sock: sock.sendfile(open(__file__, "rb"), 0, 5),
    "setblocking": lambda sock: sock.setblocking(True),
    "settimeout": lambda sock: sock.settimeout(5),
    "shutdown": lambda sock: sock.shutdown(socket.SHUT_RD),
    "write": lambda sock: sock.write(b"taken"),
    "detach": lambda sock: os.close(sock.detach()),
    "dup": lambda sock: sock.dup().close(),
    "with": lambda sock: sock.__enter__(),
}


def use(sock, name):
    if name in USES:
        return USES[name](sock)
    value = getattr(sock, name)
    return value() if callable(value) and name != "context" else value


def application(environ, start_response):
    sock = environ["gunicorn.socket"]
    name = environ["PATH_INFO"].strip("/")
    real = ssl.SSLSocket if "HTTPS" in environ else socket.socket
    if name == "blocks_then_file":
        sock.setblocking(True)
        path = environ["HTTP_X_FILE"]
        start_response("200 OK", [("Content-Length", str(os.path.getsize(path)))])
        return environ["wsgi.file_wrapper"](open(path, "rb"))
    if name == "dir":
        said = [one for one in dir(real) if not one.startswith("_")]
    elif name == "isinstance":
        said = isinstance(sock, real)
    elif name == "leave":
        with sock:
            sock.sendall(b"taken")
        said = None
    else:
        try:
            said = repr(use(sock, name))
        except Exception as exc:
            said = f"{type(exc).__name__}: {exc}"
    payload = json.dumps(said).encode()
    start_response("200 OK", [("Content-Length", str(len(payload)))])
    return [payload]
