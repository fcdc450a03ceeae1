"""Validators: each takes the value that a source gave for a setting and returns the one to keep.

They raise TypeError, ValueError or ConfigError with a message about the allowed values; the
name of the setting, the value and its source are added by the caller.
Modules that only some values need (`ipaddress`, `pwd`, `glob`, `inspect`) are imported then.
"""

import os
import re

from gunicorn import util
from gunicorn._dirty import parse_spec
from gunicorn.errors import ConfigError

ALPN_PROTOCOL_MAP = {"h1": "http/1.1", "h2": "h2"}
VALID_HTTP_PROTOCOLS = frozenset(ALPN_PROTOCOL_MAP)
RELOAD_ENGINES = ("auto", "poll", "inotify")
SSL_VERSION_DEFAULT = 2  # ssl.PROTOCOL_TLS, without importing ssl for it

HTTP2_WINDOW_MAX = 2**31 - 1  # RFC 9113 section 6.9.1
HTTP2_FRAME_MIN = 2**14  # RFC 9113 section 4.2
HTTP2_FRAME_MAX = 2**24 - 1


def auto_int(text):
    """An integer in any of Python's notations, or octal in C's (`0022`)."""
    digits = text.strip()
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        digits = "0o" + digits[1:]
    return int(digits, 0)


def validate_bool(val):
    if val is None or isinstance(val, bool):
        return val
    if not isinstance(val, str):
        raise TypeError("must be True or False, without quotes or as text")
    text = val.lower().strip()
    if text not in ("true", "false"):
        raise ValueError("Invalid boolean, must be true or false")
    return text == "true"


def validate_dict(val):
    if not isinstance(val, dict):
        raise TypeError("must be a dictionary")
    return val


INT_MAX = 2**63 - 1  # the most that engine and arbiter can hold
C_INT_MAX = 2**31 - 1
WORKERS_MAX = 2048  # the arbiter has room for twice as many, as a reload needs
THREADS_MAX = 4096
ID_MAX = 2**32 - 2  # of users and groups; one more means none
MODE_MAX = 0o7777
FILE_MODE_MAX = 0o777


def validate_scheme_headers(val):
    for pair in validate_dict(val).items():
        if not all(isinstance(text, str) for text in pair):
            raise TypeError("must be a dictionary of strings: names of headers, and their values")
    return val


def validate_pos_int(val, most=INT_MAX):
    if isinstance(val, str):
        try:
            val = int(val, 0)
        except ValueError:
            raise ValueError("must be a whole number, 0 or greater") from None
    elif not isinstance(val, int):
        hint = "; round it with int()" if isinstance(val, float) else ""
        raise TypeError(f"must be a whole number, 0 or greater{hint}")
    val = int(val)  # True and False are numbers to Python; IntEnum members lose their names
    if val < 0:
        raise ValueError("Value must be positive, or 0")
    return _at_most(val, most)


def _at_most(val, most, shown=str):
    if val > most:
        raise ValueError(f"must be at most {shown(most)}")
    return val


AUTO = "auto"


def int_or_auto(text):
    """The number of a flag's text, or `auto`."""
    return AUTO if text.strip().lower() == AUTO else int(text)


def validate_workers(val):
    """A number of workers. `auto` becomes the number of processors that this process may use."""
    if isinstance(val, str) and val.strip().lower() == AUTO:
        from gunicorn import _processors

        return _processors.count(WORKERS_MAX)
    try:
        return validate_pos_int(val, WORKERS_MAX)
    except ValueError as exc:
        if isinstance(val, str) and not val.lstrip("-").isdigit():
            raise ValueError(f"{exc}, or auto") from None
        raise


def validate_workers_max(val):
    return validate_pos_int(val, WORKERS_MAX)


def validate_threads(val):
    return validate_pos_int(val, THREADS_MAX)


def validate_backlog(val):
    return validate_pos_int(val, C_INT_MAX)


def validate_mode(val):
    return _at_most(validate_pos_int(val), MODE_MAX, oct)


def validate_file_mode(val):
    val = validate_mode(val)
    if val > FILE_MODE_MAX:  # 660, and most others without their 0
        raise ValueError(f"must be at most {FILE_MODE_MAX:#o}; begin an octal number with 0o")
    return val


def validate_count(val):
    val = validate_pos_int(val)
    if val < 1:
        raise ValueError("must be at least 1")
    return val


SECONDS_MAX = 10 * 365 * 86400  # less than the engine's timers can hold


def seconds(text):
    """The number of a flag's text, whole where it can be."""
    value = float(text)
    return int(value) if value.is_integer() else value


def validate_seconds(val):
    """A time, which may have a fraction."""
    if isinstance(val, bool) or not isinstance(val, (int, float, str)):
        raise TypeError("must be a number of seconds, 0 or greater")
    if isinstance(val, str):
        try:
            val = seconds(val)
        except (ValueError, OverflowError):
            raise ValueError("must be a number of seconds, 0 or greater") from None
    if not 0 <= val <= SECONDS_MAX:  # neither is true of NaN
        raise ValueError(f"must be a number of seconds from 0 to {SECONDS_MAX}")
    return val


