"""The fields that the engine puts into each answer, as the user may have changed them.

Recipes assign `gunicorn.SERVER`, or put a subclass or a function of their own in the place of
`gunicorn.http.wsgi.Response` and its `default_headers()`.
"""

from gunicorn.http import message, wsgi

SIZE_MAX = 4096  # bytes

# Fields that depend on the request or the time.
_ENGINES = ("date", "connection", "transfer-encoding")

#: Methods of gunicorn's Response that make and send an answer, which the engine does.
_UNCALLED = ("close", "process_headers", "send_headers", "sendfile", "start_response", "write",
             "write_file")  # fmt: skip


def lines(cfg, log) -> bytes:
    """Return them, `Server: …` as a rule, each with its CRLF. A line that is none is left out."""
    kind = wsgi.Response
    _warn_of_uncalled(kind, log)
    try:
        head = "".join(_rehearsed(kind, cfg).default_headers()).split("\r\n")
    except Exception:
        log.exception("gunicorn.http.wsgi.Response: default_headers() failed and changes nothing")
        head = [f"Server: {wsgi.SERVER}"]
    own = b""
    for line in head:
        field = _field(line) if line and not line.startswith("HTTP/") else b""
        if field is None or len(own) + len(field) > SIZE_MAX:
            log.error(
                "gunicorn.http.wsgi.Response: %.100r is left out of the answers, for it is no "
                "field, or there are more than %d bytes of the server's own.",
                *(line, SIZE_MAX),
            )
        else:
            own += field
    return own


def _rehearsed(kind, cfg):
    """Return the answer to a request that nobody has sent."""
    req = message.received(
        *(cfg, ("127.0.0.1", 0), 0.0, None, None, "GET", "/", "/", "", (1, 1), [], False, 1)
    )
    resp = kind(req, None, cfg)
    resp.status, resp.status_code, resp.response_length = "200 OK", 200, 0
    return resp


def _field(line) -> bytes | None:
    """Return the line to send, b"" if the engine has one; None if it is no field."""
    name, colon, value = line.partition(":")
    if name.lower() in _ENGINES:
        return b""
    if not colon or not wsgi.is_token(name) or not wsgi.is_value(value):
        return None
    return f"{line}\r\n".encode("latin-1")


def _warn_of_uncalled(kind, log) -> None:
    ours = wsgi.OWN_RESPONSE
    names = [
        name for name in _UNCALLED if getattr(kind, name, None) is not getattr(ours, name, None)
    ]
    if names:
        log.warning(
            "gunicorn.http.wsgi.Response: %s.%s has %s, which nothing calls: the engine makes and "
            "sends answers. default_headers() is called once, when the worker starts.",
            *(kind.__module__, kind.__qualname__),
            " and ".join(f"{name}()" for name in names),
        )
