#!/usr/bin/env python3
"""Feed the same requests to gunicorn's Python parser and to ours, and list what differs.

    compare_http1.py --gunicorn VENV --cli PATH [--count N] [--seed N]

VENV is a virtual environment with the original gunicorn (27.0.1), PATH the program built from
parse_cli.c. Requests are valid ones, mutations of them, and token soup, under settings and
segmentations chosen at random. What differs on purpose is in INTENDED, with the reason; anything
else is printed and makes the exit status 1.
"""

import argparse
import collections
import dataclasses
import json
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FLAGS = {
    "permit_obsolete_folding": 1,
    "permit_unconventional_http_method": 2,
    "permit_unconventional_http_version": 4,
    "strip_header_spaces": 8,
    "casefold_http_method": 16,
}
TRUSTED, TLS, ANY_NAME = 32, 64, 128
MAPS = {"drop": 0, "refuse": 256, "dangerous": 512}
TRUSTED_PEER, OTHER_PEER = ("127.0.0.1", 40000), ("192.0.2.7", 40000)


@dataclasses.dataclass(frozen=True)
class Case:
    """One request, with the settings it meets."""

    data: bytes
    step: int = 0
    line: int = 4094
    fields: int = 100
    field_size: int = 8190
    switches: tuple[str, ...] = ()
    trusted: bool = False
    tls: bool = False
    any_name: bool = False
    header_map: str = "drop"

    def flags(self) -> int:
        return (
            sum(FLAGS[name] for name in self.switches)
            | TRUSTED * self.trusted
            | TLS * self.tls
            | ANY_NAME * self.any_name
            | MAPS[self.header_map]
        )

    def frame(self) -> bytes:
        numbers = (len(self.data), self.step, self.line, self.fields, self.field_size, self.flags())
        return struct.pack("=6I", *numbers) + self.data


Result = dict[str, Any]


class Original:
    """gunicorn's own parser, asked in its own process."""

    STATUS = {
        "LimitRequestLine": 414,
        "LimitRequestHeaders": 431,
        "ExpectationFailed": 417,
        "UnsupportedTransferCoding": 501,
    }

    def __init__(self, venv: Path) -> None:
        site = next(venv.glob("lib/python*/site-packages"))
        sys.path.insert(0, str(site))
        from gunicorn.config import Config
        from gunicorn.http import errors, parser

        self.config_class, self.errors, self.parser = Config, errors, parser
        self.configs: dict[tuple, Any] = {}

    def config(self, case: Case) -> Any:
        key = dataclasses.astuple(dataclasses.replace(case, data=b"", step=0))
        if key not in self.configs:
            config = self.config_class()
            config.set("http_parser", "python")
            config.set("limit_request_line", case.line)
            config.set("limit_request_fields", case.fields)
            config.set("limit_request_field_size", case.field_size)
            config.set("header_map", case.header_map)
            for name in case.switches:
                config.set(name, True)
            if case.any_name:
                config.set("forwarder_headers", "SCRIPT_NAME,PATH_INFO,*")
            if case.tls:
                config.set("certfile", "/dev/null")
            self.configs[key] = config
        return self.configs[key]

    def ask(self, case: Case) -> Result:
        step = case.step or len(case.data) or 1
        pieces = [case.data[i : i + step] for i in range(0, len(case.data), step)]
        peer = TRUSTED_PEER if case.trusted else OTHER_PEER
        source = self.parser.RequestParser(self.config(case), iter(pieces), peer)
        try:
            return self.describe(next(source), source)
        except (StopIteration, self.errors.NoMoreData):
            return {"result": "partial"}
        except self.errors.ParseException as error:
            if len(getattr(error, "term", b"full")) < 2:  # the end of input inside a chunked body
                return {"result": "partial"}
            kind = type(error).__name__
            status = self.STATUS.get(kind, 400)
            text = str(error).encode("utf-8", "surrogateescape").decode()
            return {"result": "error", "status": status, "text": text, "kind": kind}

    def describe(self, request: Any, source: Any) -> Result:
        headers = [[name, value] for name, value in request.headers]
        length = next((int(value) for name, value in headers if name == "CONTENT-LENGTH"), 0)
        body = request.body.read()
        if len(body) < length:
            return {"result": "partial"}
        rest = b""
        while piece := source.unreader.read():
            rest += piece
        return {
            "result": "ok",
            "method": request.method,
            "uri": request.uri,
            "path": request.path,
            "query": request.query,
            "version": list(request.version),
            "scheme": request.scheme,
            "close": request.should_close(),
            "expect": request._expected_100_continue,
            "headers": headers,
            "body": body.decode("latin-1"),
            "rest": rest.decode("latin-1"),
        }


