"""Generated requests get the same answer from the original gunicorn and from ours.

The same bytes go to both, each on a connection of its own: valid requests, mutated ones, and random
ones, always the same for a seed. Statuses and, where a request is accepted, the environ and the
body that the application saw are compared. Where we differ on purpose, DIFFERENCES says why.
"""

import json
import os
import random
import re

import pytest
from helpers.original import original_gunicorn
from helpers.server import Server
from helpers.wire import Closed, Connection, WireError

COUNT = int(os.environ.get("GUNICORN_DIFFERENTIAL_COUNT", "500"))

#: What cannot be equal: objects, and what differs from connection to connection.
NOT_COMPARED = {
    "REMOTE_PORT",
    "SERVER_PORT",
    "wsgi.input",
    "wsgi.errors",
    "wsgi.file_wrapper",
    "wsgi.early_hints",
    "gunicorn.socket",
}

SETTINGS = {
    "strict": [],
    "loose": [
        "--permit-obsolete-folding",
        "--strip-header-spaces",
        "--permit-unconventional-http-method",
        "--permit-unconventional-http-version",
        "--casefold-http-method",
        "--header-map",
        "dangerous",
    ],
    "limited": [
        "--limit-request-line",
        "60",
        "--limit-request-fields",
        "6",
        "--limit-request-field_size",
        "40",
        "--header-map",
        "refuse",
        "--forwarded-allow-ips",
        "10.0.0.0/8",
    ],
}

# Generation

METHODS = [b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"CONNECT"]
ODD_METHODS = [b"get", b"Get", b"GE", b"G", b"A" * 20, b"A" * 21, b"M-SEARCH", b"G#T", b"G(T", b""]
TARGETS = [
    b"/",
    b"/a/b?c=d&e=f",
    b"/a%20b%C3%A9%zz",
    b"//a//b",
    b"/a;b?c?d#e",
    b"/?",
    b"/#",
    b"/%",
    b"http://example.org/x?y",
    b"http://example.org:81",
    b"http://user@[::1]:80/x",
    b"https://example.org/x#f",
    b"x://y",
]
ODD_TARGETS = [
    b"*",
    b"a",
    b"example.com:80",
    b"http:/x",
    b"://",
    b"http://[::1/x",
    b"http://]/",
    b"/[x]",
    b"//[x]/y",
    b"/\x7f",
    b"/\xe9",
    b"/a\tb",
    b"/a\0b",
    b"",
    b"/" + b"a" * 5000,
    b"?a=b",
    b"#a",
    b"/a\\b",
    b'/"<>^`{|}',
    b"/a?b#c?d",
    b"//",
    b"///x?y",
]
VERSIONS = [b"HTTP/1.1"] * 6 + [b"HTTP/1.0"]
ODD_VERSIONS = [
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"HTTP/0.9",
    b"HTTP/1.10",
    b"http/1.1",
    b"HTTP/1",
    b"",
    b"H",
]
FIELDS = [
    b"Accept: */*",
    b"User-Agent: test/1.0 (x; y)",
    b"X-A: 1",
    b"x-a: 2",
    b"X-Empty:",
    b"X-Space: \t a b \t",
    b"X-Latin: caf\xe9",
    b"Cookie: a=b; c=d",
    b"Cookie: e=f",
    b"Content-Type: text/plain",
    b"Connection: keep-alive",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Ssl: on",
    b"Expect: 100-continue",
    b"Accept-Encoding: gzip, br",
    b"X_Under: 1",
    b"PATH_INFO: /other",
]
ODD_FIELDS = [
    b"Content-Type: a",
    b"Content-Type: b",
    b"Host: other",
    b"X-B : 1",
    b"X-B\t: 1",
    b" X-B: 1",
    b"\tfolded",
    b" folded again ",
    b"X-B",
    b": 1",
    b"X B: 1",
    b"X-B: a\0b",
    b"X-B: a\rb",
    b"X-B: a\x0bb",
    b"X-B: \x7f",
    b"X\xe9: 1",
    b"X-B: " + b"b" * 9000,
    b"Expect: 200-ok",
    b"Expect:",
    b"X-Forwarded-Proto: http",
    b"X-Forwarded-Proto: HTTPS",
    b"SCRIPT_NAME: /a",
    b"SCRIPT_NAME: /",
    b"Content_Length: 5",
    b"Connection: x",
    b"Upgrade: h2c",
    b"X-C: d\nX-D: e",
    b"Transfer-Encoding : chunked",
    b"Content-Length : 5",
]
LENGTHS = [
    b"5",
    b"0",
    b"+5",
    b"-5",
    b"5,5",
    b"5 5",
    b"0x5",
    b"",
    b"05",
    b"5.0",
    b"\xb2",
    b" 5\t",
    b"1_0",
]
CODINGS = [
    b"chunked",
    b"Chunked",
    b"gzip, chunked",
    b"chunked, gzip",
    b"identity",
    b"identity, chunked",
    b"gzip",
    b"chunked, chunked",
    b"xchunked",
    b"chunked;q=1",
    b"",
    b"chunked,",
    b", chunked",
    b"\x0bchunked",
    b"deflate,compress,chunked",
]
CHUNKS = [
    b"5\r\nhello\r\n0\r\n\r\n",
    b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    b"5;a=b\r\nhello\r\n0;c\r\n\r\n",
    b'5 ; a = "b\\"c"\r\nhello\r\n0\r\n\r\n',
    b"05\r\nhello\r\n00\r\nX-T: 1\r\n\r\n",
    b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5;\r\nhello\r\n0\r\n\r\n",
    b"5;a=\r\nhello\r\n0\r\n\r\n",
    b"\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"0\r\nHost: a\r\n\r\n",
    b"0\r\nContent-Length: 5\r\n\r\n",
    b"0\r\nX_T: a\r\n\r\n",
    b"0\r\nX-T : a\r\n\r\n",
    b"0\r\nX-T: a\r\n b\r\n\r\n",
    b"0\r\nExpect: x\r\n\r\n",
    b"0\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n",
    b"0\r\n",
    b"5\r\nhel",
]


