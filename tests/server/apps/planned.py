"""An application that does what a plan says, step by step: see helpers/plans.py.

The plan comes as JSON in the header X-Plan. /report tells what became of all plans so far.
"""

import gc
import json
import os
import sys
import tempfile
import threading
import weakref

import memory  # noqa: F401  (fills Python's cache of methods, whose references would count)

CHUNK = 7  # bytes that an odd file gives at a time

lock = threading.Lock()
made = closed = 0
wrong = []  # what was not as it must be, in words
alive = weakref.WeakSet()
kept = []  # start_response and write of an earlier request


class Token:
    """Goes along with a request's objects, to be missed if one of them is not freed."""

    def __init__(self):
        alive.add(self)


class Text(str):
    """A string of a class of its own."""


class Bytes(bytes):
    """The same for bytes."""


class Failure(Exception):
    """One whose text is not to be had."""

    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


ERRORS = {
    "ValueError": ValueError,
    "KeyError": KeyError,
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "MemoryError": MemoryError,
    "BrokenPipeError": BrokenPipeError,
    "RecursionError": RecursionError,
    "Failure": Failure,
}


class Closing:
    """What has a close() that is to be called once."""

    def __init__(self, plan):
        global made
        self.plan = plan
        self.token = Token()
        self.closings = 0
        with lock:
            made += 1

    def close(self):
        global closed
        with lock:
            closed += 1
        self.closings += 1
        if self.closings > 1:
            wrong.append(f"closed {self.closings} times: {self.plan.given}")
        for step in self.plan.given["close"]:
            self.plan.do(step)


class Iterable(Closing):
    def __iter__(self):
        return self.plan.generate()


class Iterator(Closing):
    def __init__(self, plan):
        super().__init__(plan)
        self.steps = iter(plan.given["items"])

    def __iter__(self):
        return self

    def __next__(self):
        for step in self.steps:
            if step[0] == "item":
                return self.plan.value(step[1])
            self.plan.do(step)
        raise StopIteration


class NoIterator(Closing):
    """Is iterable only by its looks."""

    def __iter__(self):
        return 7


class BadIter(Closing):
    def __iter__(self):
        raise ZeroDivisionError


class List(list):
    """A list that is closed."""

    def __init__(self, plan, items):
        super().__init__(items)
        self.close = Closing(plan).close


class Odd:
    """A file that the system does not know; gives text at its end if it is told so."""

    def __init__(self, closing, data, last=b""):
        self.close = closing.close
        self.data = data
        self.last = last

    def read(self, size=-1):
        piece, self.data = self.data[:CHUNK], self.data[CHUNK:]
        if not piece:
            piece, self.last = self.last, b""
        return piece


class RealFile:
    def __init__(self, closing, data, skip):
        self.file = tempfile.TemporaryFile()
        self.file.write(b"-" * skip + data)
        self.file.seek(skip)
        self.closing = closing
        self.fileno = self.file.fileno
        self.read = self.file.read

    def close(self):
        self.file.close()
        self.closing.close()