def ask_ours(cli: Path, cases: list[Case]) -> list[Result]:
    frames = b"".join(case.frame() for case in cases)
    done = subprocess.run([cli], input=frames, capture_output=True, timeout=300, check=False)
    if done.returncode != 0:
        sys.exit(f"{cli} failed ({done.returncode}):\n{done.stderr.decode()}")
    results = [json.loads(line) for line in done.stdout.split(b"\n") if line]
    for result in results:
        for header in result.get("headers", []):
            header[0] = header[0].upper()
    return results


# --- requests -----------------------------------------------------------------------------------

LINES = [
    "GET / HTTP/1.1",
    "GET /hello/world?name=x&y=%20z HTTP/1.1",
    "POST /form HTTP/1.1",
    "GET /a?b#c?d HTTP/1.1",
    "GET /a#b?c HTTP/1.1",
    "GET //host/path?x HTTP/1.1",
    "GET http://example.org/path?q=1 HTTP/1.1",
    "GET http://example.org HTTP/1.1",
    "GET http://example.org?x HTTP/1.0",
    "GET HTTPS://[::1]:8000/x HTTP/1.1",
    "GET http://[v1.x]/x HTTP/1.1",
    "GET http://[127.0.0.1]/x HTTP/1.1",
    "GET http://[::1/x HTTP/1.1",
    "GET http://user@[::1]/x HTTP/1.1",
    "GET 1://x/y HTTP/1.1",
    "GET a:b://x/y HTTP/1.1",
    "GET x?y=:// HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "GET * HTTP/1.1",
    "CONNECT example.org:443 HTTP/1.1",
    "CONNECT 127.0.0.1:443 HTTP/1.1",
    "CONNECT / HTTP/1.1",
    "GET example.org:80 HTTP/1.1",
    "HEAD / HTTP/1.0",
    "GET / HTTP/1.2",
    "GET / HTTP/2.0",
    "GET / HTTP/0.9",
    "GET / HTTP/1.10",
    "GET / http/1.1",
    "GET /",
    "GET  / HTTP/1.1",
    "GET /  HTTP/1.1",
    " GET / HTTP/1.1",
    "get / HTTP/1.1",
    "connect x:1 HTTP/1.1",
    "M-SEARCH * HTTP/1.1",
    "X#Y / HTTP/1.1",
    "GE / HTTP/1.1",
    "ABCDEFGHIJKLMNOPQRSTU / HTTP/1.1",
    "GET /caf\xe9 HTTP/1.1",
    "GET /\t HTTP/1.1",
    "",
]

