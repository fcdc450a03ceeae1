"""Helpers with gunicorn's names, for the server itself and for workers and tools of others.

Modules that only some callers need are imported there: this one is part of every start.
"""

import os
import sys
import time

from gunicorn.errors import AppImportError, AppModuleNotFound, ConfigError

REDIRECT_TO = getattr(os, "devnull", "/dev/null")

# Fields of a connection are the server's business (RFC 9110 section 7.6.1), and so are
# Server and Date (PEP 3333, "Handling the Server and Date headers").
hop_headers = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers",
    "transfer-encoding", "upgrade", "server", "date",
}  # fmt: skip

DRAIN_CHUNK = 4096  # bytes that close_graceful reads at a time


def has_setproctitle():
    """Whether the package is installed: the master has imported it then."""
    return sys.modules.get("setproctitle") is not None


def _setproctitle(title):
    """Show `title` in place of the command line, if the package setproctitle is installed."""
    if has_setproctitle():
        from gunicorn import _core

        _core.set_proc_title(f"gunicorn: {title}")


# ---- classes and applications by name ----


class _NoEntryPoint(ImportError):
    """A distribution registers nothing of that name."""


def load_entry_point(distribution, group, name):
    """Return the object that `distribution` registers as `name` in `group`.

    Raises ImportError when there is none, and the exceptions of its import.
    """
    from importlib import metadata

    entries = [e for e in metadata.distribution(distribution).entry_points if e.group == group]
    for entry in entries:
        if entry.name == name:
            return entry.load()
    there = ", ".join(sorted(entry.name for entry in entries)) or "none in that group"
    raise _NoEntryPoint(f"Entry point {(group, name)!r} not found: {distribution} has {there}")


def _class_error(uri, hint=""):
    import traceback

    return RuntimeError(
        f"class uri {uri!r} invalid or not found:{hint} \n\n[{traceback.format_exc()}]"
    )


def _load_egg(uri, default, section):
    distribution, hash_sign, name = uri[len("egg:") :].rpartition("#")
    if not hash_sign:
        distribution, name = name, default
    try:
        return load_entry_point(distribution, section, name)
    except ModuleNotFoundError as exc:
        if not exc.name or distribution != exc.name:
            raise _class_error(uri) from None
        raise RuntimeError(f"class uri {uri!r} invalid or not found: {exc}") from None
    except _NoEntryPoint as exc:
        raise RuntimeError(f"class uri {uri!r} invalid or not found: {exc}") from None
    except Exception:
        raise _class_error(uri) from None


def _load_plain_name(name, section):
    """A name without a dot: one that was registered by whichever distribution."""
    from importlib import metadata

    try:
        entries = metadata.entry_points(group=section, name=name)
        if entries:
            return next(iter(entries)).load()
    except Exception:
        raise _class_error(name) from None
    from gunicorn.workers import SUPPORTED_WORKERS

    hint = ""
    if section == "gunicorn.workers":
        from difflib import get_close_matches

        near = get_close_matches(name, SUPPORTED_WORKERS, 1)
        hint = f" did you mean {near[0]!r}?" if near else ""
        hint += f" There are {', '.join(sorted(SUPPORTED_WORKERS))}, and dotted paths of classes."
    raise RuntimeError(f"class uri {name!r} invalid or not found:{hint}")


# Modules of others that have a worker class, and the packages that they come with.
WORKER_PACKAGES = {"aiohttp": "aiohttp", "uvicorn_worker": "uvicorn-worker", "uvicorn": "uvicorn"}


