"""Applications: found by name, of the user's own class, and by PasteDeploy."""

from __future__ import annotations

import sys
import types

import pytest


@pytest.fixture
def arbiter(monkeypatch):
    """Stands for the arbiter; the application that it was started with is `.app`."""
    from gunicorn.app import base

    class Arbiter:
        app = None
        error = None

        def __init__(self, app):
            Arbiter.app = app

        def run(self):
            if Arbiter.error:
                raise Arbiter.error

    monkeypatch.setitem(vars(base), "Arbiter", Arbiter)
    return Arbiter


def test_import_app(directory):
    from gunicorn import util

    sys.modules.pop("app", None)
    app = util.import_app("app:app")
    assert util.import_app("app") is app
    assert util.import_app("app:make('hi', debug=True)") is app
    assert (app.greeting, app.debug) == ("hi", True)


def test_standalone_application(arbiter):
    from gunicorn.app.base import BaseApplication

    class Standalone(BaseApplication):
        def __init__(self, app, options=None):
            self.options = options or {}
            self.application = app
            super().__init__()

        def load_config(self):
            for key, value in self.options.items():
                if key in self.cfg.settings and value is not None:
                    self.cfg.set(key.lower(), value)

        def load(self):
            return self.application

    def app(environ, start_response):
        pass

    standalone = Standalone(app, {"bind": "127.0.0.1:0", "workers": 2, "nosuch": 1})
    standalone.run()
    assert arbiter.app is standalone
    assert standalone.wsgi() is app
    assert standalone.cfg.bind == ["127.0.0.1:0"]
    assert standalone.cfg.was_set("workers")


def test_standalone_application_with_a_mistake(capsys):
    from gunicorn.app.base import BaseApplication

    class Standalone(BaseApplication):
        def load_config(self):
            self.cfg.set("workers", "many")

    with pytest.raises(SystemExit) as exit:
        Standalone()
    assert exit.value.code == 1
    assert capsys.readouterr().err == (
        "\nError: Invalid value for workers: 'many': "
        "must be a whole number, 0 or greater, or auto\n"
    )


def test_errors_of_the_arbiter_are_told(directory, arbiter, monkeypatch, capsys):
    from gunicorn.app.wsgiapp import run

    monkeypatch.setattr(sys, "argv", ["gunicorn", "app:app"])
    arbiter.error = RuntimeError("no such address")
    with pytest.raises(SystemExit) as exit:
        run()
    assert exit.value.code == 1
    assert capsys.readouterr().err == "\nError: no such address\n\n"


def test_application_is_loaded_once(directory, arbiter, monkeypatch):
    from gunicorn.app.wsgiapp import WSGIApplication

    monkeypatch.setattr(sys, "argv", ["gunicorn", "--pythonpath=lib,.", "app:app"])
    application = WSGIApplication()
    application.run()
    assert application.wsgi() is application.wsgi()
    assert str(directory / "lib") in sys.path


def test_reload_reads_the_file_again(load, directory, monkeypatch):
    from gunicorn.app.wsgiapp import WSGIApplication

    file = directory / "gunicorn.conf.py"
    file.write_text("workers = 2\nchdir = 'sub'")
    (directory / "sub").mkdir()
    monkeypatch.setattr(sys, "argv", ["gunicorn", "app:app"])
    application = WSGIApplication()
    before = application.cfg
    file.write_text("workers = 3\ntimeout = 9")
    application.reload()
    assert (before.workers, application.cfg.workers, application.cfg.timeout) == (2, 3, 9)
    assert application.cfg.chdir == str(directory)


def test_files_of_the_original_are_noticed(directory, capsys):
    from gunicorn.app.wsgiapp import warn_of_the_original

    warn_of_the_original(str(directory))
    assert capsys.readouterr().err == ""
    (directory / "workers").mkdir()
    (directory / "workers" / "base_async.py").write_text("")
    warn_of_the_original(str(directory))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pip uninstall gunicorn monoceros" in said


