"""The file that holds the master's process id."""

import os


class Pidfile:
    """A file with one number in it, there for as long as the process runs."""

    def __init__(self, fname: str) -> None:
        self.fname = fname
        self.pid: int | None = None

    def create(self, pid: int) -> None:
        """Write `pid`, so that a reader sees the whole file or none.

        Raises RuntimeError when the file names another process that is alive, or when its
        directory does not exist.
        """
        running = self.validate()
        if running == os.getpid():
            self.pid = pid
            return
        if running:
            raise RuntimeError(
                f"Already running on PID {running} (or pid file '{self.fname}' is stale)"
            )
        directory = os.path.dirname(self.fname)
        if directory and not os.path.isdir(directory):
            raise RuntimeError(f"{directory} doesn't exist. Can't create pidfile.")
        self.pid = pid
        draft = f"{self.fname}.{os.getpid()}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            os.unlink(draft)  # left over by a process of the same number
        except FileNotFoundError:
            pass
        fd = os.open(draft, flags, 0o600)
        try:
            try:
                os.write(fd, b"%d\n" % pid)
                os.fchmod(fd, 0o644)
            finally:
                os.close(fd)
            os.rename(draft, self.fname)
        except OSError:
            os.unlink(draft)
            raise

    def rename(self, path: str) -> None:
        """Move to `path`. Raises as create() does; then the file stays in its place."""
        moved = Pidfile(path)
        moved.create(self.pid)  # type: ignore[arg-type]  # created before
        self.unlink()
        self.fname = path

    def unlink(self) -> None:
        """Remove the file if it is ours: if it still names the process that create() wrote."""
        try:
            if self._read() == self.pid:
                os.unlink(self.fname)
        except OSError:
            pass

    def validate(self) -> int | None:
        """Return the process that the file names if there is such a process, else None."""
        if not self.fname:
            return None
        try:
            pid = self._read()
        except FileNotFoundError:
            return None
        if not pid or pid < 0:
            return None
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return None
        except PermissionError:
            return pid  # it lives, and belongs to somebody else
        return pid

    def _read(self) -> int | None:
        """Return the number in the file. Never waits, should somebody have put a pipe there."""
        fd = os.open(self.fname, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return int(os.read(fd, 32))
        except (ValueError, BlockingIOError):
            return None
        finally:
            os.close(fd)