def load_class(uri, default="gunicorn.workers.sync.SyncWorker", section="gunicorn.workers"):
    """Return the class that `uri` names.

    `uri` is a class, a worker's short name, a dotted path, `egg:DISTRIBUTION#NAME`, or the name
    of an entry point of the group `section`. Raises RuntimeError with the reason.
    """
    if isinstance(uri, type):
        return uri
    if uri.startswith("egg:"):
        return _load_egg(uri, default, section)
    if "." not in uri:
        from gunicorn.workers import SUPPORTED_WORKERS

        uri = uri.lstrip("#")
        if uri not in SUPPORTED_WORKERS:
            return _load_plain_name(uri, section)
        uri = SUPPORTED_WORKERS[uri]
    if uri.startswith("."):  # relative to nothing: the error of its import is of no help
        raise RuntimeError(f"class uri {uri!r} invalid or not found: it begins with a dot")
    module_name, _, class_name = uri.rpartition(".")
    try:
        module = import_module(module_name)
    except ConfigError as exc:  # a package is missing or too old: no traceback says more
        raise RuntimeError(str(exc)) from None
    except ModuleNotFoundError as exc:
        package = module_name.partition(".")[0]
        if not _is_missing(module_name, exc):
            raise _class_error(uri) from None
        known = exc.name == package and WORKER_PACKAGES.get(package)
        reason = f"pip install {known}" if known else exc
        raise RuntimeError(f"class uri {uri!r} invalid or not found: {reason}") from None
    except Exception:
        raise _class_error(uri) from None
    try:
        return getattr(module, class_name)
    except AttributeError:
        raise RuntimeError(
            f"class uri {uri!r} invalid or not found: {module_name} has no {class_name}"
        ) from None


def import_module(name):
    """Import the module `name`, which may have dots, and return it."""
    from importlib import import_module

    return import_module(name)


# The exceptions of Python's parser for text that is no Python, has a NUL, or is nested too deep.
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def _parse_app_reference(obj):
    """Split `name`, `name()` or `name('x', debug=True)` into name, args and kwargs.

    args is None when it is no call. Raises AppImportError.
    """
    if obj.isidentifier():
        return obj, None, None
    import ast

    unparsable = f"Failed to parse {obj!r} as an attribute name or function call."
    try:
        expression = ast.parse(obj, mode="eval").body
    except UNREADABLE:
        raise AppImportError(unparsable) from None
    if isinstance(expression, ast.Name):
        return expression.id, None, None
    if not isinstance(expression, ast.Call):
        raise AppImportError(unparsable)
    if not isinstance(expression.func, ast.Name):
        raise AppImportError(f"Function reference must be a simple name: {obj!r}")
    try:
        args = [ast.literal_eval(arg) for arg in expression.args]
        kwargs = {kw.arg: ast.literal_eval(kw.value) for kw in expression.keywords}
    except (TypeError, *UNREADABLE):
        raise AppImportError(f"Failed to parse arguments as literal values: {obj!r}") from None
    return expression.func.id, args, kwargs


def _call_factory(factory, args, kwargs):
    """Call `factory`; arguments that do not fit it are an AppImportError."""
    try:
        return factory(*args, **kwargs)
    except TypeError as exc:
        code = getattr(factory, "__code__", None)
        frame = exc.__traceback__
        while frame is not None:
            if frame.tb_frame.f_code is code:
                raise  # from inside: the factory's own affair
            frame = frame.tb_next
        raise AppImportError(f"{type(exc).__name__}: {exc}") from None


def _is_missing(module, exc):
    """Whether `exc` says that `module` does not exist, and not one that it imports."""
    missing = isinstance(exc, ModuleNotFoundError) and exc.name
    return bool(missing) and f"{module}.".startswith(f"{missing}.")


def _hint_at_module(path, obj):
    """Raise AppModuleNotFound when `path` is a file or a name in a module: suggest a name."""
    parent, _, name = path.rpartition(".")
    if hasattr(sys.modules.get(parent), name) and not hasattr(sys.modules[parent], "__path__"):
        hint = f"{path!r} is no module, did you mean '{parent}:{name}'?"
        raise AppModuleNotFound(hint) from None
    file = path if path.endswith(".py") else f"{path}.py"
    if (file == path or "/" in path) and os.path.exists(file):
        meant = os.path.normpath(file)[: -len(".py")].replace("/", ".")
        hint = f"Failed to find application, did you mean '{meant}:{obj}'?"
        raise AppModuleNotFound(hint) from None