SIZE_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def size(text):
    """The bytes that `512M` and the like stand for: K, M, G, T, each 1024 times the last."""
    digits = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = digits[-1:] if digits[-1:] in SIZE_UNITS else ""
    return int(digits.removesuffix(unit).strip()) * SIZE_UNITS[unit]


def validate_size(val):
    if isinstance(val, str):
        try:
            val = size(val)
        except ValueError:
            raise ValueError("must be a number of bytes, as in 1048576, 512K, 64M or 2G") from None
    return validate_pos_int(val)


CLIENT_MEMORY_LEAST = 4 << 20  # with less, one client of TLS finds no share of it to begin with


def validate_client_memory(val):
    val = validate_size(val)
    if 0 < val < CLIENT_MEMORY_LEAST:
        raise ValueError("must be 0 or at least 4M: each client gets a small share of it")
    return val


WARMUP = re.compile(r"(https?://[^/\s?#]+)?/[!-\"$-~]*")


def validate_warmup(val):
    val = validate_list_string(val)
    for item in val:
        if not WARMUP.fullmatch(item):
            raise ValueError(f"{item!r} is neither a path, as in /health, nor a URL with one")
    return val


def validate_http2_window_size(val):
    val = validate_pos_int(val)
    if val > HTTP2_WINDOW_MAX:
        raise ValueError(f"must be at most {HTTP2_WINDOW_MAX} bytes")
    return val


def validate_http2_frame_size(val):
    val = validate_pos_int(val)
    if not HTTP2_FRAME_MIN <= val <= HTTP2_FRAME_MAX:
        raise ValueError(f"must be between {HTTP2_FRAME_MIN} and {HTTP2_FRAME_MAX} bytes")
    return val


def validate_ssl_version(val):
    if val != SSL_VERSION_DEFAULT:
        util.say(
            "Warning: option `ssl_version` is deprecated and it is ignored. "
            "Use ssl_context instead."
        )
    return val


def validate_string(val):
    if val is None:
        return None
    if not isinstance(val, str):
        raise TypeError("Not a string")
    return val.strip()


def validate_text(val):
    """A string that has to be there."""
    if val is None:
        raise TypeError("Not a string")
    return validate_string(val)


def validate_file_exists(val):
    if val is not None and not os.path.exists(val):
        raise ValueError(f"file {val} does not exist")
    return val


def validate_list_string(val):
    if not val:
        return []
    if isinstance(val, str):
        val = [val]
    if not hasattr(val, "__iter__"):
        raise TypeError("Not a string, nor a list of strings")
    items = [validate_string(item) for item in val]
    if None in items:
        raise TypeError("Not a string, nor a list of strings")
    return items


def validate_dirty_apps(val):
    items = validate_list_string(val)
    for item in items:
        parse_spec(item)
    return items


def validate_list_of_files_or_patterns(val):
    """Patterns stay as they are, for the reloader expands them again and again."""
    entries = validate_list_string(val)
    for entry in entries:
        if not util.is_glob_pattern(entry):
            validate_file_exists(entry)
            continue
        import glob

        if not glob.glob(entry, recursive=True):
            import warnings

            warnings.warn(
                f"reload_extra_files: the pattern {entry!r} matches no files",
                RuntimeWarning,
                stacklevel=2,
            )
    return entries


def validate_string_to_list(val):
    val = validate_string(val)
    if not val:
        return []
    return [item.strip() for item in val.split(",") if item]


def validate_string_to_addr_list(val):
    addresses = validate_string_to_list(val)
    for address in addresses:
        if address not in ("*", "127.0.0.1", "::1"):  # the usual ones need no ipaddress
            import ipaddress

            try:
                ipaddress.ip_network(address)
            except ValueError as exc:
                raise ValueError(
                    f"{exc}; allowed are *, addresses and networks (192.168.0.0/16)"
                ) from None
    return addresses


def validate_class(val):
    if callable(val) and not isinstance(val, type):
        val = val()
    return val if isinstance(val, type) else validate_text(val)


def _import_callable(path):
    module_name, dot, name = path.rpartition(".")
    if not dot:
        raise TypeError(f"{path!r} names no function; the form is module.submodule.function")
    try:
        return getattr(__import__(module_name, fromlist=[name]), name)
    except ImportError as exc:
        raise TypeError(str(exc)) from exc
    except AttributeError:
        raise TypeError(f"Can not load {name!r} from {module_name!r}") from None


def validate_callable(arity):
    """A validator for functions of `arity` positional parameters; -1 stands for any number."""

    def validator(val):
        if isinstance(val, str):
            val = _import_callable(val)
        if not callable(val):
            raise TypeError("Value is not callable")
        if arity not in (-1, util.get_arity(val)):
            raise TypeError(
                f"Value must have an arity of: {arity}; this function takes {util.get_arity(val)}"
            )
        return val

    return validator


_validate_any_callable = validate_callable(-1)


