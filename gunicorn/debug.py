"""`--spew`: print each line of Python as it is executed."""

import linecache
import re
import sys

__all__ = ["spew", "unspew"]

_NAME = re.compile(r"[A-Za-z_]\w*")


class Spew:
    """A trace function. `trace_names` limits it to modules of these names.

    With `show_values`, the variables that a line mentions are printed too.
    """

    def __init__(self, trace_names=None, show_values=True):
        self.trace_names = trace_names
        self.show_values = show_values

    def __call__(self, frame, event, arg):
        if event == "line":
            self._print(frame)
        return self

    def _print(self, frame):
        module = frame.f_globals.get("__name__", "[unknown]")
        if self.trace_names is not None and module not in self.trace_names:
            return
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)
        print(f"{module}:{frame.f_lineno}: {line.rstrip()}")
        if self.show_values:
            values = [
                f"{name}={scope[name]!r}"
                for name in dict.fromkeys(_NAME.findall(line))
                for scope in (frame.f_globals, frame.f_locals)
                if name in scope
            ]
            if values:
                print("\t" + " ".join(values))


def spew(trace_names=None, show_values=False):
    """Trace this thread to the standard output."""
    sys.settrace(Spew(trace_names, show_values))


def unspew():
    """End the effect of `spew`."""
    sys.settrace(None)
