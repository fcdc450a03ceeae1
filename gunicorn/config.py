"""The configuration: all settings with their values, and values derived from them."""

import os
import sys
import types

from gunicorn import __version__, util
from gunicorn._settings import (
    ROWS,
    Computed,
    _get_default_control_socket,  # noqa: F401  (its name is known to software of others)
)
from gunicorn._validators import *  # noqa: F403  (their names are known to software of others)
from gunicorn.errors import ConfigError

PLATFORM = sys.platform
KNOWN_SETTINGS = []

DEFAULT_LOGGER = "gunicorn.glogging.Logger"
STATSD_LOGGER = "gunicorn.instrument.statsd.Statsd"
THREAD_WORKER = "gunicorn.workers.gthread.ThreadWorker"
DEFAULT_CONFIG_FILE = "gunicorn.conf.py"
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


class _EachAtom(dict):
    """The atoms of an access log: each that a format asks for exists, and is a number."""

    def __missing__(self, name):
        return 0


def _format_problem(text: str) -> str | None:
    """The mistake in an access_log_format, or None."""
    try:
        text % _EachAtom()  # noqa: B018  (for its exceptions)
    except (TypeError, ValueError) as exc:
        return str(exc)
    return None


def _where(source) -> str:
    """Return the part of an error about the place where a value was set."""
    return f" ({source})" if source else ""


class Setting:
    """One setting: its description and its value.

    A subclass with `name`, `section`, `validator` and so on as attributes of the class is a
    setting of the user's own; it has a flag when it has `cli`.
    """

    name = None
    value = None
    section = None
    cli = None
    validator = None
    type = None
    meta = None
    action = None
    default = None
    default_text = None
    short = None
    desc = None
    nargs = None
    const = None
    unit = ""
    since = ""
    order = 0
    variable = None
    source = None
    given = None  # the value as it was given; `value` is the result of the validator

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.name is None:
            return
        if isinstance(vars(cls).get("validator"), types.FunctionType):
            cls.validator = staticmethod(cls.validator)
        cls.desc = (cls.desc or "").strip()
        cls.short = cls.short or cls.desc.partition("\n")[0]
        cls.order = len(KNOWN_SETTINGS)
        KNOWN_SETTINGS.append(cls)

    def __init__(self):
        if self.default is not None:
            self.set(self.default)

    def copy(self):
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def get(self):
        return self.value

    def set(self, val, source=None):
        """Validate `val` and keep it. `source` says in an error where it came from."""
        if not callable(self.validator):
            raise TypeError(f"Invalid validator: {self.name}")
        try:
            self.value = self.validator(val)
            self.given = val
        except (TypeError, ValueError, ConfigError) as exc:
            kind = type(exc) if type(exc) in (TypeError, ConfigError) else ValueError
            raise kind(f"Invalid value for {self.name}: {val!r}{_where(source)}: {exc}") from exc

    def as_given(self):
        """The part of an error about it: its name, its value and the source of that."""
        return f"{self.name} {self.given!r}{_where(self.source)}"

    def add_option(self, parser):
        """Add the setting's flags to `parser`, an argparse parser or group."""
        if not self.cli:
            return
        default = self.default if self.default_text is None else self.default_text
        kwargs = {
            "dest": self.name,
            "action": self.action or "store",
            "default": None,  # tells "not given" from any value
            "help": f"{self.short} [{default}]".replace("%", "%%"),
        }
        if kwargs["action"] == "store":
            kwargs["type"] = self.type or str
        for key, value in (("metavar", self.meta), ("nargs", self.nargs), ("const", self.const)):
            if value is not None and not (key == "metavar" and self.action in _NO_VALUE):
                kwargs[key] = value
        parser.add_argument(*self.cli, **kwargs)

    def __lt__(self, other):
        return self.section == other.section and self.order < other.order

    def __repr__(self):
        return f"<{type(self).__name__} {self.name} with value {self.value!r}>"


_NO_VALUE = ("store_true", "store_const")


