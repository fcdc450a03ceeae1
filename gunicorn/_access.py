"""The access log's line: its atoms, their escaping, and the JSON form.

A log is read by programs and shown on terminals, and much of a line comes from the client: quotes,
backslashes and control characters are escaped (`\\"`, `\\\\`, `\\x1b`), so that nobody can end a
field, begin a line, or steer a terminal.
"""

import os
import time

JSON_FORMAT = "json"  # the value of access_log_format that asks for objects

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPES.update({ord('"'): '\\"', ord("\\"): "\\\\"})


def escape(text: str) -> str:
    """Return `text` as it may stand between quotes in a line of the log."""
    if '"' not in text and "\\" not in text and text.isprintable():
        return text
    return text.translate(_ESCAPES)


class SafeAtoms(dict):
    """The atoms for a format: text is escaped, an unknown atom is `-`.

    The names of `{header}i`, `{header}o` and `{variable}e` are found in any case of letters.
    """

    def __init__(self, atoms):
        super().__init__()
        for key, value in atoms.items():
            self[key] = escape(value) if isinstance(value, str) else value

    def __getitem__(self, key):
        return self.get(key.lower() if key.startswith("{") else key, "-")


def basic_auth_user(environ):
    """The user of HTTP Basic authentication, or None.

    Raises ValueError when the header is no such authentication after all.
    """
    scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic" or not credentials:
        return None
    from base64 import b64decode

    user, _, _password = b64decode(credentials.strip().encode()).partition(b":")
    return user.decode()


def status_code(resp):
    """The status of a response as its atom: the number, without the reason.

    It is the status of the answer, also if the application failed after start_response().
    """
    status = resp.status
    if isinstance(status, bytes):
        status = status.decode("latin-1")
    given = status.split(None, 1)[0] if isinstance(status, str) else status
    code = getattr(resp, "status_code", None)
    if code is None or (str(given).isdigit() and int(given) == code):
        return given
    return str(code)


def microseconds(duration):
    """A timedelta in whole microseconds."""
    return (duration.days * 86400 + duration.seconds) * 1000000 + duration.microseconds


def pairs(headers):
    """The (name, value) pairs of headers in any of the forms that workers hand over."""
    return headers.items() if hasattr(headers, "items") else headers


def response_headers(resp):
    """The pairs that were sent: none of an application in whose place the server answered."""
    status = resp.status
    if isinstance(status, str) and not status.startswith(str(status_code(resp))):
        return ()
    return pairs(resp.headers)


def request_headers(req):
    return pairs(getattr(req, "headers", req))


def _sent(resp):
    return getattr(resp, "sent", None)


# Each atom by itself: (logger, resp, req, environ, duration in microseconds) -> value.
ATOMS = {
    "h": lambda log, resp, req, env, us: env.get("REMOTE_ADDR", "-"),
    "l": lambda log, resp, req, env, us: "-",
    "u": lambda log, resp, req, env, us: log._get_user(env) or "-",
    "t": lambda log, resp, req, env, us: log.now(),
    "r": lambda log, resp, req, env, us: (
        f"{env['REQUEST_METHOD']} {env['RAW_URI']} {env['SERVER_PROTOCOL']}"
    ),
    "s": lambda log, resp, req, env, us: status_code(resp),
    "m": lambda log, resp, req, env, us: env.get("REQUEST_METHOD"),
    "U": lambda log, resp, req, env, us: env.get("PATH_INFO"),
    "q": lambda log, resp, req, env, us: env.get("QUERY_STRING"),
    "H": lambda log, resp, req, env, us: env.get("SERVER_PROTOCOL"),
    "b": lambda log, resp, req, env, us: "-" if _sent(resp) is None else str(_sent(resp)),
    "B": lambda log, resp, req, env, us: _sent(resp),
    "f": lambda log, resp, req, env, us: env.get("HTTP_REFERER", "-"),
    "a": lambda log, resp, req, env, us: env.get("HTTP_USER_AGENT", "-"),
    "T": lambda log, resp, req, env, us: us // 1000000,
    "D": lambda log, resp, req, env, us: us,
    "M": lambda log, resp, req, env, us: us // 1000,
    "L": lambda log, resp, req, env, us: f"{us // 1000000}.{us % 1000000:06d}",
    "p": lambda log, resp, req, env, us: f"<{os.getpid()}>",
    "Q": lambda log, resp, req, env, us: f"{getattr(req, 'waited', 0):.6f}",
}


