"""HTTP as Python sees it. The protocol itself is the engine's."""


def get_parser(cfg, source, source_addr, http2_connection=False):
    """Return the requests of a connection: see `gunicorn.http.parser`, `gunicorn.uwsgi`."""
    from gunicorn.http.parser import RequestParser

    if http2_connection:
        raise NotImplementedError("only the engine reads HTTP/2")
    if cfg.protocol == "uwsgi":
        from gunicorn.uwsgi.parser import UWSGIParser

        return UWSGIParser(cfg, source, source_addr)
    return RequestParser(cfg, source, source_addr)


def __getattr__(name):
    # Not imported at once: a server needs neither.
    if name in ("Message", "Request"):
        from gunicorn.http import message

        return getattr(message, name)
    if name == "RequestParser":
        from gunicorn.http.parser import RequestParser

        return RequestParser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
