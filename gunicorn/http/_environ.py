"""The environ of a request that a hook or a worker's class has changed (PEP 3333, RFC 3875)."""

from gunicorn import util
from gunicorn.http import errors

# Fields that CGI names without "HTTP_" before it (RFC 3875 §4.1); the last one counts.
_UNPREFIXED = {"CONTENT-TYPE": "CONTENT_TYPE", "CONTENT-LENGTH": "CONTENT_LENGTH"}
_PORTS = {"http": "80", "https": "443"}


def fill(environ, req, client, server, body_size) -> None:
    """Put the values of `req` into `environ`, which has all that is the same for each request.

    `client` and `server` are addresses as sockets have them. `body_size` is the size of a chunked
    body that is here whole, so that the application need not know of its chunks, else None.
    Raises ConfigurationProblem.
    """
    environ["REQUEST_METHOD"] = req.method
    environ["QUERY_STRING"] = req.query
    environ["RAW_URI"] = req.uri
    environ["SERVER_PROTOCOL"] = "HTTP/" + ".".join(map(str, req.version))
    environ["wsgi.url_scheme"] = req.scheme
    environ["wsgi.input"] = req.body
    req.headers = headers = list(req.headers)  # a hook may have left an iterator
    environ.update(http_variables(headers))
    if body_size is not None:
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.setdefault("CONTENT_LENGTH", str(body_size))
    named = dict(headers)
    _put_client(environ, client)
    _put_server(environ, server, named.get("HOST"), req.scheme)
    _put_path(environ, req.path, named.get("SCRIPT_NAME", environ["SCRIPT_NAME"]))
    if req.proxy_protocol_info:
        _put_proxied(environ, req.proxy_protocol_info)


def http_variables(headers) -> dict[str, str]:
    """Return the environ's part about the fields of a request, whose names are in upper case."""
    single: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    for name, value in headers:
        if name in _UNPREFIXED:
            single[_UNPREFIXED[name]] = value
        else:
            lists.setdefault("HTTP_" + name.replace("-", "_"), []).append(value)
    joined = {key: v[0] if len(v) == 1 else ",".join(v) for key, v in lists.items()}
    return single | joined


def _put_client(environ, client) -> None:
    if isinstance(client, bytes):
        client = client.decode()
    if isinstance(client, str):
        environ["REMOTE_ADDR"] = client
    else:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1])


def _put_server(environ, server, host, scheme) -> None:
    """A Unix socket has no name to serve: its clients ask for one (`host`)."""
    if isinstance(server, bytes):
        server = server.decode("utf-8", "surrogateescape")
    if isinstance(server, str):
        text = host if host and ":" not in server else server
        name, _, port = text.partition(":")
        port = port.partition(":")[0] if ":" in text else _PORTS.get(scheme, "") if host else ""
        server = name, port
    environ["SERVER_NAME"] = server[0]
    environ["SERVER_PORT"] = str(server[1])


def _put_path(environ, path, script_name) -> None:
    environ["SCRIPT_NAME"] = script_name
    if script_name and not path.startswith(script_name):
        raise errors.ConfigurationProblem(
            f"Request path {path!r} does not start with SCRIPT_NAME {script_name!r}"
        )
    environ["PATH_INFO"] = util.unquote_to_wsgi_str(path[len(script_name) :])


def _put_proxied(environ, info) -> None:
    """The addresses of the PROXY protocol, which a hook may have read by itself."""
    environ["PROXY_PROTOCOL"] = info["proxy_protocol"]
    environ["REMOTE_ADDR"] = info["client_addr"]
    environ["REMOTE_PORT"] = str(info["client_port"])
    environ["PROXY_ADDR"] = info["proxy_addr"]
    environ["PROXY_PORT"] = str(info["proxy_port"])
