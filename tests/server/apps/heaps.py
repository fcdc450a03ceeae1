"""Requests that meet at a gate, each with memory of malloc; then how many heaps there are."""

import ctypes
import os
import tempfile

from helpers.gate import pass_gate

libc = ctypes.CDLL(None)


def heaps():
    """How many heaps malloc has; None where it does not tell."""
    if not hasattr(libc, "malloc_info"):
        return None
    libc.fdopen.restype = ctypes.c_void_p
    with tempfile.TemporaryFile() as file:
        stream = ctypes.c_void_p(libc.fdopen(os.dup(file.fileno()), b"w"))
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        file.seek(0)
        return file.read().count(b"<heap nr=")


def application(environ, start_response):
    if gate := environ.get("HTTP_X_GATE"):
        held = bytes(100_000)
        pass_gate(gate)
        del held
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(heaps()).encode()]