def test_spew(directory, command):
    result = command("--spew", "--nosuch")
    assert result.returncode == 2
    (directory / "traced.py").write_text(
        "from gunicorn import debug\n"
        "def traced():\n    x = 3\n    return x\n"
        "debug.spew(['traced'], True)\ntraced()\ndebug.unspew()\n"
    )
    import subprocess

    from helpers.command import command_environment

    out = subprocess.run(
        [sys.executable, "-c", "import traced"],
        cwd=directory,
        env=command_environment(directory),
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    assert "traced:4:     return x\n\tx=3\n" in out


# ---- worker and logger classes ----


@pytest.mark.parametrize(
    "given,threads,resolved",
    [
        ("sync", 1, "sync"),
        ("sync", 2, "gthread"),
        ("gunicorn.workers.sync.SyncWorker", 2, "gthread"),
        ("gevent", 2, "gevent"),
        ("my.Worker", 1, "my.Worker"),
    ],
)
def test_worker_class_str(directory, given, threads, resolved):
    from gunicorn.config import Config

    cfg = Config()
    cfg.set("worker_class", given)
    cfg.set("threads", threads)
    assert cfg.worker_class_str == resolved


class Worker:
    was_set_up = False

    @classmethod
    def setup(cls):
        cls.was_set_up = True


def test_worker_class_given_as_a_class_or_a_function(directory):
    from gunicorn.config import Config

    cfg = Config()
    for given in (Worker, lambda: Worker, f"{__name__}.Worker"):
        Worker.was_set_up = False
        cfg.set("worker_class", given)
        assert cfg.worker_class is Worker
        assert Worker.was_set_up
    cfg.set("worker_class", Worker)
    assert cfg.worker_class_str == "Worker"


def test_classes_by_entry_point(directory, monkeypatch):
    from gunicorn import util

    info = directory / "somewhere-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gunicorn.workers]\nspecial = somewhere:Special\n[gunicorn.loggers]\nquiet = somewhere:Q\n"
    )
    (directory / "somewhere.py").write_text("class Special: pass\nclass Q: pass\n")
    assert util.load_class("special").__name__ == "Special"
    assert util.load_class("egg:somewhere#special").__name__ == "Special"
    assert util.load_class("quiet", section="gunicorn.loggers").__name__ == "Q"
    with pytest.raises(
        RuntimeError, match="invalid or not found: .* not found: somewhere has special"
    ):
        util.load_class("egg:somewhere#other")


def test_logger_class(directory):
    from gunicorn.config import Config
    from gunicorn.glogging import Logger
    from gunicorn.instrument.statsd import Statsd

    cfg = Config()
    assert cfg.logger_class is Logger
    cfg.set("logger_class", "simple")
    assert cfg.logger_class is Logger
    cfg.set("statsd_host", "localhost:8125")
    assert cfg.logger_class is Statsd
    cfg.set("logger_class", "conftest.APP")
    with pytest.raises(RuntimeError):
        cfg.set("logger_class", "conftest.NoSuch")
        cfg.logger_class  # noqa: B018


# ---- what follows from settings ----


def test_env(directory):
    from gunicorn.config import Config

    cfg = Config()
    cfg.set("raw_env", ["A=1", "B=x=y"])
    assert cfg.env == {"A": "1", "B": "x=y"}
    cfg.set("raw_env", ["A"])
    with pytest.raises(RuntimeError, match="environment setting 'A' invalid"):
        cfg.env  # noqa: B018


def test_address(directory):
    from gunicorn.config import Config

    cfg = Config()
    cfg.set("bind", ["h", "H:1", "[::1]:2", "[::1]", "tcp://h:3", "unix:/a", "unix:///b", "fd://4"])
    assert cfg.address == [
        ("h", 8000),
        ("h", 1),
        ("::1", 2),
        ("::1", 8000),
        ("h", 3),
        "/a",
        "/b",
        4,
    ]
    cfg.set("bind", ["", ":80"])
    assert cfg.address == [("0.0.0.0", 8000), ("", 80)]


def test_networks(directory):
    from ipaddress import ip_network

    from gunicorn.config import Config

    cfg = Config()
    cfg.set("forwarded_allow_ips", "10.0.0.0/8,*")
    assert cfg.forwarded_allow_networks() == [ip_network("10.0.0.0/8")]
    assert cfg.forwarded_allow_networks() is cfg.forwarded_allow_networks()
    cfg.set("forwarded_allow_ips", "::1")
    assert cfg.forwarded_allow_networks() == [ip_network("::1")]
    assert len(cfg.proxy_allow_networks()) == 2


def test_tls(directory):
    from gunicorn.config import Config

    cfg = Config()
    assert not cfg.is_ssl
    cfg.set("certfile", "c")
    assert cfg.is_ssl
    assert set(cfg.ssl_options) == {
        "keyfile",
        "certfile",
        "ssl_version",
        "cert_reqs",
        "ca_certs",
        "suppress_ragged_eofs",
        "do_handshake_on_connect",
        "ciphers",
    }


def test_post_request_may_take_fewer_arguments(directory):
    from gunicorn.config import Config

    cfg = Config()
    seen = []
    cfg.set("post_request", lambda worker, req: seen.append((worker, req)))
    cfg.post_request(1, 2, 3, 4)
    cfg.set("post_request", lambda worker, req, environ: seen.append((worker, req, environ)))
    cfg.post_request(1, 2, 3, 4)
    assert seen == [(1, 2), (1, 2, 3)]


def test_hooks_may_be_named(directory):
    from gunicorn.config import Config

    cfg = Config()
    cfg.set("when_ready", "os.path.basename")
    assert cfg.when_ready("a/b") == "b"
    for name, said in (
        ("basename", "names no function"),
        ("os.path.nosuch", "Can not load 'nosuch' from 'os.path'"),
        ("nosuch.module.f", "No module named 'nosuch'"),
        ("os.path.sep", "not callable"),
    ):
        with pytest.raises(TypeError, match=said):
            cfg.set("when_ready", name)