def _where_to_look(missing, obj):
    """The remedy for a module that does not exist: the searched path, or a similar name."""
    import difflib

    parent, _, name = missing.rpartition(".")
    if parent:
        place = getattr(sys.modules.get(parent), "__path__", None)
        return f" in {', '.join(map(repr, place))}." if place else "."
    files = [file[: -len(".py")] for file in os.listdir() if file.endswith(".py")]
    meant = difflib.get_close_matches(name, files, 1)
    hint = f" Did you mean '{meant[0]}:{obj}'?" if meant else ""
    return f": neither in {os.getcwd()!r} (--chdir) nor where Python looks (--pythonpath).{hint}"


#: Usual names of applications and their factories.
USUAL_NAMES = ("app", "application", "api", "wsgi_app", "create_app", "make_app")


def _name_meant(mod, module, name):
    """Return a question after the name in a module that may be meant by `name`, or ""."""
    import difflib

    names = [known for known, value in vars(mod).items() if callable(value) and known[0] != "_"]
    meant = difflib.get_close_matches(name, names, 1)
    meant = meant or [usual for usual in USUAL_NAMES if usual in names]
    if not meant:
        return ""
    call = "()" if meant[0].startswith(("create_", "make_")) else ""
    return f" Did you mean '{module}:{meant[0]}{call}'?"


def import_named(module, obj):
    """Return a module, of which the configuration names `obj`.

    Raises AppModuleNotFound when there is no such module, and the exceptions of its import.
    """
    if not module or "\0" in module:
        raise AppModuleNotFound(f"{module!r} is no module; the application is MODULE:NAME.")
    try:
        return import_module(module)
    except (ImportError, TypeError) as exc:
        _hint_at_module(module, obj)
        if module.startswith("."):  # a TypeError, which says less
            raise AppModuleNotFound(f"{module!r} is no module: it begins with a dot.") from None
        if not _is_missing(module, exc):
            raise
        raise AppModuleNotFound(f"{exc}{_where_to_look(exc.name, obj)}") from None


def import_app(module):
    """Return the WSGI application that `module` names: MODULE, MODULE:NAME or MODULE:CALL(...).

    The name is `application` if there is none. Raises AppModuleNotFound when there is no such
    module, AppImportError when it has no such application, and the exceptions of its import.
    """
    module, colon, obj = module.partition(":")
    if not colon:
        obj = "application"
    mod = import_named(module, obj)
    name, args, kwargs = _parse_app_reference(obj)
    try:
        app = getattr(mod, name)
    except AttributeError:
        hint = _name_meant(mod, module, name)
        raise AppImportError(f"Failed to find attribute {name!r} in {module!r}.{hint}") from None
    if args is not None:
        app = _call_factory(app, args, kwargs)
    if app is None:
        raise AppImportError(f"Failed to find application object: {obj!r}")
    if not callable(app):
        raise AppImportError("Application object must be callable.")
    return app


def get_arity(function):
    """How many positional parameters `function` takes; `*args` counts for none."""
    bound = hasattr(function, "__func__")
    plain = function.__func__ if bound else function
    code = getattr(plain, "__code__", None)
    if code is not None and not (hasattr(plain, "__wrapped__") or hasattr(plain, "__signature__")):
        return code.co_argcount - bound
    import inspect

    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(parameter.kind in positional for parameter in parameters)


# ---- users, files, processes ----


def get_username(uid):
    """Return the name of the user `uid`. Raises KeyError."""
    import pwd

    return pwd.getpwuid(uid).pw_name


def set_owner_process(uid, gid, initgroups=False):
    """Give up the process's privileges for those of `uid` and `gid`; 0 leaves one as it is."""
    if gid:
        username = None
        if uid and initgroups:
            try:
                username = get_username(uid)
            except KeyError:
                pass
        if username is not None:
            os.initgroups(username, gid)
            os.setgid(gid)
        elif gid != os.getgid():
            os.setgid(gid)
    if uid and uid != os.getuid():
        os.setuid(uid)


def chown(path, uid, gid):
    os.chown(path, uid, gid)


def unlink(filename):
    """Remove a file, if it is there."""
    try:
        os.unlink(filename)
    except (FileNotFoundError, NotADirectoryError):
        pass


