"""Where values come from, which source wins, and how each source says what is wrong in it."""

from __future__ import annotations

import os
import sys

import pytest


def test_order(load):
    file = "workers = 2\nthreads = 2\ntimeout = 2\n"
    env = {"GUNICORN_CMD_ARGS": "--threads 3 --timeout 3", "WEB_CONCURRENCY": "9"}
    cfg = load("--timeout", "4", file=file, env=env)
    assert (cfg.workers, cfg.threads, cfg.timeout) == (2, 3, 4)


def test_application_comes_first(directory, monkeypatch):
    from gunicorn.app.base import Application

    class App(Application):
        def init(self, parser, opts, args):
            return {"WORKERS": 5, "threads": 5}

    (directory / "gunicorn.conf.py").write_text("threads = 6")
    monkeypatch.setattr(sys, "argv", ["app"])
    cfg = App().cfg
    assert (cfg.workers, cfg.threads) == (5, 6)


def test_which_file(load, directory):
    for name in ("a", "b"):
        (directory / f"{name}.py").write_text(f"proc_name = {name!r}")
    assert load(file="proc_name = 'default'").proc_name == "default"
    assert load(env={"GUNICORN_CMD_ARGS": "-c a.py"}).proc_name == "a"
    assert load("-c", "file:b.py").proc_name == "b"
    assert load("-c", "python:b").proc_name == "b"
    assert load("--config", str(directory / "b.py")).proc_name == "b"


def test_file_of_another_extension_is_warned_of(load, directory, capsys):
    (directory / "settings.txt").write_text("workers = 3")
    assert load("-c", "settings.txt").workers == 3
    assert "!!! WARNING: configuration file should have a valid Python extension." in (
        capsys.readouterr().err
    )


def test_file_is_found_where_the_process_started(load, directory):
    (directory / "elsewhere").mkdir()
    (directory / "elsewhere" / "gunicorn.conf.py").write_text("workers = 8")
    cfg = load("--chdir", "elsewhere", file="workers = 3")
    assert cfg.workers == 3
    assert os.getcwd() == cfg.chdir == str(directory / "elsewhere")
    assert sys.path[0] == cfg.chdir


def test_file_may_change_directory(load, directory):
    (directory / "sub").mkdir()
    load(file="chdir = 'sub'")
    assert os.getcwd() == str(directory / "sub")


def test_file_is_a_module(load, directory):
    cfg = load(file="proc_name = f'{__name__} {__file__}'")
    assert cfg.proc_name == f"__config__ {directory}/gunicorn.conf.py"
    assert sys.modules["__config__"].proc_name == cfg.proc_name


def test_missing_file(refused):
    said, code = refused("-c", "nosuch.py")
    assert (said, code) == ("\nError: 'nosuch.py' doesn't exist\n", 1)
    said, code = refused("-c", "python:nosuch.module")
    assert (said, code) == ("\nError: No module named 'nosuch'\n", 1)


def test_a_file_that_cannot_be_read(refused, directory):
    (directory / "there.py").mkdir()
    said, code = refused("-c", "there.py")
    assert (said, code) == ("Failed to read config file: there.py: Is a directory\n", 1)


def test_a_directory_that_is_none(refused, directory):
    (directory / "here").touch()
    said, code = refused("--chdir", "here")
    assert code == 1
    assert said.endswith("'here' (--chdir): can't chdir to 'here': not a directory\n")


@pytest.mark.parametrize("code,complaint", [("1/0", "ZeroDivisionError"), ("a b", "SyntaxError")])
def test_broken_file_shows_its_traceback(refused, directory, code, complaint):
    said, status = refused(file=f"workers = 2\n{code}\n")
    assert status == 1
    assert f"Failed to read config file: {directory}/gunicorn.conf.py" in said
    assert "gunicorn.conf.py" in said
    assert "line 2" in said
    assert complaint in said


@pytest.mark.parametrize(
    "name,value,meant",
    [
        ("wrokers", "3", "workers"),
        ("keep_alive", "3", "keepalive"),
        ("WORKERS", "3", "workers"),
        ("worker", "3", "workers"),
        ("thread", "3", "threads"),
        ("log_level", "'info'", "loglevel"),
        ("access_logfile", "'-'", "accesslog"),
        ("preload", "True", "preload_app"),
        ("limit_request_feild_size", "3", "limit_request_field_size"),
        ("max_request", "3", "max_requests"),
    ],
)
def test_misspelt_name(load, capsys, name, value, meant):
    load(file=f"\n{name} = {value}\n")
    assert capsys.readouterr().err == (
        f"Warning: gunicorn.conf.py, line 2: {name!r} is no setting and has no effect; "
        f"did you mean {meant!r}?\n"
    )


@pytest.mark.parametrize(
    "code",
    [
        "_workers = 3",
        "import os as workerz",
        "def wrokers(): pass",
        "class Workers: pass",
        "from multiprocessing import cpu_count as worker",
        "WORKERS = 3\nworkers = WORKERS",
        "cores = 4\nname = 'x'\nenv = {}\nhost = 'h'\nport = 1\ndebug = True\nbase_dir = '/'",
        "num_workers = 3\nworkers_per_core = 1\nhere = 1\ni = 2\npid = 3\nlog_dir = '/'",
    ],
)
def test_users_own_names(load, capsys, code):
    load(file=code)
    assert capsys.readouterr().err == ""