class _ComputedDefault:
    """A default that depends on the machine: computed each time that it is read."""

    def __init__(self, function):
        self._function = function

    def __get__(self, setting, owner):
        return self._function()


class _TableSetting(Setting):
    """A setting of the table in `_settings`."""

    def __init__(self):
        if callable(self.default):  # a hook of ours needs no check
            self.value = self.default
        else:
            super().__init__()
            if isinstance(self.value, (list, dict)):  # each object has its own
                self.value = self.value.copy()


class _ComputedSetting(_TableSetting):
    """A setting of the table whose default depends on the machine."""

    def __init__(self):
        given = os.environ.get(self.variable) if self.variable else None
        source = f"environment variable {self.variable}" if given else None
        try:
            default = self.default
        except ValueError as exc:
            raise ConfigError(
                f"Invalid value for {self.name}: {given!r} ({source}): {exc}"
            ) from exc
        self.set(default, source)


# gunicorn's names of classes that do not follow from the setting's.
_CLASS_NAMES = {
    "accesslog": "AccessLog", "asgi_disconnect_grace_period": "ASGIDisconnectGracePeriod",
    "asgi_lifespan": "ASGILifespan", "asgi_loop": "ASGILoop", "ca_certs": "CACerts",
    "casefold_http_method": "CasefoldHTTPMethod", "certfile": "CertFile",
    "check_config": "ConfigCheck", "config": "ConfigFile",
    "enable_backlog_metric": "BacklogMetric", "errorlog": "ErrorLog",
    "forwarded_allow_ips": "ForwardedAllowIPS", "http2_cleartext": "HTTP2Cleartext",
    "http2_initial_window_size": "HTTP2InitialWindowSize",
    "http2_max_concurrent_streams": "HTTP2MaxConcurrentStreams",
    "http2_max_frame_size": "HTTP2MaxFrameSize",
    "http2_max_header_list_size": "HTTP2MaxHeaderListSize", "http_protocols": "HTTPProtocols",
    "keyfile": "KeyFile", "logconfig": "LogConfig", "logconfig_dict": "LogConfigDict",
    "logconfig_json": "LogConfigJson", "nworkers_changed": "NumWorkersChanged",
    "permit_unconventional_http_method": "PermitUnconventionalHTTPMethod",
    "permit_unconventional_http_version": "PermitUnconventionalHTTPVersion",
    "post_fork": "Postfork", "pre_fork": "Prefork", "proc_name": "Procname",
    "proxy_allow_ips": "ProxyAllowFrom", "pythonpath": "PythonPath", "raw_env": "Env",
    "raw_paste_global_conf": "PasteGlobalConf", "secure_scheme_headers": "SecureSchemeHeader",
    "ssl_context": "NewSSLContext", "ssl_version": "SSLVersion",
    "suppress_ragged_eofs": "SuppressRaggedEOFs", "syslog_addr": "SyslogTo",
    "threads": "WorkerThreads", "uwsgi_allow_ips": "UWSGIAllowFrom",
    "websocket_max_message_size": "WebSocketMaxMessageSize", "wsgi_app": "WSGIApp",
}  # fmt: skip


def _class_name(setting):
    return _CLASS_NAMES.get(setting) or "".join(map(str.capitalize, setting.split("_")))


def _unbound(value):
    """Return a value for a class whose functions are no methods."""
    return staticmethod(value) if callable(value) and not isinstance(value, type) else value


def _attributes(row):
    computed = isinstance(row.default, Computed)
    return {
        "__module__": __name__,
        "name": row.name,
        "section": row.section,
        "cli": row.cli,
        "validator": _unbound(row.kind.validator),
        "type": _unbound(row.type),
        "meta": row.meta,
        "action": row.action,
        "nargs": row.nargs,
        "const": row.const,
        "desc": row.help,
        "unit": row.unit,
        "since": row.since,
        "default": _ComputedDefault(row.default.function) if computed else _unbound(row.default),
        "default_text": row.default.text if computed else None,
        "variable": row.default.variable if computed else None,
    }


