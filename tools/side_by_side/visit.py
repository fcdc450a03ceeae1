"""The client: sends requests as a browser or a program would, and keeps what came back."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import re
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

TIMEOUT = 60.0
PROGRAM = 300.0
BOUNDARY = "side-by-side-boundary"
HTML = "text/html,application/xhtml+xml,*/*;q=0.8"


@dataclass
class Answer:
    """What came back, or the error in its place."""

    label: str
    status: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


class Hidden(HTMLParser):
    """The hidden fields of a page's forms, as CSRF tokens are."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.feed(page.decode("utf-8", "replace"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = dict(attrs)
        if tag == "input" and a.get("type") == "hidden" and a.get("name"):
            self.fields[a["name"]] = a.get("value") or ""


def multipart(fields: dict[str, str], files: dict[str, tuple[str, bytes]]) -> bytes:
    parts = [(f'name="{name}"', "", value.encode()) for name, value in fields.items()]
    for name, (filename, data) in files.items():
        kind = "Content-Type: application/octet-stream\r\n"
        parts.append((f'name="{name}"; filename="{filename}"', kind, data))
    return (
        b"".join(
            f"--{BOUNDARY}\r\nContent-Disposition: form-data; {name}\r\n{kind}\r\n".encode()
            + data
            + b"\r\n"
            for name, kind, data in parts
        )
        + f"--{BOUNDARY}--\r\n".encode()
    )


class Visitor:
    """One browser with its cookies. Each request has a connection and a User-Agent of its own."""

    def __init__(self, port: int, environ: dict[str, str] | None = None) -> None:
        self.port = port
        self.environ = environ or {}  # of programs
        self.cookies: dict[str, str] = {}
        self.answers: list[Answer] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        chunked: bool = False,
        label: str = "",
        version: int = 11,
        **headers: str,
    ) -> Answer:
        """Send a request and note its answer; `header_name=` for each further header."""
        answer = Answer(f"{len(self.answers):02} {method} {path} {label}".strip(), "")
        fields = {"User-Agent": f"visitor/{len(self.answers)}", "Accept": HTML}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            fields["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        try:
            self._exchange(answer, method, path, body, chunked, version, fields)
        except (OSError, EOFError, http.client.HTTPException) as e:
            answer.status = f"failed: {type(e).__name__}"
        self.answers.append(answer)
        return answer

    def _exchange(self, answer, method, path, body, chunked, version, fields) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        connection._http_vsn, connection._http_vsn_str = version, f"HTTP/1.{version - 10}"
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_accept_encoding=True)
            if chunked:
                fields["Transfer-Encoding"] = "chunked"
            elif body is not None:
                fields["Content-Length"] = str(len(body))
            for name, value in fields.items():
                connection.putheader(name, value)
            connection.endheaders(cut(body) if chunked else body, encode_chunked=chunked)
            response = connection.getresponse()
            answer.status = f"HTTP/1.{response.version - 10} {response.status} {response.reason}"
            answer.headers = response.getheaders()
            self._keep_cookies(answer)
            answer.body = response.read()
            if answer.header("Content-Encoding") == "gzip":
                answer.body = gzip.decompress(answer.body)

    def _keep_cookies(self, answer: Answer) -> None:
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]

    def get(self, path: str, **more) -> Answer:
        return self.send("GET", path, **more)

    def post(self, path: str, fields: dict[str, str], **more) -> Answer:
        """Send a form as browsers do."""
        more.setdefault("Content_Type", "application/x-www-form-urlencoded")
        return self.send("POST", path, urlencode(fields).encode(), **more)

    def json(self, method: str, path: str, value: object, **more) -> Answer:
        body = json.dumps(value).encode()
        return self.send(method, path, body, Content_Type="application/json", **more)

    def fill(self, path: str, fields: dict[str, str], files=None, to: str = "", **more) -> Answer:
        """Fetch a page with a form, and send that with its hidden fields and these."""
        hidden = Hidden(self.get(path, label="(form)").body).fields
        more |= {"Referer": self.address + path, "Origin": self.address}
        if files is None:
            return self.post(to or path, hidden | fields, **more)
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        body = multipart(hidden | fields, files)
        return self.send("POST", to or path, body, Content_Type=kind, **more)

    def upload(self, path: str, fields: dict[str, str], files, chunked: bool = False) -> Answer:
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        body = multipart(fields, files)
        return self.send("POST", path, body, chunked=chunked, Content_Type=kind)

    def program(self, name: str) -> None:
        """Run a client of the application's own, and note all that it prints."""
        environ = self.environ | {"URL": self.address}
        done = subprocess.run(
            ["python", name],
            cwd=environ["STATE"],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PROGRAM,
        )
        status = f"exit status {done.returncode}"
        label = f"{len(self.answers):02} PROGRAM {name}"
        self.answers.append(Answer(label, status, [], done.stdout))

    def again(self, answer: Answer) -> None:
        """Ask for the same once more, with what the answer gave to recognise it by."""
        asked = {"ETag": "If_None_Match", "Last-Modified": "If_Modified_Since"}
        known = {to: answer.header(by) for by, to in asked.items() if answer.header(by)}
        self.get(answer.label.split()[2], label="(conditional)", **known)

    def websocket(self, path: str, text: bytes) -> None:
        """Open a WebSocket, say something, and note the answer's first frame."""
        answer = Answer(f"{len(self.answers):02} WEBSOCKET {path}", "")
        mask = bytes(4)
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as sock:
            sock.sendall(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\n"
                f"User-Agent: visitor/{len(self.answers)}\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            stream = sock.makefile("rb")
            head = b"".join(iter(stream.readline, b"\r\n"))
            answer.status, _, rest = head.decode("latin-1").partition("\r\n")
            answer.headers = re.findall(r"(?m)^([^:\r\n]+): *([^\r\n]*)", rest)
            sock.sendall(bytes([0x81, 0x80 | len(text)]) + mask + text)
            answer.body = stream.read(2 + len(text))
            sock.sendall(bytes([0x88, 0x82]) + mask + b"\x03\xe8")
            stream.read()
        self.answers.append(answer)


def cut(body: bytes | None) -> list[bytes]:
    """Chunks of a size that fits nowhere."""
    body = body or b""
    return [body[i : i + 1001] for i in range(0, len(body), 1001)]


Visit = Callable[[Visitor], None]


def look_around(visitor: Visitor, pages: tuple[str, ...], static: str) -> None:
    """What any site is asked, whatever it is."""
    first = pages[0]
    for page in pages:
        answer = visitor.get(page)
        visitor.again(answer)
    visitor.send("HEAD", first)
    visitor.send("OPTIONS", first)
    visitor.get(first, label="(HTTP/1.0)", version=10)
    visitor.get(first, label="(gzip)", Accept_Encoding="gzip")
    visitor.get(first + ("&" if "?" in first else "?") + "q=%C3%A4+%2F&q=", label="(query)")
    visitor.get("/no/such%20page/%E2%82%AC")
    visitor.post("/no/such/form", {"a": "b"})
    visitor.post(first, {"a": "b" * 3000}, chunked=True, label="(chunked)")
    visitor.send("PUT", first, b"text", Expect="100-continue", Content_Type="text/plain")
    if static:
        visitor.again(visitor.get(static))
        visitor.send("HEAD", static)
        visitor.get(static, label="(range)", Range="bytes=2-9")
        visitor.get(static, label="(no such range)", Range="bytes=99999999-")