def is_glob_pattern(value):
    """Whether `value` is a pattern rather than a path."""
    return any(char in value for char in "*?[")


def check_is_writable(path):
    """Raise RuntimeError unless `path` can be appended to; creates it. A pipe needs a reader."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        os.close(os.open(path, flags, 0o666))
    except OSError as exc:
        raise RuntimeError(f"'{path}' isn't writable: {exc.strerror}{socket_hint(exc)}") from None


def socket_hint(exc):
    """Report the remedy if /dev/stdout or the like cannot be opened because it is a socket."""
    import errno
    import stat

    try:
        ours = exc.errno == errno.ENXIO and os.path.realpath(exc.filename).startswith("/proc/")
        if not ours or not stat.S_ISSOCK(os.stat(exc.filename).st_mode):
            return ""
    except (OSError, TypeError):
        return ""
    return (
        ". It is a socket, as systemd and containers give one, and cannot be opened by a name: use "
        "'-' in its place, or in a logging configuration a StreamHandler"
    )


def getcwd():
    """The current directory, as the shell spells it when a link led there."""
    real = os.getcwd()
    spelled = os.environ.get("PWD")
    try:
        if spelled and os.path.samefile(spelled, real):
            return spelled
    except OSError:
        pass
    return real


def seed():
    """Seed `random` anew, so that forked workers do not draw the same numbers."""
    import random

    random.seed()  # by the system; bytes would need a module that hashes them


def daemonize(enable_stdio_inheritance=False):
    """Go on in the background, in a session of our own.

    The standard streams become /dev/null; with `enable_stdio_inheritance` those that are no
    terminal stay. A process that took over from another (GUNICORN_FD) is a daemon already.
    """
    if "GUNICORN_FD" in os.environ:
        return
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.umask(0o22)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    null = os.open(REDIRECT_TO, os.O_RDWR)
    for fd in (0, 1, 2):
        if fd == 0 or not enable_stdio_inheritance or os.isatty(fd):
            os.dup2(null, fd)
    if null > 2:
        os.close(null)


def open_standard_descriptors():
    """Let no pipe or log take the numbers 0 to 2 where the process was started without them."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            _open_null(fd)


def _open_null(fd):
    null = os.open(os.devnull, os.O_RDWR)
    if null != fd:
        os.dup2(null, fd)
        os.close(null)
    os.set_inheritable(fd, True)


