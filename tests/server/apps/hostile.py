"""An application that forks and closes as no application should; what it does is its path."""

import ctypes
import multiprocessing
import os
import socket
import subprocess
import sys
import time

from helpers.gate import pass_gate

FORKING = multiprocessing.get_context("fork")


def _forever():
    while True:
        time.sleep(60)


def _fork(ending):
    """The child ends as it says; the parent answers with the child's status."""
    pid = os.fork()
    if pid == 0:
        ending()
        return b"the child's own answer"
    return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode()


def fork_exit():
    return _fork(lambda: sys.exit(7))


def fork_return():
    return _fork(lambda: None)


def fork_raise():
    def fail():
        raise LookupError("the child's")

    return _fork(fail)


def fork_stays():
    """The child lives on, as a job in the background does."""
    pid = os.fork()
    if pid == 0:
        _forever()
    return str(pid).encode()


def c_fork_stays():
    """The same by a library that knows nothing of Python."""
    pid = ctypes.PyDLL(None).fork()
    if pid == 0:
        while True:
            ctypes.PyDLL(None).pause()
    return str(pid).encode()


def fork_sleeps():
    """The child waits as greenlets wait: others run meanwhile."""
    pid = os.fork()
    if pid == 0:
        time.sleep(1)
        os._exit(5)
    return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode()


def slow(environ):
    pass_gate(environ["HTTP_X_GATE"])
    time.sleep(0.3)
    return b"slow"


def terminate():
    process = FORKING.Process(target=_forever)
    process.start()
    process.terminate()
    process.join()
    return str(process.exitcode).encode()


def queue():
    """A process that works and gives its result back."""
    results = FORKING.SimpleQueue()
    process = FORKING.Process(target=_put, args=(results, os.getpid()))
    process.start()
    process.join()
    return f"{process.exitcode} {results.get()}".encode()


def _put(results, parent):
    results.put(os.getppid() == parent)


def preexec():
    done = subprocess.run(["/bin/echo", "ran"], stdout=subprocess.PIPE, preexec_fn=os.getpid)
    return done.stdout.strip()


def child_terminates():
    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        process.terminate()
        return str(process.wait(20)).encode()


def close_all():
    os.closerange(3, 256)
    return b"closed"


def _own(kind):
    """The descriptors of this process whose link says `kind`."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if kind in os.readlink(f"/proc/self/fd/{name}"):
                found.append(int(name))
        except OSError:
            continue
    return found


def _listener(environ):
    import socket

    for fd in _own("socket:"):
        one = socket.socket(fileno=fd)
        try:
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return fd
        except OSError:
            continue
        finally:
            one.detach()
    raise LookupError("no listener")


def close_epoll():
    for fd in _own("[eventpoll]"):
        os.close(fd)
    return b"closed"


def reuse_epoll():
    null = os.open(os.devnull, os.O_RDWR)
    for fd in _own("[eventpoll]"):
        os.dup2(null, fd)
    return b"closed"


def close_listener(environ):
    os.close(_listener(environ))
    return b"closed"


def reuse_listener(environ):
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, _listener(environ))
    return b"closed"


def close_pipes():
    for fd in _own("pipe:"):
        if fd > 2:
            os.close(fd)
    return b"closed"


def close_client(environ):
    os.close(environ["gunicorn.socket"].fileno())
    return b"closed"


def steal_client(environ):
    """The descriptor is closed while another one for the same connection stays open."""
    fd = environ["gunicorn.socket"].fileno()
    stolen.append(os.dup(fd))
    os.close(fd)
    return b"closed"


def close_client_early(environ):
    """And wait before the answer, so that another client's descriptor has the number by then."""
    gate = socket.socket(socket.AF_UNIX)  # before the number is free
    with gate:
        os.close(environ["gunicorn.socket"].fileno())
        gate.connect(environ["QUERY_STRING"])
        gate.recv(1)
    return b"another client's answer"


stolen: list[int] = []


def pid():
    return str(os.getpid()).encode()


def generate():
    """The child is forked amid an answer."""
    yield b"one"
    child = os.fork()
    if child == 0:
        yield b"the child's"
        sys.exit(0)
    os.waitpid(child, 0)
    yield b"two"


def app(environ, start_response):
    name = environ["PATH_INFO"].lstrip("/")
    if name == "generate":
        start_response("200 OK", [])
        return generate()
    if name == "stream":
        start_response("200 OK", [])
        return (b"x" * 65536 for _ in range(200))
    function = globals()[name]
    takes = function.__code__.co_argcount
    body = function(environ) if takes else function()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