def valid(choice):
    """A request without a fault, as its lines and its body."""
    line = b" ".join([choice.choice(METHODS[:7]), choice.choice(TARGETS), choice.choice(VERSIONS)])
    lines = [line, b"Host: example.com"]
    lines += choice.sample(FIELDS, choice.randrange(0, 5))
    body = b""
    kind = choice.randrange(4)
    if kind == 1:
        body = bytes(choice.choices(b"ab\r\n", k=choice.randrange(0, 30)))
        lines.append(b"Content-Length: %d" % len(body))
    elif kind == 2 and line.endswith(b"1.1"):
        body = choice.choice(CHUNKS[:6])
        lines.append(b"Transfer-Encoding: chunked")
    return lines, body


def spoil_line(choice, lines):
    parts = [choice.choice(METHODS), choice.choice(TARGETS), choice.choice(VERSIONS)]
    which = choice.randrange(3)
    parts[which] = choice.choice([ODD_METHODS, ODD_TARGETS, ODD_VERSIONS][which])
    lines[0] = choice.choice([b" "] * 8 + [b"  ", b"\t"]).join(parts)


def spoil_field(choice, lines):
    lines.insert(choice.randrange(1, len(lines) + 1), choice.choice(ODD_FIELDS))


def spoil_framing(choice, lines):
    if choice.random() < 0.5:
        lines.append(b"Content-Length: " + choice.choice(LENGTHS))
    if choice.random() < 0.5:
        lines.append(b"Transfer-Encoding: " + choice.choice(CODINGS))


def repeat_field(choice, lines):
    lines.insert(choice.randrange(1, len(lines) + 1), choice.choice(lines[1:]))


def spoil_bytes(choice, data):
    """A few bytes replaced, removed, put in, or doubled."""
    data = bytearray(data)
    for _ in range(choice.choice([1, 1, 1, 2, 3])):
        at = choice.randrange(len(data))
        new = choice.choice(b'\r\n\t :;,="/?#\0\x7f\xe9a0G1.-_%')
        how = choice.randrange(4)
        if how == 0:
            data[at] = new
        elif how == 1:
            del data[at]
        elif how == 2:
            data.insert(at, new)
        else:
            data[at:at] = data[at : at + choice.randrange(1, 10)]
        if not data:
            break
    return bytes(data)


