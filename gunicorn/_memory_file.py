"""Files without a disk, for functions of OpenSSL and ssl that read files only."""

import contextlib
import os
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def memory_file(data: bytes) -> Iterator[str]:
    """Give the path of a file with `data`, for this process.

    It needs no disk where the system can do without.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("memory_file")
        try:
            os.write(fd, data)
            yield f"/proc/self/fd/{fd}"
        finally:
            os.close(fd)
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            yield file.name