def test_methods_and_decorated_functions_as_hooks(directory):
    import functools

    from gunicorn.config import Config

    class Hooks:
        def ready(self, server):
            return server

        def __call__(self, server, worker):
            return worker

    @functools.wraps(Hooks().ready)
    def wrapped(*args):
        return args

    cfg = Config()
    cfg.set("when_ready", Hooks().ready)
    assert cfg.when_ready(3) == 3
    cfg.set("pre_fork", Hooks())
    assert cfg.pre_fork(1, 2) == 2
    cfg.set("when_ready", wrapped)
    cfg.set("when_ready", functools.partial(Hooks().ready))
    assert "when_ready" in str(cfg)


# ---- PasteDeploy ----

INI = """
[app:main]
paste.app_factory = pasted:factory
[app:other]
paste.app_factory = pasted:factory
[server:main]
use = egg:gunicorn#main
host = 127.0.0.1
port = 5000
workers = 3
"""

LOGGING_INI = """
[loggers]
keys = root
[handlers]
keys =
[formatters]
keys =
[logger_root]
handlers =
"""


@pytest.fixture
def deploy(monkeypatch):
    """Stands for PasteDeploy: what loadapp was called with."""
    calls = []

    def loadapp(uri, name=None, relative_to=None, global_conf=None):
        calls.append((uri, name, relative_to, global_conf))
        return lambda environ, start_response: []

    package, module = types.ModuleType("paste"), types.ModuleType("paste.deploy")
    module.loadapp = loadapp
    package.deploy = module
    monkeypatch.setitem(sys.modules, "paste", package)
    monkeypatch.setitem(sys.modules, "paste.deploy", module)
    return calls


def test_paste(directory, deploy, monkeypatch):
    from gunicorn.app.wsgiapp import WSGIApplication

    (directory / "site.ini").write_text(INI)
    arguments = ["--paste", "site.ini#other", "--paste-global", r"a\=b=c", "--paste-global=d=e"]
    monkeypatch.setattr(sys, "argv", ["gunicorn", *arguments])
    application = WSGIApplication()
    assert application.cfg.default_proc_name == str(directory / "site.ini")
    assert application.cfg.logconfig is None
    assert callable(application.load())
    uri = f"config:{directory}/site.ini#other"
    assert deploy == [(uri, None, str(directory), {"a=b": "c", "d": "e"})]


def test_paste_file_configures_logging(directory, monkeypatch):
    from gunicorn.app.wsgiapp import WSGIApplication

    (directory / "site.ini").write_text(INI + LOGGING_INI)
    monkeypatch.setattr(sys, "argv", ["gunicorn", "--paster", "site.ini"])
    assert WSGIApplication().cfg.logconfig == str(directory / "site.ini")


def test_paste_file_that_is_missing(command):
    result = command("--paste", "nosuch.ini")
    assert result.returncode == 1
    assert "nosuch.ini' not found" in result.stderr


def test_paste_server(directory, arbiter):
    from gunicorn.app.pasterapp import serve

    ini = directory / "site.ini"
    ini.write_text(INI + LOGGING_INI)
    (directory / "more.py").write_text("threads = 4\nworkers = 9")

    def app(environ, start_response):
        return []

    conf = {"__file__": str(ini), "here": str(directory)}
    serve(app, conf, host="127.0.0.1", port="5000", workers="3", config="more.py", backlog=None)
    cfg = arbiter.app.cfg
    assert arbiter.app.load() is app
    assert cfg.bind == ["127.0.0.1:5000"]
    assert (cfg.workers, cfg.threads, cfg.backlog) == (3, 4, 2048)
    assert cfg.default_proc_name == cfg.logconfig == str(ini)
    serve(app, conf, host="a:1,b:2")
    assert arbiter.app.cfg.bind == ["a:1", "b:2"]


def test_paste_server_with_a_mistake(directory, arbiter, capsys):
    from gunicorn.app.pasterapp import serve

    (directory / "site.ini").write_text(INI)
    with pytest.raises(SystemExit):
        serve(None, {"__file__": "site.ini"}, workers="many")
    assert "Invalid value for workers: 'many' (site.ini, section of the server)" in (
        capsys.readouterr().err
    )


PASTED = """
def factory(global_conf, greeting="hello"):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    app.conf = (greeting, global_conf.get("colour"))
    return app
"""


def test_pastedeploy_itself(directory, monkeypatch):
    pytest.importorskip("paste.deploy")
    from gunicorn.app.wsgiapp import WSGIApplication

    (directory / "pasted.py").write_text(PASTED)
    (directory / "site.ini").write_text(
        "[app:main]\npaste.app_factory = pasted:factory\n"
        "[app:other]\npaste.app_factory = pasted:factory\ngreeting = bonjour\n"
    )
    for uri, conf in (("site.ini", ("hello", "red")), ("site.ini#other", ("bonjour", "red"))):
        monkeypatch.setattr(
            sys, "argv", ["gunicorn", "--paste", uri, "--paste-global", "colour=red"]
        )
        assert WSGIApplication().wsgi().conf == conf