def _define(row):
    """Make the class of a setting, as a name of this module; being a Setting, it is known."""
    base = _ComputedSetting if isinstance(row.default, Computed) else _TableSetting
    name = _class_name(row.name)
    globals()[name] = type(name, (base,), _attributes(row))


for _row in ROWS:
    _define(_row)


def make_settings(ignore=None):
    """Return all settings, by name, with their defaults."""
    ignore = ignore or ()
    return {known.name: known() for known in KNOWN_SETTINGS if known.name not in ignore}


def get_default_config_file():
    """The path of ./gunicorn.conf.py, or None when there is none."""
    path = os.path.join(os.getcwd(), DEFAULT_CONFIG_FILE)
    return path if os.path.exists(path) else None


def _split_pair(text, name):
    key, equals, value = text.partition("=")
    if not equals:
        raise RuntimeError(f"environment setting {text!r} invalid: {name} takes KEY=VALUE")
    return key, value


class Config:
    """The settings by name: `cfg.workers`, `cfg.set("workers", 4)`, `cfg.settings["workers"]`.

    `env_orig` is the environment that the process was started with.
    """

    def __init__(self, usage=None, prog=None):
        self.settings = make_settings()
        self.usage = usage
        self.prog = prog or os.path.basename(sys.argv[0])
        self.env_orig = os.environ.copy()
        self._networks = {}

    def __str__(self):
        width = max(map(len, self.settings))
        lines = []
        for name in sorted(self.settings):
            value = self.settings[name].value
            if callable(value):
                value = f"<{getattr(value, '__qualname__', type(value).__qualname__)}()>"
            lines.append(f"{name:{width}} = {value}")
        return "\n".join(lines)

    def __getattr__(self, name):
        if name == "settings":  # while copying or unpickling
            raise AttributeError(name)
        try:
            return self.settings[name].get()
        except KeyError:
            raise AttributeError(f"No configuration setting for: {name}") from None

    def __setattr__(self, name, value):
        if name != "settings" and name in self.settings:
            raise AttributeError("Invalid access!")
        super().__setattr__(name, value)

    def set(self, name, value, source=None):
        """Set a setting. `source` is named in the error when the value is no good.

        Raises AttributeError when there is no such setting; TypeError, ValueError or ConfigError
        when the value is not allowed.
        """
        if name not in self.settings:
            raise AttributeError(f"No configuration setting for: {name}")
        setting = self.settings[name]
        if source is None:
            setting.set(value)
        else:
            setting.set(value, source)
        setting.source = source or "application"

    def was_set(self, name):
        """Whether anybody gave `name` a value; the default counts for none."""
        return self.settings[name].source is not None

    def validate(self):
        """Check settings against each other. Raises ConfigError."""
        from gunicorn import _features

        if self.loglevel.lower() not in LOG_LEVELS:
            util.say(
                f"Warning: loglevel {self.loglevel!r} is unknown, info is used; "
                f"there are {', '.join(LOG_LEVELS)}."
            )
        own_logger = self.was_set("logger_class")  # which may have a notation of its own
        problem = None if own_logger else _format_problem(self.access_log_format)
        if problem is not None:
            util.say(
                f"Warning: access_log_format {self.access_log_format!r} has a mistake, no line can "
                f"be written: {problem}; atoms are written as in %(h)s, a percent sign as %%."
            )
        _features.check(self)

    def get_cmd_args_from_env(self):
        text = self.env_orig.get("GUNICORN_CMD_ARGS")
        if not text:
            return []
        import shlex

        try:
            return shlex.split(text)
        except ValueError as exc:
            raise ConfigError(f"GUNICORN_CMD_ARGS: {exc}: {text}") from None

    def parser(self):
        """Return the parser of the command line: argparse's, or its substitute."""
        from gunicorn._cli import CommandLine

        return CommandLine(self, __version__)

    # ---- workers and loggers ----

    def _is_threaded_sync(self, uri):
        is_sync = isinstance(uri, str) and (uri == "sync" or uri.endswith("SyncWorker"))
        return is_sync and self.threads > 1

    @property
    def worker_class_str(self):
        uri = self.settings["worker_class"].get()
        if self._is_threaded_sync(uri):
            return "gthread"
        return uri if isinstance(uri, str) else uri.__name__

    @property
    def worker_class(self):
        """The class of the workers, set up. Raises RuntimeError when it cannot be loaded."""
        worker_class = self.load_worker_class()
        if hasattr(worker_class, "setup"):
            worker_class.setup()
        return worker_class

    def load_worker_class(self):
        """The class of the workers, not set up."""
        uri = self.settings["worker_class"].get()
        if self._is_threaded_sync(uri):
            uri = THREAD_WORKER
        return self._load_class("worker_class", uri)

    def _load_class(self, name, uri, **kind):
        """Load the class of the setting `name`, which an error names."""
        try:
            return util.load_class(uri, **kind)
        except RuntimeError as exc:
            where = _where(self.settings[name].source)
            raise RuntimeError(f"Invalid value for {name}{where}: {exc}") from None

    @property
    def logger_class(self):
        uri = self.settings["logger_class"].get()
        if uri == "simple":
            uri = DEFAULT_LOGGER
        if uri == DEFAULT_LOGGER and self.statsd_host is not None:
            uri = STATSD_LOGGER
        logger_class = self._load_class(
            "logger_class", uri, default=DEFAULT_LOGGER, section="gunicorn.loggers"
        )
        if hasattr(logger_class, "install"):
            logger_class.install()
        return logger_class

    # ---- process ----

    @property
    def address(self):
        return [self._address_of(util.bytes_to_str(bind)) for bind in self.bind]

    def _address_of(self, bind):
        try:
            return util.parse_address(bind)
        except RuntimeError as exc:
            source = self.settings["bind"].source
            if source is None and os.environ.get("PORT"):
                source = "environment variable PORT"
            where = f" ({source})" if source else ""
            raise RuntimeError(f"Invalid value for bind: {bind!r}{where}: {exc}") from None

    @property
    def uid(self):
        return self.user

    @property
    def gid(self):
        return self.group

    @property
    def proc_name(self):
        name = self.settings["proc_name"].get()
        return name if name is not None else self.default_proc_name

    @property
    def env(self):
        """raw_env as a dictionary. Raises RuntimeError."""
        return dict(_split_pair(util.bytes_to_str(e), "raw_env") for e in self.raw_env or ())

    @property
    def paste_global_conf(self):
        """raw_paste_global_conf as a dictionary; `\\=` is an = within a key or a value."""
        raw = self.raw_paste_global_conf
        if raw is None:
            return None
        hidden = "\0"
        pairs = (
            _split_pair(util.bytes_to_str(e).replace("\\=", hidden), "--paste-global") for e in raw
        )
        return {k.replace(hidden, "="): v.replace(hidden, "=") for k, v in pairs}

    @property
    def sendfile(self):
        value = self.settings["sendfile"].get()
        if value is not None:
            return value
        if "SENDFILE" in os.environ:
            return os.environ["SENDFILE"].lower() in ("y", "1", "yes", "true")
        return True

    # ---- trust and TLS ----

    def _allowed_networks(self, name):
        addresses = self.settings[name].get()
        cached = self._networks.get(name)
        if cached is None or cached[0] is not addresses:
            import ipaddress

            networks = [ipaddress.ip_network(a) for a in addresses if a != "*"]
            cached = self._networks[name] = (addresses, networks)
        return cached[1]

    def forwarded_allow_networks(self):
        return self._allowed_networks("forwarded_allow_ips")

    def proxy_allow_networks(self):
        return self._allowed_networks("proxy_allow_ips")

    @property
    def is_ssl(self):
        return self.certfile or self.keyfile

    @property
    def ssl_options(self):
        """The settings of the section SSL, as ssl.SSLContext.wrap_socket's ancestor took them."""
        return {name: s.get() for name, s in self.settings.items() if s.section == "SSL"}
