"""A command in a pseudo-terminal, for tests of interactive programs."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import time


class Terminal:
    """A command in a pseudo-terminal."""

    def __init__(self, command, env, term="xterm"):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            env = {**env, "TERM": term, "LINES": "24", "COLUMNS": "120"}
            os.execvpe(command[0], command, env)
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        os.close(self.fd)

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, timeout=20.0):
        limit = time.monotonic() + timeout
        while not (found := re.search(pattern, self.text)):
            left = limit - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.text!r}"
            if select.select([self.fd], [], [], left)[0]:
                self.text += os.read(self.fd, 65536).decode(errors="replace")
        self.text = self.text[found.end() :]

    def wait(self):
        with contextlib.suppress(OSError):
            while os.read(self.fd, 65536):
                pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
