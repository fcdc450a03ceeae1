"""What differs between two visits, save what always does and what is meant to."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass

from visit import Answer

SHOWN = 3  # differing lines of a body or log that are printed
COMPARED = 400_000  # bytes of a body up to which its lines are compared
IGNORED_HEADERS = {"date"}
PLACED = {"connection", "date", "server", "transfer-encoding"}  # where the server likes them
NEW_EACH_TIME = (
    (re.compile(r"nonce[-=\"]+[\w+/=-]+"), "NONCE"),
    (re.compile(r"ThreadPoolExecutor-\d+_\d+|\brequest-\d+"), "THREAD"),  # the names of threads
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?([.,]\d+)?( ?[+-]\d\d:?\d\d|Z)?"), "TIME"),
    (re.compile(r"(\w{3}, )?\d\d[ -/]\w{3}[ -/]\d{4}[: ]\d\d:\d\d:\d\d( GMT| [+-]\d{4})?"), "TIME"),
    (
        re.compile(r"[\w.+=-]{20,}"),
        lambda m: "TOKEN" if re.search(r"\d|[a-z][A-Z]", m[0]) else m[0],
    ),
    (re.compile(r"0x[0-9a-f]+"), "ADDRESS"),
)
SERVER_FRAME = re.compile(r'(?m)^ *File ".*/(server/gunicorn|uvicorn)/.*\n( {4,}.*\n)*')
#: In the error log and what an application prints, numbers are mostly pids and durations.
NUMBER = re.compile(r"\d+(\.\d+)?")

#: Differences that are meant: what they look like, and why.
ACCEPTED = (
    (r"header connection:", "connections are kept in sync, too"),
    (r"access log: .*\\x[0-9a-f]{2}", "the access log escapes control characters"),
    (
        r'access log: .* [2-5]\d\d 0 ".* \| .* [2-5]\d\d ([1-9]|BYTES)',
        "what sendfile sent is logged, not 0",
    ),
    (r"access log: None .* 500 ", "a request that failed has a line"),
    (r"log: .*Logging is disabled for gunicorn", "the log says that the application silenced it"),
    (r"log: .* has been booting for", "the log says that an application takes long to load"),
    (r"WEBSOCKET.*: access log: None .* 101 ", "a WebSocket has a line"),
    (r"^reload: .* \| no request failed", "no request is lost by a reload"),
    (
        r"\(chunked\): (?!.*\| (failed|HTTP/1.1 5))",
        "an application that reads no body without a length sees chunked ones",
    ),
    (r"log: \[TIME\] \[\S+\] \[INFO\] ", "lines of the server about itself"),
)

#: The same for ASGI applications, whose reference is uvicorn.
UVICORN = (
    (r"header server: \['uvicorn'\]", "the server's name"),
    (r"^stop: exit status -15 \| exit status 0$", "uvicorn ends by the signal"),
    (r"status: HTTP/1.1 (.*) \| HTTP/1.0 \1$", "a client of HTTP/1.0 is answered in it"),
    (r"log:  +|log: (Traceback|During handling|The above)", "frames and counts of tracebacks"),
    (r"log: (ERROR: +|\[TIME\] \[\S+\] \[ERROR\] Error )", "the line above a traceback"),
    (r"header transfer-encoding: \['chunked'\] \| None$", "a client of HTTP/1.0 knows no chunks"),
    (r"body line.*(refused \d+) .* \| .*\1 .*<html>", "a refused WebSocket has an error page"),
    (r"body line.*closed None .* \| .*closed \(\d+, ''\)", "uvicorn closes without a code"),
    (r"body line.*left 1005.* \| .*left 1006", "1006 is an end without a close frame, RFC 6455"),
    (r"Content-Length announces|shorter than Content-Length", "the server's own words"),
    (r"loop_block_warning", "a blocked event loop is logged"),
    (r"log: .*(after serving|manager started)", "a reload runs the lifespan once more"),
    (r"/static/\S*: (header vary|order of)", "Starlette does not compress what pathsend sends"),
)

#: And behind a proxy, by its way (front.py).
GATEWAY = (
    (r"header server: \['nginx", "nginx passes the server's name on, but by proxy_pass its own"),
    (r"/(\.\.|%2e%2e)/", "nginx resolves the dots of the path before it is PATH_INFO"),
    (r'"scheme":"https".* \| .*"scheme":"http"', "REQUEST_SCHEME counts, not X-Forwarded-Proto"),
    (r"\(HTTP/1.0\): ", "the client's version is the request's, by proxy_pass it is nginx's"),
)
BEHIND: dict[str, tuple[tuple[str, str], ...]] = {
    "uwsgi_pass": GATEWAY,
    "fastcgi_pass": (*GATEWAY, (r"WEBSOCKET|PROGRAM", "FastCGI has no WebSockets")),
    "send-proxy-v2": (),
    "tls-send-proxy-v2": (),
}


@dataclass
class Record:
    """One server's answers and logs."""

    answers: list[Answer]
    access: list[str]
    error: str
    later: str  # what came in the error log while it reloaded and stopped
    end: dict[str, str]  # how the reload and the stop went

    def facts(self) -> dict[str, object]:
        """All that is compared, by where it is."""
        facts: dict[str, object] = dict(self.end)
        for answer in self.answers:
            facts |= facts_of(answer)
        for line in self.access:
            agent = re.search(r"visitor/(\d+)", line)
            if agent:
                answer = self.answers[int(agent[1])]
                facts[f"{answer.label}: access log"] = sized(answer, line)
        facts |= {f"log: {line}": n for line, n in Counter(lines_of_log(self.error)).items()}
        return facts | {f"later in the log: {line}": True for line in lines_of_log(self.later)}