def test_unknown_option_is_told_its_neighbour(refused):
    said, code = refused("--wrokers=3")
    assert code == 2
    assert "unrecognized arguments: --wrokers=3 (did you mean --workers?)" in said
    said, _ = refused("--nope")
    assert said.endswith("unrecognized arguments: --nope\n"), "nothing is like it"


def test_abbreviations_and_old_spellings(load):
    cfg = load(
        "-w=2",
        "--keep=9",
        "--log-file=e.log",
        "--access-logformat=%(h)s",
        "--limit-request-field_size=10",
        "--pid=x.pid",
    )
    assert (cfg.workers, cfg.keepalive, cfg.errorlog) == (2, 9, "e.log")
    assert (cfg.access_log_format, cfg.limit_request_field_size) == ("%(h)s", 10)
    assert cfg.pidfile == "x.pid"


def test_ambiguous_abbreviation(refused):
    said, code = refused("--worker=2")
    assert code == 2
    assert "ambiguous option: --worker" in said


@pytest.mark.parametrize(
    "arguments,mode",
    [
        (["--proxy-protocol"], "auto"),
        (["--proxy-protocol", "v2"], "v2"),
        (["--proxy-protocol=v1"], "v1"),
        (["--proxy-protocol", "--workers", "3"], "auto"),
        (["--proxy-protocol", "off"], "off"),
    ],
)
def test_the_mode_of_proxy_protocol_may_be_left_out(load, arguments, mode):
    """The application's name, which `load` puts last, is not taken for the mode."""
    assert load(*arguments).proxy_protocol == mode


def test_no_mode_of_proxy_protocol(refused):
    said, code = refused("--proxy-protocol=v3")
    assert code == 1
    assert "proxy_protocol must be: off, v1, v2, or auto" in said


@pytest.mark.parametrize(
    "variables,name,value",
    [
        ({"WEB_CONCURRENCY": "3"}, "workers", 3),
        ({"WEB_CONCURRENCY": "08"}, "workers", 8),
        ({"WEB_CONCURRENCY": ""}, "workers", 1),
        ({"PORT": "5000"}, "bind", ["0.0.0.0:5000"]),
        ({"PORT": ""}, "bind", ["127.0.0.1:8000"]),
        ({"FORWARDED_ALLOW_IPS": "*"}, "forwarded_allow_ips", ["*"]),
        ({"FORWARDED_ALLOW_IPS": ""}, "forwarded_allow_ips", []),
        ({"SENDFILE": "no"}, "sendfile", False),
        ({"SENDFILE": "Yes"}, "sendfile", True),
        ({}, "sendfile", True),
    ],
)
def test_variables_of_platforms(load, variables, name, value):
    cfg = load(env=variables)
    assert getattr(cfg, name) == value
    assert not cfg.was_set(name)


@pytest.mark.parametrize(
    "variable,value,name",
    [("WEB_CONCURRENCY", "many", "workers"), ("FORWARDED_ALLOW_IPS", "x", "forwarded_allow_ips")],
)
def test_bad_variables_of_platforms(refused, variable, value, name):
    said, code = refused(env={variable: value})
    assert code == 1
    assert f"Invalid value for {name}: {value!r} (environment variable {variable}): " in said


def test_runtime_directory_of_the_control_socket(load, directory):
    cfg = load(env={"XDG_RUNTIME_DIR": str(directory)})
    assert cfg.control_socket == f"{directory}/gunicorn.ctl"


@pytest.mark.parametrize("value,sendfile", [("True", True), ("False", False), ("None", True)])
def test_sendfile_in_file(load, value, sendfile):
    assert load(file=f"sendfile = {value}").sendfile is sendfile


def test_wsgi_app(directory, monkeypatch, capsys):
    from gunicorn.app.wsgiapp import WSGIApplication

    monkeypatch.setattr(sys, "argv", ["gunicorn"])
    with pytest.raises(SystemExit) as exit:
        WSGIApplication()
    assert exit.value.code == 1
    assert capsys.readouterr().err == "\nError: No application module specified.\n"
    (directory / "gunicorn.conf.py").write_text("wsgi_app = 'app:app'")
    assert WSGIApplication().app_uri == "app:app"


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["--protocol", "gopher"], "'gopher' is unknown"),
    ],
)
def test_what_cannot_be_served_is_an_error(refused, arguments, said):
    text, code = refused(*arguments)
    assert code == 1
    assert text.count("\n") == 2
    assert said in text


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["--http2-cleartext", "prior-knowledge"], "http2_cleartext: it needs h2 among "),
        (["--request-timeout", "30"], "request_timeout: after 30 s nothing is left to end, for "),
        (["--dirty-workers", "1"], "dirty_workers: none is started without dirty_apps"),
        (["--log-level", "verbose"], "loglevel 'verbose' is unknown"),
        (["--access-logformat", "%h %l"], "access_log_format '%h %l' has a mistake"),
        (["--access-logformat", "%(h)s 100%"], "access_log_format '%(h)s 100%' has a mistake"),
    ],
)
def test_what_will_be_missing_is_warned_of(load, capsys, arguments, said):
    load(*arguments)
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.startswith(f"Warning: {said}")


def test_nothing_is_said_of_what_nobody_asked_for(load, capsys):
    load()
    load("--request-timeout", "29.5")
    load("--request-timeout", "30", "-k", "gthread")
    load("--request-timeout", "30", "--timeout", "0")
    load("--access-logformat", "%({a}i)s %(D)d %(nosuch)s 100%% {h}")
    load("--access-logformat", "%h", "--logger-class", "gunicorn.glogging.Logger")
    assert capsys.readouterr() == ("", "")
