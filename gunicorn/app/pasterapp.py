"""PasteDeploy: applications from its files, and gunicorn as a server in them."""

from gunicorn.app._paste import get_wsgi_app, has_logging_config
from gunicorn.app.wsgiapp import WSGIApplication

__all__ = ["PasterServerApplication", "get_wsgi_app", "has_logging_config", "serve"]


class PasterServerApplication(WSGIApplication):
    """The server of `[server:main] use = egg:gunicorn#main`, with the settings of that section."""

    def __init__(self, app, config_file, settings):
        self.paste_app = app
        self.config_file = config_file
        self.paste_settings = settings
        super().__init__()

    def load_config(self):
        settings = dict(self.paste_settings)
        gunicorn_config_file = settings.pop("config", None)
        self.cfg.set("default_proc_name", self.config_file)
        if has_logging_config(self.config_file):
            self.cfg.set("logconfig", self.config_file)
        self._load_file(gunicorn_config_file)
        for name, value in settings.items():
            if value is not None:
                self.cfg.set(name.lower(), value, f"{self.config_file}, section of the server")

    def load(self):
        return self.paste_app


def serve(app, global_conf, **local_conf):
    """Serve `app`: the server runner that PasteDeploy calls (paste.server_runner)."""
    host = local_conf.pop("host", "")
    port = local_conf.pop("port", "")
    if host and port:
        local_conf["bind"] = f"{host}:{port}"
    elif host:
        local_conf["bind"] = host.split(",")
    PasterServerApplication(app, global_conf["__file__"], local_conf).run()
