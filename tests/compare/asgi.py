"""ASGI applications: scopes, messages and answers."""

from __future__ import annotations

import re
import signal
import socket

from compare.scenarios import SCENARIOS, Stage

APP = """\
import os

KEYS = ["type", "http_version", "method", "scheme", "path", "raw_path", "query_string",
        "root_path", "headers"]
ANSWERS = {
    "204": (204, [], [b"body"]), "304": (304, [], [b"body"]), "205": (205, [], []),
    "204-length": (204, [(b"content-length", b"4")], [b"body"]),
    "599": (599, [(b"content-length", b"4")], [b"body"]),
    "early": (200, [(b"content-length", b"2")], [b"ok"]),
    "stream": (200, [], [b"a", b"", b"b"]), "raise": (None, [], []),
    "close": (200, [(b"connection", b"close"), (b"content-length", b"2")], [b"ok"]),
    "long": (200, [(b"content-length", b"2")], [b"four"]),
    "injected": (200, [(b"x-a", b"b\\r\\nx-c: d"), (b"content-length", b"2")], [b"ok"]),
}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for name in ("startup", "shutdown"):
            print((await receive())["type"], flush=True)
            await send({"type": f"lifespan.{name}.complete"})
        return
    answer = ANSWERS.get(scope["query_string"].decode())
    if answer is None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        text = repr([scope[key] for key in KEYS] + [body]).encode()
        answer = 200, [(b"content-length", b"%d" % len(text))], [text]
    status, headers, pieces = answer
    if status is None:
        raise RuntimeError("on purpose")
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for piece in pieces[:-1]:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"".join(pieces[-1:])})
"""

#: Fields of an answer that are compared.
FRAMING = ("content-length", "transfer-encoding", "connection", "x-")


def request(target="/", fields=(), body=b"", method="GET", version="1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: a", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def post(body: bytes, *fields: str, **options) -> bytes:
    return request(fields=fields, body=body, method="POST", **options)


def chunked(body: bytes, *fields: str, **options) -> bytes:
    return post(body, "Transfer-Encoding: chunked", *fields, **options)


def last(query="", fields=(), **options) -> bytes:
    return request("/" + query, ["Connection: close", *fields], **options)


def conversation(stage: Stage, data: bytes) -> str:
    with socket.create_connection(("127.0.0.1", stage.port), 20) as client:
        client.sendall(data)
        answer = b""
        try:
            while block := client.recv(65536):
                answer += block
        except OSError:
            pass
    return answer.decode("latin-1")


def shown(answer: str) -> str:
    """Answers by their status, framing and body; of an error the status."""
    told = []
    for one in re.split(r"(?=HTTP/\d\.\d \d{3} )", answer)[1:]:
        head, _, body = one.partition("\r\n\r\n")
        line, *fields = head.split("\r\n")
        framing = sorted(f.lower() for f in fields if f.lower().startswith(FRAMING))
        framing = [field for field in framing if field != "connection: keep-alive"]
        fails = line[9] == "5" and "599" not in line or line[9] == "4"
        told.append(line[9:12] if fails else " ".join([line[:12], *framing, repr(body)]))
    return " | ".join(told)


CLOSE = "Connection: close"
REQUESTS = {
    "targets": [
        request(target, [CLOSE])
        for target in ("/x?q=1", "/a%20b%2Fc%C3%A4", "/%FF%zz%", "//x//y", "/a/../b", "/x;p=1",
                       "/x?", "/x#f", "http://b.example/x?q", "http://b.example", "x", "/\xe4", "*")
    ] + [last(method="CONNECT"), request("*", [CLOSE], method="OPTIONS"), last(method="get")],
    "fields": [
        last(fields=fields)
        for fields in (["X-A: 1", "x-a: 2"], ["Cookie: a=1", "Cookie: b=2"], ["X-A: \t 1 \t"],
                       ["X-A:"], ["X-A: \xe4"], ["X_A: 1"], ["X-A: 1\r\n 2"], ["X-A : 1"],
                       ["Host: b"], ["X-A: a\0b"], ["X-Forwarded-Proto: https"],
                       ["X-Forwarded-For: 192.0.2.1"], ["Upgrade: other"])
    ],
    "bodies": [
        post(b"abc", "Content-Length: 3", CLOSE), post(b"", "Content-Length: 0", CLOSE),
        post(b"", CLOSE), post(b"abc", "Content-Length: 3", "Expect: 100-continue", CLOSE),
        post(b"abc", "Content-Length: 3", "Content-Length: 3", CLOSE),
        post(b"abcd", "Content-Length: 3", "Content-Length: 4", CLOSE),
        post(b"", "Content-Length: -1", CLOSE),
        chunked(b"3\r\nabc\r\n2;e=1\r\nde\r\n0\r\n\r\n", CLOSE),
        chunked(b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n", CLOSE),
        chunked(b"zz\r\nabc\r\n0\r\n\r\n", CLOSE),
        chunked(b"3\r\nabc\r\n0\r\n\r\n", "Content-Length: 3", CLOSE),
        chunked(b"3\r\nabc\r\n0\r\n\r\n", version="1.0"),
        post(b"abc", "Content-Length: 3") + last("?early"),
    ],
    "answers": [
        request(f"/?{name}") + last("?early")
        for name in ("204", "304", "205", "204-length", "599", "early", "stream")
    ] + [
        last(f"?{name}") for name in ("raise", "close", "long", "injected", "stream")
    ] + [
        request("/?early", method="HEAD") + last("?early"), request("/?stream", version="1.0"),
        request("/?early", version="1.0"), last(version="1.2"), last(version="2.0"),
        last("?stream", method="HEAD"),
    ],
}  # fmt: skip


def _asked(requests):
    def play(stage: Stage):
        stage.app_file.write_text(APP)
        stage.start("-k", "asgi", "--root-path", "/root").says("lifespan.startup")
        stage.answers += [shown(conversation(stage, data)) for data in requests]
        stage.kill(signal.SIGTERM).ends()

    return play


for _name, _requests in REQUESTS.items():
    SCENARIOS[f"asgi_{_name}"] = _asked(_requests)
