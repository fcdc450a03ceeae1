"""Noticing that code has changed.

An engine is a thread that calls `callback(filename)` at each change of a module that was imported
or of an extra file. `reloader_engines` has them by name.
"""

import os
import select
import sys
import threading
import time

from gunicorn import util

POLL_INTERVAL = 1  # seconds
LOOK_INTERVAL = 5.0  # seconds between looks of an engine that is told of changes
SETTLE_TIME = 0.05  # seconds for all files of the same change
EVENTS_SIZE = 65536  # bytes of events read at a time


def source_of(path):
    """The file that was edited when the module at `path` changes."""
    return path[:-1] if path.endswith((".pyc", ".pyo")) else path


class ReloaderBase(threading.Thread):
    """The files to watch. `extra_files` are paths, and patterns that are expanded at each look."""

    def __init__(self, extra_files=None, interval=POLL_INTERVAL, callback=None):
        super().__init__(daemon=True)
        self._extra_files = set()
        self._extra_patterns = set()
        for entry in extra_files or ():
            entries = self._extra_patterns if util.is_glob_pattern(entry) else self._extra_files
            entries.add(entry)
        self._interval = interval
        self._callback = callback

    def add_extra_file(self, filename):
        self._extra_files.add(filename)

    def get_files(self):
        """The files to watch: those of modules, and the extra ones."""
        files = [
            source_of(module.__file__)
            for module in tuple(sys.modules.values())
            if getattr(module, "__file__", None)
        ]
        return files + self._extra()

    def _extra(self):
        files = list(self._extra_files)
        if self._extra_patterns:
            import glob

            for pattern in self._extra_patterns:
                files.extend(sorted(glob.glob(pattern, recursive=True)))
        return files


def _stamp(filename):
    """The parts of a file's status that change when it is written; None without a file."""
    try:
        stat = os.stat(filename)
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


class Reloader(ReloaderBase):
    """The engine `poll`: looks at each file once a second."""

    def __init__(self, extra_files=None, interval=POLL_INTERVAL, callback=None):
        super().__init__(extra_files, interval, callback)
        self._gone = set()
        # Made before the application is loaded, started after: a file saved between is a change.
        self._loading_since = time.time_ns()
        self._stamps = {name: stamp for name in self._extra() if (stamp := _stamp(name))}

    def add_extra_file(self, filename):
        super().add_extra_file(filename)
        if (stamp := _stamp(filename)) is not None:
            self._stamps.setdefault(filename, stamp)

    def _saved_while_loading(self, filename, stamp):
        since = self._loading_since
        return since is not None and stamp[0] > since

    def changed_files(self):
        """The files that changed since the last call; new ones are remembered only.

        A file counts as deleted at the second call that misses it: editors that write by
        renaming leave a gap.
        """
        changed = []
        files = set(self.get_files())
        for filename in files | self._stamps.keys():
            now, before = _stamp(filename), self._stamps.get(filename)
            if now is None:
                if before is not None and filename in self._gone:
                    changed.append(filename)
                    del self._stamps[filename]
                    self._gone.discard(filename)
                elif before is not None:
                    self._gone.add(filename)
                continue
            self._gone.discard(filename)
            self._stamps[filename] = now
            if now != before and (before or self._saved_while_loading(filename, now)):
                changed.append(filename)
        self._loading_since = None
        return changed

    def run(self):
        while True:
            for filename in self.changed_files():
                if self._callback:
                    self._callback(filename)
            time.sleep(self._interval)


try:
    from gunicorn._core import inotify_open, inotify_watch
except ImportError:
    has_inotify = False
else:
    has_inotify = True


class InotifyReloader(Reloader):
    """The engine `inotify`: Linux tells of changes. Looks by itself now and then, too.

    An event only names a place to look at: changes are found as by the engine `poll`.
    """

    def __init__(self, extra_files=None, interval=POLL_INTERVAL, callback=None):
        if not has_inotify:
            raise ImportError("reload_engine: inotify is a feature of Linux; use poll")
        super().__init__(extra_files, interval, callback)
        self._directories = set()

    def directories(self):
        """The directories that files to watch are in, and those that links lead to."""
        files = {os.path.abspath(name) for name in self.get_files()}
        files |= {os.path.realpath(name) for name in files if os.path.islink(name)}
        return {os.path.dirname(name) for name in files} | set(
            map(pattern_directory, self._extra_patterns)
        )

    def watch_new(self, fd):
        """Watch directories that are not watched yet, and return whether there were any."""
        new = self.directories() - self._directories
        self._directories |= new
        for directory in new:
            try:
                inotify_watch(fd, directory)
            except OSError:
                pass  # gone, no directory, or one too many: the look now and then has to do
        return bool(new)

    def report(self):
        for filename in self.changed_files():
            if self._callback:
                self._callback(filename)

    def run(self):
        fd = inotify_open()
        events, look_at = False, 0.0
        while True:
            now = time.monotonic()
            if self.watch_new(fd) or events or self._gone or now >= look_at:
                look_at = now + LOOK_INTERVAL
                self.report()
            events = bool(select.select([fd], [], [], self._interval)[0])
            if events:
                time.sleep(SETTLE_TIME)
                while drain(fd):
                    pass


def pattern_directory(pattern):
    """The directory in which all files are that match a pattern, or their directories."""
    directory = os.path.dirname(pattern)
    while util.is_glob_pattern(directory):
        directory = os.path.dirname(directory)
    return os.path.abspath(directory)


def drain(fd):
    """Discard the waiting input; False if there is none.

    Asked first: under eventlet, os.read() waits in every mode of the descriptor.
    """
    return bool(select.select([fd], [], [], 0)[0]) and os.read(fd, EVENTS_SIZE)


preferred_reloader = InotifyReloader if has_inotify else Reloader

reloader_engines = {
    "auto": preferred_reloader,
    "poll": Reloader,
    "inotify": InotifyReloader,
}