def generate(choice):
    """One request as bytes."""
    lines, body = valid(choice)
    kind = choice.randrange(8)
    if kind == 0:
        spoil_line(choice, lines)
    elif kind == 1:
        spoil_field(choice, lines)
    elif kind == 2:
        spoil_framing(choice, lines)
        body = choice.choice([body, b"hello", choice.choice(CHUNKS)])
    elif kind == 3:
        repeat_field(choice, lines)
    elif kind == 4:
        lines.append(b"Transfer-Encoding: chunked")
        body = choice.choice(CHUNKS)
    data = b"\r\n".join(lines) + b"\r\n\r\n" + body
    if kind == 5:
        data = spoil_bytes(choice, data)
    elif kind == 6 and choice.random() < 0.3:
        data = bytes(choice.choices(b"GET / HTP1.\r\n:\t\0a", k=choice.randrange(1, 60)))
    elif kind == 6:
        data = choice.choice([b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\r"]) + data
    return data


# Comparison


def conversation(address, data):
    """What a server answers to these bytes and the end of input: [(status, what was seen)]."""
    answers = []
    with Connection(address, timeout=10) as connection:
        connection.send_if_open(data)
        try:
            connection.end_of_input()
        except OSError:
            pass
        method = "HEAD" if data.lstrip(b"\r\n")[:5].upper() == b"HEAD " else "GET"
        while True:
            try:
                response = connection.read_response(method)
                if method == "HEAD" and response.status >= 400:
                    connection.read_to_end()  # gunicorn's error page, whatever the method
            except Closed:
                return answers
            except WireError as e:
                return [*answers, ("not HTTP", str(e))]
            seen = None
            if response.status == 200 and method != "HEAD":
                seen = json.loads(response.body)
                seen.pop("order")
                for key in NOT_COMPARED:
                    seen["environ"].pop(key, None)
            answers.append((response.status, seen))
            method = "GET"


def told_size(answers):
    """What the original would answer if it told the application the size of chunked bodies."""
    for _, seen in answers:
        if isinstance(seen, dict) and "HTTP_TRANSFER_ENCODING" in seen["environ"]:
            codings = seen["environ"]["HTTP_TRANSFER_ENCODING"][1].lower()
            if {coding.strip() for coding in codings.split(",")} <= {"identity", "chunked"}:
                del seen["environ"]["HTTP_TRANSFER_ENCODING"]
                seen["environ"]["CONTENT_LENGTH"] = ["str", str(seen["size"])]
    return answers


def first(answers):
    return answers[0] if answers else (None, None)


def cut_short(data, ours, theirs):
    """The client ended before its body did. The original runs the application, or answers 400."""
    mine, other = tails(ours, theirs)
    has_body = re.search(rb"(?i)content-length|chunked", data)
    return has_body and other in (200, 400, 500) and mine in (None, 400) and mine != other


def at_once(data, ours, theirs):
    """The client ended where the original would have read on before it looked at what it has."""
    mine, other = tails(ours, theirs)
    return other is None and isinstance(mine, int) and mine >= 400


def overflow(data, ours, theirs):
    return tails(ours, theirs)[0] == 400 and re.search(rb"[0-9A-Fa-f]{17,}", data)


def several_faults(data, ours, theirs):
    """Both refuse, for the fault that each finds first."""
    mine, other = tails(ours, theirs)
    return isinstance(mine, int) and mine >= 400 and isinstance(other, int) and other >= 400


def brackets(data, ours, theirs):
    """Whether [::1]x is a host depends on the version of Python that the original runs on."""
    return re.search(rb"^[^\r\n]*[\[\]]", data.lstrip(b"\r\n")) and 400 in tails(ours, theirs)


def trailer_name(data, ours, theirs):
    return b"X_T:" in data and tails(ours, theirs) == (200, 400)


def tails(ours, theirs):
    """The statuses from where the two differ; None for none, () if that is not all."""
    while ours and theirs and ours[0] == theirs[0]:
        ours, theirs = ours[1:], theirs[1:]
    return tuple(() if len(rest) > 1 else rest[0][0] if rest else None for rest in (ours, theirs))


#: (predicate, why ours is right).
DIFFERENCES = [
    (cut_short, "a body that was cut short is not handed over as whole"),
    (at_once, "what is certainly wrong is refused before its end has come"),
    (brackets, "an IPv6 literal is followed by a port or nothing"),
    (trailer_name, "header_map is about names in the environ, where no trailer gets"),
    (overflow, "no number overflows"),
    (several_faults, "of several faults either may be named"),
]


def explain(data, ours, theirs):
    for predicate, reason in DIFFERENCES:
        if predicate(data, ours, theirs):
            return reason
    return None


@pytest.fixture(scope="module", params=list(SETTINGS))
def pair(request, tmp_path_factory):
    """Ours and the original with the same settings."""
    arguments = ["-k", "gthread", "--threads", "2", *SETTINGS[request.param], "echo"]
    original = Server(
        ["--http-parser", "python", *arguments],
        tmp_path_factory.mktemp("original"),
        command=original_gunicorn(),
        expect_trouble=True,
    )
    ours = Server(arguments, tmp_path_factory.mktemp("ours"), expect_trouble=True)
    servers = [original.start(), ours.start()]
    yield request.param, ours, original
    problems = [problem for server in servers for problem in server.close()]
    assert not problems, "\n".join(problems)


def test_same_answers(pair):
    name, ours, original = pair
    choice = random.Random(f"{name} {os.environ.get('GUNICORN_DIFFERENTIAL_SEED', '1')}")
    different = []
    explained = {}
    for _ in range(COUNT):
        data = generate(choice)
        mine = conversation(ours.address, data)
        theirs = told_size(conversation(original.address, data))
        if mine == theirs:
            continue
        reason = explain(data, mine, theirs)
        if reason is None:
            different.append(
                f"{data[:300]!r}\n   ours:     {brief(mine)}\n   original: {brief(theirs)}"
            )
        else:
            explained[reason] = explained.get(reason, 0) + 1
    assert not different, f"{len(different)} of {COUNT} differ:\n" + "\n".join(different[:40])
    assert sum(explained.values()) < COUNT / 5, explained


def brief(answers):
    """The statuses, and what was seen of the first."""
    text = " ".join(str(status) for status, _ in answers) or "nothing"
    seen = first(answers)[1]
    if isinstance(seen, dict):
        environ = {k: v[1] for k, v in sorted(seen["environ"].items()) if k[0] != "w"}
        text += f" {environ} {seen['body']!r}"
    elif seen:
        text += f" {seen}"
    return text[:700]