def validate_post_request(val):
    """The engine passes (worker, req, environ, resp); hooks may take the first two or three."""
    hook = _validate_any_callable(val)
    arity = util.get_arity(hook)
    if arity == 4:
        return hook
    if arity == 3:

        def adapted(worker, req, environ, _resp):
            return hook(worker, req, environ)
    elif arity == 2:

        def adapted(worker, req, _environ, _resp):
            return hook(worker, req)
    else:
        raise TypeError("Value must have an arity of: 4 (or 2 or 3)")
    adapted.__qualname__ = getattr(hook, "__qualname__", repr(hook))
    return adapted


def _validate_id(val, current, lookup, kind):
    if val is None:
        return current()
    if isinstance(val, int):
        return _at_most(int(val), ID_MAX)
    if not isinstance(val, str):
        raise TypeError(f"must be the name or the number of a {kind}")
    if val.isdigit():
        return _at_most(int(val), ID_MAX)
    try:
        return lookup(val)
    except KeyError:
        raise ConfigError(f"No such {kind}: {val!r}") from None


def _uid_of(name):
    import pwd

    return pwd.getpwnam(name).pw_uid


def _gid_of(name):
    import grp

    return grp.getgrnam(name).gr_gid


def validate_user(val):
    return _validate_id(val, os.geteuid, _uid_of, "user")


def validate_group(val):
    return _validate_id(val, os.getegid, _gid_of, "group")


def validate_chdir(val):
    val = validate_text(val)
    # The present directory may be gone, and another one be there at its path.
    path = os.path.abspath(val if os.path.isabs(val) else os.path.join(util.getcwd(), val))
    if not os.path.exists(path):
        raise ConfigError(f"can't chdir to {val!r}")
    if not os.path.isdir(path):
        raise ConfigError(f"can't chdir to {val!r}: not a directory")
    return path


def validate_statsd_address(val):
    val = validate_string(val)
    if val is None:
        return None
    host, _, port = val.partition(":")
    if host == "unix" and port.isdigit():  # a host that is called unix
        return (host, int(port))
    try:
        return util.parse_address(val, default_port="8125")
    except RuntimeError:
        raise TypeError("Value must be one of ('host:port', 'unix://PATH')") from None


def validate_status_address(val):
    val = validate_string(val)
    if val is None:
        return None
    try:
        address = util.parse_address(val, default_port="")
    except RuntimeError:
        address = None
    if address is None or isinstance(address, int):
        raise TypeError(f"{val!r} is not HOST:PORT or unix:PATH")
    return address


def validate_reload_engine(val):
    if val not in RELOAD_ENGINES:
        raise ConfigError(f"Invalid reload_engine, must be one of {', '.join(RELOAD_ENGINES)}")
    return val


def _choice(val, choices, default):
    """One of `choices`, in any case of letters; `default` stands for None."""
    if val is None:
        return default
    if not isinstance(val, str):
        raise TypeError(f"must be a string, one of {', '.join(choices)}")
    text = val.lower().strip()
    if text not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}")
    return text


def validate_http2_cleartext(val):
    if isinstance(val, bool):
        return "prior-knowledge" if val else "off"
    return _choice(val, ("off", "prior-knowledge", "upgrade", "both"), "off")


def validate_header_map_behaviour(val):
    return _choice(val, ("drop", "refuse", "dangerous"), None)


def validate_asgi_loop(val):
    return _choice(val, ("auto", "asyncio", "uvloop"), "auto")


def validate_asgi_lifespan(val):
    return _choice(val, ("auto", "on", "off"), "auto")


def validate_http_parser(val):
    return _choice(val, ("auto", "fast", "python"), "auto")


_PROXY_PROTOCOL_SPELLINGS = {
    "off": "off",
    "false": "off",
    "0": "off",
    "none": "off",
    "auto": "auto",
    "true": "auto",
    "1": "auto",
    "v1": "v1",
    "v2": "v2",
}


def validate_proxy_protocol(val):
    if val is None:
        return "off"
    if isinstance(val, bool):
        return "auto" if val else "off"
    if not isinstance(val, str):
        raise TypeError("must be off, v1, v2 or auto")
    try:
        return _PROXY_PROTOCOL_SPELLINGS[val.lower().strip()]
    except KeyError:
        raise ValueError("proxy_protocol must be: off, v1, v2, or auto") from None


def validate_http_protocols(val):
    if val is None:
        return ["h1"]
    if not isinstance(val, str):
        raise TypeError("must be a string: h1, h2 or both with a comma between")
    protocols = [item.strip().lower() for item in val.split(",") if item.strip()]
    for protocol in protocols:
        if protocol not in VALID_HTTP_PROTOCOLS:
            raise ValueError(
                f"Invalid protocol {protocol!r}. Valid protocols: "
                f"{', '.join(sorted(VALID_HTTP_PROTOCOLS))}"
            )
    if len(protocols) != len(set(protocols)):
        raise ValueError("Duplicate protocols specified")
    return protocols or ["h1"]
