"""Logging: the error log, the access log, and where they go.

The loggers are `gunicorn.error` and `gunicorn.access` of Python's `logging`. `logging.config`,
`logging.handlers` and `json` are imported when a setting needs them.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

from gunicorn import _access, _logfiles, util
from gunicorn._access import SafeAtoms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta
    from io import TextIOWrapper
    from typing import Any

    from gunicorn.config import Config
    from gunicorn.http.message import Request
    from gunicorn.http.wsgi import Response

# That nobody configured a logger of the application is no news to the user.
logging.Logger.manager.emittedNoHandlerWarning = True

SYSLOG_FACILITIES: dict[str, int] = {
    "auth": 4, "authpriv": 10, "cron": 9, "daemon": 3, "ftp": 11, "kern": 0, "lpr": 6, "mail": 2,
    "news": 7, "security": 4, "syslog": 5, "user": 1, "uucp": 8, "local0": 16, "local1": 17,
    "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}  # fmt: skip
SYSLOG_PORT = 514

OWN_LOGGERS = ("gunicorn.error", "gunicorn.access")


def _stream_handler(stream):
    return {"class": "logging.StreamHandler", "formatter": "generic", "stream": stream}


def _logger(name, handler):
    return {"level": "INFO", "handlers": [handler], "propagate": True, "qualname": name}


# The base of logconfig_dict and logconfig_json, which replace keys of the top level.
CONFIG_DEFAULTS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": _logger("gunicorn.error", "error_console"),
        "gunicorn.access": _logger("gunicorn.access", "console"),
    },
    "handlers": {
        "console": _stream_handler("ext://sys.stdout"),
        "error_console": _stream_handler("ext://sys.stderr"),
    },
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            "class": "logging.Formatter",
        }
    },
}


def loggers() -> list[logging.Logger]:
    """All loggers that exist, the root among them."""
    names = list(logging.root.manager.loggerDict)
    return [logging.root, *map(logging.getLogger, names)]


def access_enabled(cfg: Config) -> bool:
    """Whether anything is to be told about requests."""
    return bool(
        cfg.accesslog
        or cfg.logconfig
        or cfg.logconfig_dict
        or cfg.logconfig_json
        or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)
    )


def parse_syslog_address(addr: str) -> tuple[Any, Any]:
    """Split syslog_addr into arguments of SysLogHandler: a type of socket or None, an address.

    Raises RuntimeError.
    """
    import socket

    scheme, separator, rest = addr.partition("://")
    if scheme == "unix" and separator:
        path, _, kind = rest.partition("#")
        types = {"dgram": socket.SOCK_DGRAM, "stream": socket.SOCK_STREAM}
        return types.get(kind), path  # with None, the handler tries one after the other
    types = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
    if scheme not in types or not separator:
        raise RuntimeError(
            f"invalid syslog address {addr!r}: must be udp://HOST:PORT, tcp://HOST:PORT, "
            "unix://PATH, unix://PATH#dgram or unix://PATH#stream"
        )
    host, port = util.parse_address(rest or "localhost", default_port=str(SYSLOG_PORT))
    return types[scheme], (host, port)


def syslog_facility(cfg: Config) -> int:
    """The number of the setting's facility. Raises RuntimeError."""
    facility = SYSLOG_FACILITIES.get(cfg.syslog_facility.lower())
    if facility is None:
        raise RuntimeError(
            f"unknown facility name {cfg.syslog_facility!r}: syslog_facility must be one of "
            f"{', '.join(SYSLOG_FACILITIES)}"
        )
    return facility


def disabled_loggers():
    """The names of our loggers that somebody's logging configuration has disabled."""
    return [name for name in OWN_LOGGERS if logging.getLogger(name).disabled]


def warn_of_disabled_loggers(before):
    """Say so when loading the application has disabled others of our loggers than `before`."""
    names = [name for name in disabled_loggers() if name not in before]
    if not names:
        return
    text = (
        f"Logging is disabled for {' and '.join(names)}: the application has configured logging "
        "without naming them. To keep these logs, set disable_existing_loggers to False in its "
        "dictConfig or fileConfig."
    )
    log = logging.getLogger("gunicorn.error")
    try:  # the handlers are not disabled
        log.callHandlers(log.makeRecord(log.name, logging.WARNING, __file__, 0, text, (), None))
    except OSError:  # a file that was closed, and cannot be opened by the workers' user
        util.say(text)