FIELDS = [
    "Host: example.org",
    "Host: other",
    "host:x",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
    "Accept: */*",
    "Accept-Language: de,en;q=0.5",
    "Cookie: a=b; c=d",
    "X-Empty:",
    "X-Blank: \t ",
    "X-Latin: caf\xe9",
    "X-Tab: a\tb",
    "X_Under: 1",
    "Script_Name: /app",
    "SCRIPT_NAME: /app",
    "PATH_INFO: /x",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Ssl: on",
    "X-Forwarded-Protocol: ssl",
    "X-Forwarded-Protocol: SSL",
    "X-Forwarded-For: 192.0.2.1",
    "Connection: close",
    "Connection: Keep-Alive",
    "Connection: keep-alive, TE",
    "Connection: close, TE",
    "Connection: upgrade",
    "Expect: 100-continue",
    "Expect: 100-Continue",
    "Expect: 200-ok",
    "Expect:",
    "Content-Type: text/plain",
    "Content-Type: text/html",
    "Content-Length: 5",
    "Content-Length: 0",
    "Content-Length: 005",
    "Content-Length: +5",
    "Content-Length: -5",
    "Content-Length: 5, 5",
    "Content-Length: 5 5",
    "Content-Length: 0x5",
    "Content-Length: 5\xb2",
    "Content-Length:",
    "Content-Length: 18446744073709551621",
    "Content_Length: 3",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding:",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: br, chunked",
    "Transfer_Encoding: chunked",
    "Name : value",
    "Na me: value",
    ": value",
    "no colon",
    " leading: blank",
    "\tleading: blank",
    "X-Nul: a\0b",
    "X-Cr: a\rb",
    "X-Lf: a\nb",
    "X-Del: a\x7fb",
    "X\xe9: y",
    "X-Fold: a\r\n b",
    "X-Fold: a\r\n\tb \r\n  c",
    "X-Fold:\r\n b",
    "Content-Length:\r\n 5",
    "X-Long: " + "x" * 120,
]

# Those that a request may have together.
USUAL_FIELDS = FIELDS[:1] + FIELDS[3:29] + ["Content-Type: text/plain", "Content-Length: 5"]

BODIES = [
    b"",
    b"hello",
    b"hello world",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"0\r\n\r\n",
    b"000005\r\nhello\r\n00\r\n\r\n",
    b"A\r\n0123456789\r\n0\r\n\r\n",
    b"5;ext\r\nhello\r\n0\r\n\r\n",
    b'5 ; ext = "quoted \\" x" ; y=z\r\nhello\r\n0;a=b\r\n\r\n',
    b"5;ext=\r\nhello\r\n0\r\n\r\n",
    b"5;\r\nhello\r\n0\r\n\r\n",
    b"5;a \r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\nrest",
    b"5\r\nhello\r\n0\r\nX-Trailer: y\r\nZ:\r\n\r\n",
    b"5\r\nhello\r\n0\r\nHost: y\r\n\r\n",
    b"5\r\nhello\r\n0\r\nte: y\r\n\r\n",
    b"5\r\nhello\r\n0\r\nContent-Type: y\r\nContent-Type: z\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX y: y\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: y\0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: y\n\r\n",
    b"5\r\nhello\r\n0\r\n\rX",
    b'5;a="x\ry"\r\nhello\r\n0\r\n\r\n',
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"\r\n",
    b"zz\r\n",
    b"5" + b"0" * 60 + b"\r\n",
]

PIECES = [b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b";", b",", b"_", b"-", b"0", b"5"]
PIECES += [b'"', b"\\", b"\xe9", b"\xff", b"\x7f", b"chunked", b"close", b"\r\n\r\n", b"\r\n "]
PIECES += [b"Content-Length", b"Transfer-Encoding", b"HTTP/1.1", b"GET", b"://", b"#", b"?", b"["]