def say(text):
    """Print a line to the standard error; where that takes none, as on a full disk, it is lost."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        pass


def warn(msg):
    """Print a warning that nobody overlooks to the standard error."""
    lines = msg.splitlines() or [""]
    lines[0] = f"WARNING: {lines[0]}"
    text = "".join(f"!!! {line}\n" for line in lines)
    say(f"!!!\n{text}!!!\n")


# ---- sockets and descriptors ----


def is_ipv6(addr):
    import socket

    try:
        socket.inet_pton(socket.AF_INET6, addr)
    except (OSError, ValueError):
        return False
    return True


def _port_number(text):
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise RuntimeError(f"{text!r} is not a valid port number.")
    return port


def parse_address(netloc, default_port="8000"):
    """Read an address: a path (unix:), a descriptor's number (fd://), or a (host, port).

    Raises RuntimeError.
    """
    if netloc.startswith("unix:"):
        path = netloc[len("unix:") :]
        path = path[2:] if path.startswith("//") else path
        if not path:
            raise RuntimeError("a path must follow unix:")
        return path
    if netloc.startswith("fd://"):
        fd = netloc[len("fd://") :]
        try:
            return int(fd)
        except ValueError:
            raise RuntimeError(f"{fd!r} is not a valid file descriptor.") from None
    if netloc.startswith("tcp://"):
        netloc = netloc[len("tcp://") :]
    if not netloc:
        return "0.0.0.0", _port_number(default_port)
    if "[" in netloc and "]" in netloc:
        host, _, rest = netloc.partition("]")
        host = host[1:]
        port = rest[1:] if rest.startswith(":") else default_port
    else:
        host, colon, port = netloc.partition(":")
        port = port if colon else default_port
    return host.lower(), _port_number(port)


def _descriptor(fd):
    return fd if isinstance(fd, int) else fd.fileno()


def set_non_blocking(fd):
    os.set_blocking(_descriptor(fd), False)


def close_on_exec(fd):
    os.set_inheritable(_descriptor(fd), False)


closerange = os.closerange


def close(sock):
    """Close a socket; that it is gone already is no error."""
    try:
        sock.close()
    except OSError:
        pass


def close_graceful(sock, timeout=2.0, max_drain=65536):
    """Close a socket so that the peer gets all that was written (RFC 9112 section 9.6).

    Further input of the peer is read for up to `timeout` seconds and `max_drain` bytes.
    """
    import socket

    try:
        sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + timeout
        while max_drain > 0 and (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            data = sock.recv(DRAIN_CHUNK)
            if not data:
                break
            max_drain -= len(data)
    except OSError:
        pass  # reset, or out of time: there is nothing left to wait for
    finally:
        close(sock)


def write_chunk(sock, data):
    """Send `data` as one chunk of a chunked body."""
    if isinstance(data, str):
        data = data.encode()
    sock.sendall(b"%X\r\n%b\r\n" % (len(data), data))


def write(sock, data, chunked=False):
    if chunked:
        write_chunk(sock, data)
    else:
        sock.sendall(data)


def write_nonblock(sock, data, chunked=False):
    """`write`, but fail rather than wait for the peer."""
    timeout = sock.gettimeout()
    if timeout == 0.0:
        write(sock, data, chunked)
        return
    sock.setblocking(False)
    try:
        write(sock, data, chunked)
    finally:
        sock.settimeout(timeout)


def write_error(sock, status_int, reason, mesg):
    """Send an error page and announce that the connection closes."""
    import html

    page = (
        f"<html>\n  <head>\n    <title>{reason}</title>\n  </head>\n  <body>\n"
        f"    <h1><p>{reason}</p></h1>\n    {html.escape(mesg)}\n  </body>\n</html>\n"
    ).encode("latin-1", "replace")
    head = (
        f"HTTP/1.1 {status_int} {reason}\r\nConnection: close\r\nContent-Type: text/html\r\n"
        f"Content-Length: {len(page)}\r\n\r\n"
    )
    write_nonblock(sock, head.encode("latin-1") + page)


def has_fileno(obj):
    """Whether `obj` is a file that the operating system knows."""
    try:
        obj.fileno()
    except (AttributeError, OSError):  # io.UnsupportedOperation is an OSError
        return False
    return True


# ---- text and HTTP ----


def to_bytestring(value, encoding="utf8"):
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value.encode(encoding)


def bytes_to_str(b):
    return b if isinstance(b, str) else str(b, "latin1")


def unquote_to_wsgi_str(string):
    """Undo a URL's quoting; the bytes are given as Latin-1 text (PEP 3333)."""
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(string).decode("latin-1")


def split_request_uri(uri):
    """Split a request target; one that begins with // is a path all the same."""
    from urllib.parse import urlsplit

    if not uri.startswith("//"):
        return urlsplit(uri)
    parts = urlsplit("." + uri)
    return parts._replace(path=parts.path[1:])


# In English in every locale, as strftime() is not.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(timestamp=None):
    """Return a time (seconds since the epoch; now) as HTTP writes it (RFC 9110 section 5.6.7)."""
    at = time.gmtime(timestamp)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} {time.strftime('%H:%M:%S', at)} GMT"


def is_hoppish(header):
    """Whether a response header belongs to the server, not to the application."""
    return header.lower().strip() in hop_headers


def make_fail_app(msg):
    """Return an application that answers 500 with `msg`."""
    body = to_bytestring(msg)

    def app(environ, start_response):
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        start_response("500 Internal Server Error", headers)
        return [body]

    return app


def reraise(tp, value, tb=None):
    """Raise `value`, or a new `tp`, with the traceback `tb`."""
    if value is None:
        value = tp()
    raise value.with_traceback(tb)