class Plan:
    def __init__(self, environ, start_response):
        self.given = json.loads(environ["HTTP_X_PLAN"])
        self.environ = environ
        self.start_response = start_response
        self.letter = b"%c" % (ord("a") + self.given["id"] % 26)
        self.token = environ["planned.token"] = Token()
        self.write = None
        self.read = b""

    def value(self, value):
        """A body's item."""
        kind, n = value
        data = self.letter * n
        return {
            "bytes": lambda: data,
            "subclass": lambda: Bytes(data),
            "str": lambda: data.decode(),
            "none": lambda: None,
            "int": lambda: n,
            "bytearray": lambda: bytearray(data),
            "memoryview": lambda: memoryview(data),
            "list": lambda: [data],
        }[kind]()

    def text(self, value):
        """A status, a name or a value of a header; a list stands for bytes."""
        if isinstance(value, list):
            return bytes(value)
        return Text(value) if isinstance(value, str) and len(value) % 5 == 4 else value

    def headers(self, given):
        pairs = [(self.text(name), self.text(value)) for name, value in given["pairs"]]
        return {
            "list": lambda: pairs,
            "tuple": lambda: tuple(pairs),
            "lists": lambda: [list(pair) for pair in pairs],
            "generator": lambda: (pair for pair in pairs),
            "items": lambda: dict.fromkeys(pairs).keys(),
            "triples": lambda: [(*pair, "") for pair in pairs],
            "strings": lambda: ["ab" for _ in pairs],
            "none": lambda: None,
            "int": lambda: 5,
        }[given["shape"]]()

    def do(self, step):
        getattr(self, f"do_{step[0]}")(*step[1:])

    def do_start(self, status, headers, again):
        args = [self.text(status), self.headers(headers)]
        if not again:
            self.write = self.start_response(*args)
            return
        try:
            raise Again
        except Again:
            self.write = self.start_response(*args, sys.exc_info())

    def do_try(self, step):
        try:
            self.do(step)
        except Exception:
            pass

    def do_write(self, value):
        if self.write is None:
            raise LookupError("nothing to write to")
        self.write(self.value(value))

    def do_hints(self, headers):
        self.environ["wsgi.early_hints"](self.headers(headers))

    def do_raise(self, kind):
        raise ERRORS[kind](self.token)

    def do_keep(self):
        kept.append((self.start_response, self.write))

    def do_late(self):
        """What belongs to a request that is over is of no use, and does no harm."""
        with lock:
            late, kept[:] = kept[:], []
        for start_response, write in late:
            if start_response is self.start_response:
                continue
            try:
                start_response("200 OK", [("X-Late", "1")])
                wrong.append("start_response of a request that is over")
            except RuntimeError:
                pass
            try:
                if write:
                    write(b"late")
                    wrong.append("write of a request that is over")
            except RuntimeError:
                pass

    def do_read(self, how, n):
        body = self.environ["wsgi.input"]
        if how == "read":
            piece = body.read() if n < 0 else body.read(n)
        elif how == "line":
            piece = body.readline() if n < 0 else body.readline(n)
        elif how == "lines":
            piece = b"".join(body.readlines())
        elif how == "iterate":
            piece = b"".join(body)
        else:
            piece = body.read("much")
        self.read += piece
        if not self.given["body"].encode().startswith(self.read):
            wrong.append(f"read {self.read!r}: {self.given}")

    def generate(self):
        for step in self.given["items"]:
            if step[0] == "item":
                yield self.value(step[1])
            else:
                self.do(step)

    def result(self):
        kind = self.given["result"]
        values = [self.value(step[1]) for step in self.given["items"] if step[0] == "item"]
        data = b"".join(value for value in values if isinstance(value, bytes))
        wrapper = self.environ["wsgi.file_wrapper"]
        return {
            "list": lambda: values,
            "tuple": lambda: tuple(values),
            "list_subclass": lambda: List(self, values),
            "generator": self.generate,
            "iterator": lambda: Iterator(self),
            "iterable": lambda: Iterable(self),
            "no_iterator": lambda: NoIterator(self),
            "bad_iter": lambda: BadIter(self),
            "none": lambda: None,
            "int": lambda: 7,
            "str": data.decode,
            "bytes": lambda: data,
            "file": lambda: wrapper(RealFile(Closing(self), data, self.given["id"] % 9)),
            "odd_file": lambda: wrapper(Odd(Closing(self), data), 3),
            "text_file": lambda: wrapper(Odd(Closing(self), data, "text")),
        }[kind]()


class Again(Exception):
    """What a second call of start_response is about."""


def report(start_response):
    gc.collect()
    counts = {
        "pid": os.getpid(),
        "made": made,
        "closed": closed,
        "wrong": wrong[:5],
        "alive": len(alive),
        "kept": len(kept),
        "references": [sys.getrefcount(one) for one in (None, True, False, (), b"", "", b"a", 200)],
        "blocks": sys.getallocatedblocks(),
    }
    body = json.dumps(counts).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def app(environ, start_response):
    if environ["PATH_INFO"] == "/report":
        return report(start_response)
    plan = Plan(environ, start_response)
    for step in plan.given["before"]:
        plan.do(step)
    return plan.result()
