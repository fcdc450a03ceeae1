"""Noticing that code has changed.

An engine is a thread that calls `callback(filename)` at each change of a module that was imported
or of an extra file. `reloader_engines` has them by name.
"""

import os
import sys
import threading
import time

from gunicorn import util

POLL_INTERVAL = 1  # seconds


def source_of(path):
    """The file that was edited when the module at `path` changes."""
    return path[:-1] if path.endswith((".pyc", ".pyo")) else path


class ReloaderBase(threading.Thread):
    """What to watch. `extra_files` are paths, and patterns that are expanded at each look."""

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
    """What changes when a file is written or replaced; None when it is not there."""
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
        # Made before the application is loaded, started after: what is saved between is a change.
        self._loading_since = time.time_ns()
        self._stamps = {name: stamp for name in self._extra() if (stamp := _stamp(name))}

    def _saved_while_loading(self, filename, stamp):
        since = self._loading_since
        return since is not None and stamp[0] > since and filename not in self._extra_files

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


class InotifyReloader(Reloader):
    """The engine `inotify`. It polls, for the time being."""


preferred_reloader = Reloader

reloader_engines = {
    "auto": preferred_reloader,
    "poll": Reloader,
    "inotify": InotifyReloader,
}