class Logger:
    """The server's logger; `logger_class` names a subclass.

    `setup` runs again when the configuration is reloaded.
    """

    LOG_LEVELS: dict[str, int] = {
        "critical": logging.CRITICAL,
        "error": logging.ERROR,
        "warning": logging.WARNING,
        "info": logging.INFO,
        "debug": logging.DEBUG,
    }
    loglevel: int = logging.INFO

    error_fmt: str = r"%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
    datefmt: str = r"[%Y-%m-%d %H:%M:%S %z]"
    access_fmt = "%(message)s"
    syslog_fmt = "[%(process)d] %(message)s"

    atoms_wrapper_class: type[SafeAtoms] = SafeAtoms

    def __init__(self, cfg: Config) -> None:
        self.error_log = logging.getLogger("gunicorn.error")
        self.error_log.propagate = False
        self.access_log = logging.getLogger("gunicorn.access")
        self.access_log.propagate = False
        self.error_handlers: list[logging.Handler] = []
        self.access_handlers: list[logging.Handler] = []
        self.logfile: TextIOWrapper | None = None
        self.lock = threading.Lock()
        self.cfg = cfg
        self.setup(cfg)

    def setup(self, cfg: Config) -> None:
        """Make the handlers that `cfg` asks for. Raises RuntimeError when one cannot be made."""
        self.cfg = cfg
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        for log in (self.error_log, self.access_log):
            self._drop_own_handlers(log)

        if cfg.capture_output and cfg.errorlog != "-":
            self._capture_output()
        self._set_handler(
            self.error_log, cfg.errorlog, logging.Formatter(self.error_fmt, self.datefmt)
        )
        if cfg.accesslog is not None:
            self._set_handler(
                self.access_log, cfg.accesslog, logging.Formatter(self.access_fmt), sys.stdout
            )
        if cfg.syslog:
            self._set_syslog_handler(self.error_log, cfg, self.syslog_fmt, "error")
            if not cfg.disable_redirect_access_to_syslog:
                self._set_syslog_handler(self.access_log, cfg, self.syslog_fmt, "access")
        if cfg.logconfig_dict or cfg.logconfig_json or cfg.logconfig:
            from gunicorn import _logconfig

            _logconfig.apply(cfg, CONFIG_DEFAULTS)
        self._give_files()
        self._access_enabled = access_enabled(cfg)

    # ---- the error log ----

    def critical(self, msg: object, *args, **kwargs) -> None:
        self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg: object, *args, **kwargs) -> None:
        self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg: object, *args, **kwargs) -> None:
        self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg: object, *args, **kwargs) -> None:
        self.error_log.info(msg, *args, **kwargs)

    def debug(self, msg: object, *args, **kwargs) -> None:
        self.error_log.debug(msg, *args, **kwargs)

    def exception(self, msg: object, *args, **kwargs) -> None:
        self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl: int | str, msg: object, *args, **kwargs) -> None:
        """Log at a level that is given by name or by number."""
        if isinstance(lvl, str):
            lvl = self.LOG_LEVELS.get(lvl.lower(), logging.INFO)
        self.error_log.log(lvl, msg, *args, **kwargs)

    # ---- the access log ----

    @property
    def access_log_enabled(self) -> bool:
        """Whether `access` does anything."""
        try:
            return self._access_enabled
        except AttributeError:  # a subclass with a setup of its own
            return access_enabled(self.cfg)

    def atoms(
        self, resp: Response, req: Request, environ: dict[str, Any], request_time: timedelta
    ) -> dict[str, Any]:
        """Return all that a format may ask for, by name. `request_time` is a timedelta."""
        return _access.all_atoms(self, resp, req, environ, request_time)

    def access(
        self, resp: Response, req: Request, environ: dict[str, Any], request_time: timedelta
    ) -> None:
        """Write the line about a request. `request_time` is a timedelta."""
        if not self.access_log_enabled:
            return
        request = (resp, req, environ, request_time)
        try:
            if self.cfg.access_log_format == _access.JSON_FORMAT:
                self.access_log.info("%s", _access.json_line(self, *request))
            elif self._may_be_lazy():
                self.access_log.info(self.cfg.access_log_format, _access.LazyAtoms(self, *request))
            else:
                atoms = self.atoms_wrapper_class(self.atoms(*request))
                self.access_log.info(self.cfg.access_log_format, atoms)
        except Exception:
            self.exception("Error in the access log")

    def _may_be_lazy(self):
        """Whether nobody but the format looks at the atoms."""
        return (
            self._is_ours("atoms", "atoms_wrapper_class")
            and not self.access_log.filters
            and not self.access_log.propagate
            and all(
                getattr(h, "_gunicorn", False) and not h.filters for h in self.access_log.handlers
            )
        )

    def _is_ours(self, *names):
        """Whether none of these was overridden, or replaced in the class or in the object."""
        places = [vars(self), *map(vars, type(self).__mro__)]
        return all(
            next(place[name] for place in places if name in place) is _OURS[name] for name in names
        )

    def access_fd(self) -> int | None:
        """The descriptor to write lines to without asking this object, or None.

        There is one while neither the class, the loggers nor the handlers were changed by
        anybody: a line is then the formatted access_log_format, and nothing else happens.
        """
        if not self._is_ours("access", "atoms", "now", "_get_user", "access_fmt"):
            return None
        log = self.access_log
        if len(log.handlers) != 1 or not self._may_be_lazy() or not log.isEnabledFor(logging.INFO):
            return None
        handler: Any = log.handlers[0]
        if type(handler) not in (logging.StreamHandler, logging.FileHandler):
            return None
        if handler.level > logging.INFO or type(handler.formatter) is not logging.Formatter:
            return None
        try:
            handler.flush()
            return handler.stream.fileno()
        except (AttributeError, OSError):
            return None

    def now(self) -> str:
        """Return the time as the Common Log Format has it."""
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")

    def _get_user(self, environ):
        try:
            return _access.basic_auth_user(environ)
        except ValueError as exc:  # binascii.Error and UnicodeDecodeError are ValueErrors
            self.debug("Couldn't get username: %s", exc)
            return None

    # ---- files ----

    def reopen_files(self) -> None:
        """Open all log files anew, as after a rotation.

        A master of root gives them to the workers' user: those open them next. Raises OSError when
        one cannot be opened; logging goes on in the old file then.
        """
        failure = None
        if self.cfg.capture_output and self.cfg.errorlog != "-":
            try:
                self._capture_output()
                self._give(self.cfg.errorlog, 2)
            except (OSError, RuntimeError) as exc:
                failure = exc if isinstance(exc, OSError) else OSError(str(exc))
        for handler in _file_handlers():
            handler.acquire()
            try:
                if handler.stream:
                    handler.setStream(_logfiles.open_again(handler)).close()
                    self._give(handler.baseFilename, handler.stream.fileno())
            except OSError as exc:
                failure = exc
            finally:
                handler.release()
        if failure is not None:
            raise failure

    def _give(self, path, fd):
        try:
            _logfiles.give_to_user(path, fd, self.cfg, only_empty=True)
        except OSError as exc:
            self.warning(
                "Cannot make user %s the owner of %s: %s. Workers that cannot open it write into "
                "the renamed file. The master needs the capability CAP_CHOWN.",
                self.cfg.uid,
                path,
                exc.strerror,
            )

    def _give_files(self):
        """The same at the start, when files have something in them."""
        for handler in _file_handlers():
            try:
                if handler.stream is None and getattr(handler, "_gunicorn", False):
                    handler.setStream(handler._open())  # logging.config has closed it
                if handler.stream:
                    _logfiles.give_to_user(handler.baseFilename, handler.stream.fileno(), self.cfg)
            except OSError as exc:  # the workers inherit it
                self.debug("%s stays its owner's: %s", handler.baseFilename, exc)

    def close_on_exec(self) -> None:
        """Keep log files from programs that the application starts."""
        for handler in _file_handlers():
            handler.acquire()
            try:
                if handler.stream:
                    util.close_on_exec(handler.stream.fileno())
            finally:
                handler.release()

    def _capture_output(self):
        """Let the standard output and error go to the error log's file."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with self.lock:
            util.check_is_writable(self.cfg.errorlog)
            with open(self.cfg.errorlog, "a+") as file:
                os.dup2(file.fileno(), sys.stdout.fileno())
                os.dup2(file.fileno(), sys.stderr.fileno())
            # those hold it open from now on
            self.logfile = open(sys.stderr.fileno(), "a+", closefd=False)

    # ---- handlers ----

    def _get_gunicorn_handler(self, log):
        return next((h for h in log.handlers if getattr(h, "_gunicorn", False)), None)

    def _drop_own_handlers(self, log):
        while (handler := self._get_gunicorn_handler(log)) is not None:
            log.removeHandler(handler)
            handler.close()  # ends the descriptor of a file, and of syslog; no standard stream

    def _add_own_handler(self, log, handler, fmt):
        handler.setFormatter(fmt)
        handler._gunicorn = True
        log.addHandler(handler)

    def _set_handler(self, log, output, fmt, stream=None):
        self._drop_own_handlers(log)
        if output is None:
            return
        if output == "-":
            handler = logging.StreamHandler(stream)
        else:
            util.check_is_writable(output)
            handler = logging.FileHandler(output)
        self._add_own_handler(log, handler, fmt)

    def _set_syslog_handler(self, log, cfg, fmt, name):
        from gunicorn._syslog import SysLogHandler

        prefix = cfg.syslog_prefix or cfg.proc_name.replace(":", ".")
        facility = syslog_facility(cfg)
        kind, address = parse_syslog_address(cfg.syslog_addr)
        handler = SysLogHandler(cfg.syslog_addr, address, facility, kind)
        began = time.monotonic()
        try:
            handler.connect()
        except OSError as exc:
            if not (handler.unixsocket or handler.server.known):
                raise RuntimeError(f"syslog at {cfg.syslog_addr}: {exc}") from exc
            handler.server.fail(exc.strerror or exc, began)
        self._add_own_handler(log, handler, logging.Formatter(f"gunicorn.{prefix}.{name}: {fmt}"))


_OURS = dict(vars(Logger))


def _file_handlers():
    handlers = {id(h): h for log in loggers() for h in log.handlers}
    return [h for h in handlers.values() if isinstance(h, logging.FileHandler)]