def all_atoms(log, resp, req, environ, request_time):
    """Every atom of a request, unescaped."""
    us = microseconds(request_time)
    atoms = {name: atom(log, resp, req, environ, us) for name, atom in ATOMS.items()}
    atoms.update((f"{{{name.lower()}}}i", value) for name, value in request_headers(req))
    atoms.update((f"{{{name.lower()}}}o", value) for name, value in response_headers(resp))
    atoms.update((f"{{{name.lower()}}}e", value) for name, value in environ.items())
    return atoms


class LazyAtoms(dict):
    """The atoms that a format asks for, computed when it does.

    As a mapping they are complete, however a reader looks at them: see `_complete`.
    """

    def __init__(self, log, resp, req, environ, request_time):
        super().__init__(l="-")  # json does not look into a dict without items
        self._request = (log, resp, req, environ, request_time)
        self._is_complete = False

    def __bool__(self):
        return True  # logging takes an empty mapping for no arguments

    def __reduce__(self):
        return dict, (dict(self),)

    def _complete(self):
        if not self._is_complete:
            self._is_complete = True
            self.clear()
            self.update(SafeAtoms(self._request[0].atoms(*self._request[1:])))

    def __missing__(self, key):
        if key in ATOMS:
            *request, request_time = self._request
            value = ATOMS[key](*request, microseconds(request_time))
        else:
            value = self._named(key)
        return escape(value) if isinstance(value, str) else value

    def _named(self, key):
        """The value of `{name}i`, `{name}o` or `{name}e`; the last one, if there are several."""
        _log, resp, req, environ, _us = self._request
        name, kind = key[1:-2].lower(), key[-1:].lower()
        if not (key.startswith("{") and key[-2:-1] == "}"):
            return "-"
        sources = {"i": request_headers(req), "o": response_headers(resp), "e": environ.items()}
        found = "-"
        for candidate, value in sources.get(kind, ()):
            if candidate.lower() == name:
                found = value
        return found


def _on_complete(name):
    method = getattr(dict, name)

    def call(self, *args, **kwargs):
        self._complete()
        return method(self, *args, **kwargs)

    return call


for _name in ("__contains__", "__eq__", "__iter__", "__len__", "__or__", "__repr__", "__reversed__",
              "__ror__", "copy", "get", "items", "keys", "pop", "popitem", "setdefault",
              "values"):  # fmt: skip
    setattr(LazyAtoms, _name, _on_complete(_name))


def json_line(log, resp, req, environ, request_time):
    """The request as a JSON object in one line. The names of its fields stay as they are."""
    import json

    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    status = status_code(resp)
    fields = {
        "time": f"{stamp}.{int(now % 1 * 1000000):06d}Z",
        "pid": os.getpid(),
        "remote_addr": environ.get("REMOTE_ADDR"),
        "user": log._get_user(environ),
        "method": environ.get("REQUEST_METHOD"),
        "target": environ.get("RAW_URI"),
        "path": environ.get("PATH_INFO"),
        "query": environ.get("QUERY_STRING"),
        "protocol": environ.get("SERVER_PROTOCOL"),
        "host": environ.get("HTTP_HOST"),
        "status": int(status) if str(status).isdigit() else status,
        "bytes": _sent(resp),
        "duration_us": microseconds(request_time),
        "referer": environ.get("HTTP_REFERER"),
        "user_agent": environ.get("HTTP_USER_AGENT"),
    }
    return json.dumps(fields, default=str)
