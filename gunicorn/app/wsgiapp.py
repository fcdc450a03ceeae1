"""The application of the command `gunicorn`."""

from __future__ import annotations

import os

from gunicorn import util
from gunicorn.app.base import Application
from gunicorn.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Modules that only the original has, in versions far apart.
FILES_OF_THE_ORIGINAL: tuple[str, ...] = ("workers/base_async.py",)


class WSGIApplication(Application):
    """A WSGI application that the command line, `wsgi_app` or a PasteDeploy file names."""

    app_uri: str | None = None

    def init(self, parser, opts, args):
        self.app_uri = None
        if opts.paste:
            self._init_paste(opts.paste)
        elif args:
            self.cfg.set("default_proc_name", args[0])
            self.app_uri = args[0]

    def _init_paste(self, paste):
        from gunicorn.app._paste import has_logging_config

        uri = os.path.abspath(paste)
        config_file = uri.partition("#")[0]
        if not os.path.exists(config_file):
            raise ConfigError(f"{config_file!r} not found")
        self.cfg.set("default_proc_name", config_file)
        self.app_uri = uri
        if has_logging_config(config_file):
            self.cfg.set("logconfig", config_file)

    def load_config(self):
        super().load_config()
        if self.app_uri is None:
            self.app_uri = self.cfg.wsgi_app
        if self.app_uri is None:
            raise ConfigError("No application module specified.")

    def load_wsgiapp(self) -> Callable[..., Iterable[bytes]]:
        return util.import_app(self.app_uri)

    def load_pasteapp(self) -> Callable[..., Iterable[bytes]]:
        from gunicorn.app._paste import get_wsgi_app

        return get_wsgi_app(self.app_uri, defaults=self.cfg.paste_global_conf)

    def load(self):
        if self.cfg.paste is not None:
            return self.load_pasteapp()
        return self.load_wsgiapp()


def warn_of_the_original(directory: str) -> None:
    """Say so when files of the original gunicorn are mixed with ours in `directory`.

    Both were installed, one over the other; which file is whose is anybody's guess then.
    """
    if any(os.path.exists(os.path.join(directory, name)) for name in FILES_OF_THE_ORIGINAL):
        util.say(
            f"Warning: the original gunicorn is installed over monoceros in {directory}. To mend "
            "it: pip uninstall gunicorn monoceros, then pip install monoceros."
        )


def run(prog: str | None = None) -> None:
    """The command `gunicorn`."""
    warn_of_the_original(os.path.dirname(os.path.dirname(__file__)))
    WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]", prog=prog).run()


if __name__ == "__main__":
    run()