def lines_of_log(text: str) -> list[str]:
    """Without the server's own frames in tracebacks."""
    lines = settled(SERVER_FRAME.sub("", text)).splitlines()
    return [NUMBER.sub("N", line) for line in lines if line.strip(" ~^")]


def sized(answer: Answer, line: str) -> str:
    """Without the length of a body in which something is new each time."""
    body = shown(answer.body)
    steady = settled(body) == body or " 0 " in line
    return line if steady else re.sub(r" \d+(?= \"|$)", " BYTES", line)


def settled(text: str) -> str:
    for pattern, name in NEW_EACH_TIME:
        text = pattern.sub(name, text)
    return text


def shown(body: bytes) -> str:
    if len(body) <= COMPARED:
        return body.decode("latin-1")
    return f"{len(body)} bytes {hashlib.sha256(body).hexdigest()[:16]}"


def facts_of(answer: Answer) -> dict[str, object]:
    facts: dict[str, object] = {f"{answer.label}: status": answer.status}
    for name, value in answer.headers:
        name = name.lower()
        if name == "set-cookie":
            name, value = f"{name} {value.partition('=')[0]}", value.partition(";")[2]
        if name == "content-length":
            value = sized(answer, f" {value}")
        if name not in IGNORED_HEADERS:
            facts.setdefault(f"{answer.label}: header {name}", []).append(settled(value))
    names = [n.lower() for n, _ in answer.headers]
    facts[f"{answer.label}: order of the headers"] = [n for n in names if n not in PLACED]
    lines = settled(shown(answer.body)).splitlines()
    facts[f"{answer.label}: lines of the body"] = len(lines)
    facts |= {f"{answer.label}: body line {n:04}": line for n, line in enumerate(lines)}
    return facts


def differing(a: Record, b: Record) -> dict[str, tuple[object, object]]:
    one, other = a.facts(), b.facts()
    places = sorted(one.keys() | other.keys())
    return {p: (one.get(p), other.get(p)) for p in places if one.get(p) != other.get(p)}


def accepted(place: str, pair: tuple[object, object], meant) -> str | None:
    text = f"{place}: {pair[0]} | {pair[1]}"
    return next((why for pattern, why in (*ACCEPTED, *meant) if re.search(pattern, text)), None)


def shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 300 else text[:300] + f"… ({len(text)})"


def report(found: dict[str, tuple[object, object]], meant) -> tuple[list[str], Counter]:
    """The lines to print, and how often each accepted reason was met."""
    lines: list[str] = []
    reasons: Counter = Counter()
    shown: Counter = Counter()
    for place, pair in found.items():
        why = accepted(place, pair, meant)
        if why:
            reasons[why] += 1
            continue
        kind = re.sub(r"line \d+$", "line", place)
        shown[kind] += 1
        if shown[kind] <= SHOWN:
            lines += [
                place,
                f"    original: {shorten(pair[0])}",
                f"    here:     {shorten(pair[1])}",
            ]
    return lines, reasons
