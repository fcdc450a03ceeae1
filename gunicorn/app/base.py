"""Base classes of applications: they load the configuration and start the arbiter."""

from __future__ import annotations

import os
import sys

from gunicorn import _ssl_context, util
from gunicorn._output import piped
from gunicorn.app._configfile import FileSource, run_file, warn_of_misspelt
from gunicorn.config import Config, get_default_config_file
from gunicorn.errors import AppImportError, ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

    from gunicorn.glogging import Logger

ENVIRONMENT_VARIABLE = "GUNICORN_CMD_ARGS"


def __getattr__(name: str) -> Any:
    # Not imported at once: `--check-config` and `--help` run without the engine.
    if name == "Arbiter":
        from gunicorn.arbiter import Arbiter

        return Arbiter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _die(message: object) -> NoReturn:
    util.say(f"\nError: {message}")
    sys.exit(1)


def _print(text):
    """Print to the standard output, also characters that it cannot encode."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _print_traceback():
    import traceback

    traceback.print_exc()
    sys.stderr.flush()


class BaseApplication:
    """An application to serve, with its configuration.

    A subclass defines `load_config()`, which calls `self.cfg.set(name, value)`, and `load()`,
    which returns the WSGI application; then `Subclass().run()` serves it.
    """

    cfg: Config
    callable: Callable[..., Iterable[bytes]] | None
    logger: Logger | None

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        util.open_standard_descriptors()
        self.usage = usage
        self.cfg = None  # type: ignore[assignment]  # before do_load_config()
        self.callable = None
        self.prog = prog
        self.logger = None
        self.do_load_config()

    def do_load_config(self) -> None:
        """Load the configuration; a mistake in it is printed and ends the process, status 1."""
        try:
            self.load_default_config()
            self.load_config()
            self.cfg.validate()
        except Exception as exc:
            _die(exc)

    def load_default_config(self) -> None:
        """Make `self.cfg`, with the defaults."""
        self.cfg = Config(self.usage, prog=self.prog)

    def init(self, parser: Any, opts: Namespace | Any, args: list[str]) -> dict[str, Any] | None:
        """Look at the command line; may return a dictionary of settings."""
        raise NotImplementedError

    def load(self) -> Callable[..., Iterable[bytes]]:
        """Return the WSGI application."""
        raise NotImplementedError

    def load_config(self) -> None:
        """Change the settings of `self.cfg`."""
        raise NotImplementedError

    def reload(self) -> None:
        """Load the configuration again."""
        self.do_load_config()
        if self.cfg.spew:
            _spew()

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        """Return the application, loaded once."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def run(self) -> None:
        """Serve until a signal stops it. Ends the process."""
        try:
            sys.modules[__name__].Arbiter(self).run()
        except RuntimeError as exc:
            _die(f"{exc}\n")
        except (ConfigError, AppImportError) as exc:
            _die(exc)


def _spew():
    from gunicorn import debug

    debug.spew()


class Application(BaseApplication):
    """An application that is configured by a command line, its variable, and a file."""

    def chdir(self) -> None:
        """Change to the directory of the setting `chdir`, and import from it."""
        os.chdir(self.cfg.chdir)
        if self.cfg.chdir not in sys.path:
            sys.path.insert(0, self.cfg.chdir)

    def get_config_from_filename(self, filename: str) -> dict[str, Any]:
        return run_file(filename)

    def get_config_from_module_name(self, module_name: str) -> dict[str, Any]:
        return vars(util.import_module(module_name))

    def load_config_from_module_name_or_filename(self, location: str) -> dict[str, Any]:
        """Apply a configuration file: PATH, file:PATH or python:MODULE.

        Returns its names. Raises RuntimeError when there is no such file.
        """
        _ssl_context.record_if_hidden()
        if location.startswith("python:"):
            names = self.get_config_from_module_name(location[len("python:") :])
            path = names.get("__file__") or location
        else:
            path = location[len("file:") :] if location.startswith("file:") else location
            names = self.get_config_from_filename(path)
        for name, value in list(names.items()):
            if name in self.cfg.settings:
                self.cfg.set(name, value, FileSource(path, name))
        warn_of_misspelt(names, self.cfg.settings, path)
        return names

    def load_config_from_file(self, filename: str) -> dict[str, Any]:
        return self.load_config_from_module_name_or_filename(location=filename)

    def _load_file(self, *locations):
        """Load the first file that is named, else ./gunicorn.conf.py when there is one."""
        location = next(filter(None, locations), None) or get_default_config_file()
        if location is not None:
            self.load_config_from_file(location)

    def _set_options(self, options, variable=""):
        from gunicorn._cli import flag_source

        for name, value in vars(options).items():
            if value is not None and name != "args":
                self.cfg.set(name, value, flag_source(self.cfg, name, variable))

    def load_config(self):
        """Load all sources; each overrides those before it.

        They are the application's own (`init`), the configuration file, GUNICORN_CMD_ARGS, and
        the command line.
        """
        parser = self.cfg.parser()
        options = parser.parse_args()
        own = self.init(parser, options, options.args)

        self.chdir()  # to where the process was started, also when this is a reload
        for name, value in (own or {}).items():
            self.cfg.set(name.lower(), value)

        parser.origin = ENVIRONMENT_VARIABLE
        env_options = parser.parse_args(self.cfg.get_cmd_args_from_env())
        self._load_file(options.config, env_options.config)
        self._set_options(env_options, ENVIRONMENT_VARIABLE)
        self._set_options(options)
        self.chdir()

    def _check(self):
        """Load all that serving would load, then exit: with 0, or with 1 and the reason."""
        try:
            self.load()
        except AppImportError as exc:
            _die(exc)
        except Exception:
            print("\nError while loading the application:\n", file=sys.stderr)
            _print_traceback()
            sys.exit(1)
        try:
            self._check_settings()
        except (RuntimeError, ConfigError) as exc:
            _die(exc)
        sys.exit(0)

    def _check_settings(self):
        """Load all that settings name, but the application. Raises RuntimeError or ConfigError."""
        self.cfg.load_worker_class()
        self.cfg.logger_class, self.cfg.address, self.cfg.env  # noqa: B018  (they raise)
        self._check_logging()
        self._check_tls()

    def _check_logging(self):
        """Raise RuntimeError for logs that could not be set up, without opening any."""
        from gunicorn import _logconfig, glogging

        glogging.parse_syslog_address(self.cfg.syslog_addr)
        glogging.syslog_facility(self.cfg)
        _logconfig.check(self.cfg)

    def _check_tls(self):
        """Raise ConfigError for a certificate that could not be served."""
        if self.cfg.is_ssl:  # its modules are imported only then
            from gunicorn import _tls

            _tls.check(self.cfg)

    def run(self):
        if self.cfg.print_config:
            with piped():
                _print(str(self.cfg))
        if self.cfg.print_config or self.cfg.check_config:
            self._check()
        if self.cfg.spew:
            _spew()
        if self.cfg.daemon:
            try:
                self._check_tls()  # while there is a terminal to say and to ask something
            except ConfigError as exc:
                _die(exc)
            if os.environ.get("NOTIFY_SOCKET"):
                print(
                    "Warning: you shouldn't specify `daemon = True` when launching by systemd "
                    "with `Type = notify`",
                    file=sys.stderr,
                    flush=True,
                )
            util.daemonize(self.cfg.enable_stdio_inheritance)
        for path in (self.cfg.pythonpath or "").split(","):
            path = path and os.path.abspath(path)
            if path and path not in sys.path:
                sys.path.insert(0, path)
        super().run()