class Generator:
    """Cases, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def settings(self) -> dict[str, Any]:
        numbers = self.random
        chosen: dict[str, Any] = {
            "trusted": numbers.random() < 0.5,
            "tls": numbers.random() < 0.2,
            "header_map": numbers.choice(["drop", "drop", "refuse", "dangerous"]),
            "step": numbers.choice([0, 0, 0, 1, 2, 3, 7, 50]),
        }
        if numbers.random() < 0.3:
            names = [name for name in FLAGS if numbers.random() < 0.4]
            chosen["switches"] = tuple(names)
        if numbers.random() < 0.1:
            chosen["any_name"] = True
        if numbers.random() < 0.15:
            chosen["line"] = numbers.choice([0, 10, 14, 20, 40])
        if numbers.random() < 0.15:
            chosen["fields"] = numbers.choice([1, 2, 3, 5])
        if numbers.random() < 0.15:
            chosen["field_size"] = numbers.choice([8, 16, 24, 40])
        return chosen

    def plain(self) -> bytes:
        numbers = self.random
        line = LINES[0] if numbers.random() < 0.6 else numbers.choice(LINES)
        usual = numbers.random() < 0.5
        fields = numbers.choices(
            USUAL_FIELDS if usual else FIELDS, k=numbers.choice([0, 1, 1, 2, 3, 4, 8])
        )
        if usual:
            fields = list({field.partition(":")[0].lower(): field for field in fields}.values())
        if numbers.random() < 0.4:
            fields.append("Transfer-Encoding: chunked")
        head = "\r\n".join([line, *fields, "", ""]).encode("latin-1")
        prefix = b"\r\n" if numbers.random() < 0.05 else b""
        return prefix + head + numbers.choice(BODIES)

    def mutated(self, data: bytes) -> bytes:
        numbers = self.random
        changed = bytearray(data)
        for _ in range(numbers.choice([1, 1, 2, 4])):
            at = numbers.randrange(len(changed) + 1)
            kind = numbers.randrange(4)
            if kind == 0:
                changed[at:at] = numbers.choice(PIECES)
            elif kind == 1:
                del changed[at : at + numbers.choice([1, 1, 2, 5])]
            elif kind == 2 and at < len(changed):
                changed[at] = numbers.randrange(256)
            else:
                changed[at : at + 1] = numbers.choice(PIECES)
        return bytes(changed)

    def soup(self) -> bytes:
        numbers = self.random
        parts = [numbers.choice(PIECES) for _ in range(numbers.randrange(1, 30))]
        return (b"GET / HTTP/1.1\r\n" if numbers.random() < 0.7 else b"") + b"".join(parts)

    def cases(self, count: int) -> Iterator[Case]:
        for _ in range(count):
            kind = self.random.random()
            if kind < 0.35:
                data = self.plain()
            elif kind < 0.9:
                data = self.mutated(self.plain())
            else:
                data = self.soup()
            if data:
                yield Case(data, **self.settings())


# --- what differs on purpose --------------------------------------------------------------------


def head_of(case: Case) -> bytes:
    start = 2 if case.data.startswith(b"\r\n") else 0
    return case.data[start:].partition(b"\r\n\r\n")[0]


def both_refused(case: Case, theirs: Result, ours: Result) -> bool:
    return theirs["result"] == "error" == ours["result"]


def refused_early(case: Case, theirs: Result, ours: Result) -> bool:
    """gunicorn waits for an end of the head, or of the trailers, that never comes."""
    return theirs["result"] == "partial" and ours["result"] == "error"


def connection_is_a_list(case: Case, theirs: Result, ours: Result) -> bool:
    values = [value for name, value in ours.get("headers", []) if name == "CONNECTION"]
    same = {**theirs, "close": None} == {**ours, "close": None}
    return same and (len(values) > 1 or any("," in value for value in values))


def dropped_fields_count(case: Case, theirs: Result, ours: Result) -> bool:
    return ours.get("status") == 431 and b"_" in head_of(case)


def buffer_limit(case: Case, theirs: Result, ours: Result) -> bool:
    return theirs.get("text") == "max buffer headers"


def scheme_letter(case: Case, theirs: Result, ours: Result) -> bool:
    parts = {"path": None, "query": None, "close": None}
    same_but_path = {**theirs, **parts} == {**ours, **parts}
    return same_but_path and bool(re.match(r"[0-9+.-]", ours.get("uri", "")))


def strict_brackets(case: Case, theirs: Result, ours: Result) -> bool:
    refused = "request line" in ours.get("text", "") and ours["status"] == 400
    return refused and bool(re.search(rb"//[^/?# ]*[][]", case.data))


def huge_length(case: Case, theirs: Result, ours: Result) -> bool:
    return ours["result"] == "error" and bool(re.search(rb"(?i)length:[ \t]*[0-9]{19}", case.data))


def huge_chunk(case: Case, theirs: Result, ours: Result) -> bool:
    return ours["result"] == "error" and bool(re.search(rb"[0-9a-fA-F]{16}", case.data))


def long_chunk_line(case: Case, theirs: Result, ours: Result) -> bool:
    return "the line is too long" in ours.get("text", "")


def trailer_rules(case: Case, theirs: Result, ours: Result) -> bool:
    relaxed = {"permit_obsolete_folding", "strip_header_spaces"} & set(case.switches)
    return bool(relaxed) and "trailer section" in ours.get("text", "")


def trailer_underscore(case: Case, theirs: Result, ours: Result) -> bool:
    return (
        case.header_map == "refuse"
        and theirs.get("kind") == "InvalidHeaderName"
        and ours["result"] in ("ok", "partial")
        and "_" in theirs["text"]
        and b"\r\n0" in case.data
    )


Rule = Callable[[Case, Result, Result], bool]
INTENDED: dict[str, Rule] = {
    "Connection is a list of tokens, over all its fields": connection_is_a_list,
    "dropped fields count against limit_request_fields": dropped_fields_count,
    "gunicorn's limit of the whole head counts what it happened to read": buffer_limit,
    "a scheme begins with a letter (urlsplit() of Python 3.10 takes a digit)": scheme_letter,
    "brackets in an authority stand around the whole host": strict_brackets,
    "a Content-Length above 2^63-1 is refused": huge_length,
    "a chunk size above 2^63-1 is refused": huge_chunk,
    "a size line over its limit is refused however it arrives": long_chunk_line,
    "trailers are never folded, nor their names stripped": trailer_rules,
    "header_map does not look at trailers, which nobody sees": trailer_underscore,
    "refused before the head or the body is whole": refused_early,
}


def same(theirs: Result, ours: Result) -> bool:
    if theirs["result"] != ours["result"]:
        return False
    if ours["result"] == "ok":
        return theirs == ours
    return theirs.get("status") == ours.get("status")


def explain(case: Case, theirs: Result, ours: Result) -> str | None:
    return next((name for name, rule in INTENDED.items() if rule(case, theirs, ours)), None)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--gunicorn", type=Path, required=True, metavar="VENV")
    arguments.add_argument("--cli", type=Path, required=True, metavar="PATH")
    arguments.add_argument("--count", type=int, default=20_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--show", type=int, default=20, help="differences to print")
    arguments.add_argument(
        "--texts", action="store_true", help="also list refusals whose words differ"
    )
    options = arguments.parse_args()

    original = Original(options.gunicorn)
    cases = list(Generator(options.seed).cases(options.count))
    tally: collections.Counter[str] = collections.Counter()
    shown = 0
    for case, ours in zip(cases, ask_ours(options.cli, cases), strict=True):
        theirs = original.ask(case)
        if same(theirs, ours):
            verdict = "same: " + ours["result"]
            if options.texts and ours["result"] == "error" and theirs["text"] != ours["text"]:
                print("words:", case.data[:120], case.step, theirs["text"], "|", ours["text"])
        else:
            verdict = explain(case, theirs, ours)
            if verdict is None and both_refused(case, theirs, ours):
                verdict = "both refuse, for another of several reasons"
                if options.texts:
                    print("status:", case, theirs, ours, sep="\n  ")
            verdict = verdict or "UNINTENDED"
        tally[verdict] += 1
        if verdict == "UNINTENDED" and shown < options.show:
            shown += 1
            print(case, theirs, ours, "", sep="\n  ")
    for verdict, number in tally.most_common():
        print(f"{number:8} {verdict}")
    return 1 if tally["UNINTENDED"] else 0


if __name__ == "__main__":
    sys.exit(main())
