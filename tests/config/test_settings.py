"""Every setting: its default, its flag, the file, the variable, and a value that is refused."""

from __future__ import annotations

import os

import pytest
from facts import ALL, COMPUTED, FACTS, HOOK

#: By kind: a value in the file, what is kept of it, and an expression that is refused.
FILE_VALUES = {
    "string": ("'  some text '", "some text", "12"),
    "bool": ("'True'", True, "'maybe'"),
    "int": ("7", 7, "-1"),
    "int_as_text": ("2", 2, "'much'"),
    "mode": ("0o22", 0o22, "'rwx'"),
    "file_mode": ("0o660", 0o660, "660"),
    "list_string": ("['a=b', ' c=d ']", ["a=b", "c=d"], "8000"),
    "dirty_apps": ("['a:B', ' c.d:E:2 ']", ["a:B", "c.d:E:2"], "['a', 'b:C:0']"),
    "list_of_files_or_patterns": ("['app.py', '*.py']", ["app.py", "*.py"], "['nosuch.txt']"),
    "dict": ("{'version': 1}", {"version": 1}, "'version'"),
    "class": ("'a.b.C'", "a.b.C", "12"),
    "hook1": ("lambda a: None", None, "lambda: None"),
    "hook2": ("lambda a, b: None", None, "lambda a: None"),
    "hook3": ("lambda a, b, c: None", None, "'nodots'"),
    "post_request": ("lambda a, b, c, d: None", None, "lambda a: None"),
    "string_to_addr_list": ("'10.0.0.0/8, ::1,*'", ["10.0.0.0/8", "::1", "*"], "'10.0.0.1/8'"),
    "string_to_list": ("'A, B'", ["A", "B"], "['A', 'B']"),
    "chdir": ("'.'", "{directory}", "'nosuch'"),
    "user": ("'root'", 0, "'no such user'"),
    "group": ("'0'", 0, "'no such group'"),
    "asgi_loop": ("'UVLOOP'", "uvloop", "'gevent'"),
    "asgi_lifespan": ("'off'", "off", "'perhaps'"),
    "http_parser": ("'fast'", "fast", "'slow'"),
    "http_protocols": ("' H1 '", ["h1"], "'h3'"),
    "http2_cleartext": ("True", "prior-knowledge", "'yes'"),
    "http2_frame_size": ("16385", 16385, "16383"),
    "http2_stream_limit": ("1", 1, "0"),
    "count": ("'3'", 3, "0"),
    "seconds": ("2.5", 2.5, "'soon'"),
    "client_memory": ("'64 MiB'", 64 * 2**20, "256"),
    "size": ("'64 MiB'", 64 * 2**20, "'64X'"),
    "http2_window_size": ("2**31 - 1", 2**31 - 1, "2**31"),
    "header_map_behaviour": ("'Refuse'", "refuse", "'keep'"),
    "proxy_protocol": ("True", "auto", "'v3'"),
    "reload_engine": ("'poll'", "poll", "'magic'"),
    "ssl_version": ("5", 5, None),
    "statsd_address": ("'localhost'", ("localhost", 8125), "'host:port'"),
    "status_address": ("'localhost:9000'", ("localhost", 9000), "'localhost'"),
    "warmup": ("['/', 'https://a/b?c=%20']", ["/", "https://a/b?c=%20"], "['health']"),
}

#: By kind: the argument of the flag, and what is kept of it.
ARGUMENTS = {
    "string": ("some text", "some text"),
    "int": ("7", 7),
    "int_as_text": ("0x2", 2),
    "mode": ("0022", 0o22),
    "file_mode": ("0660", 0o660),
    "list_string": ("a=b", ["a=b"]),
    "dirty_apps": ("a:B:1", ["a:B:1"]),
    "warmup": ("/health", ["/health"]),
    "list_of_files_or_patterns": ("app.py", ["app.py"]),
    "class": ("a.b.C", "a.b.C"),
    "string_to_addr_list": ("10.0.0.0/8", ["10.0.0.0/8"]),
    "string_to_list": ("A,B", ["A", "B"]),
    "chdir": (".", "{directory}"),
    "user": ("0", 0),
    "group": ("0", 0),
    "asgi_loop": ("asyncio", "asyncio"),
    "asgi_lifespan": ("on", "on"),
    "http_parser": ("python", "python"),
    "http_protocols": ("h1", ["h1"]),
    "http2_cleartext": ("both", "both"),
    "http2_frame_size": ("20000", 20000),
    "http2_stream_limit": ("5", 5),
    "count": ("2", 2),
    "seconds": ("1.5", 1.5),
    "client_memory": ("8M", 8 << 20),
    "size": ("2G", 2 * 2**30),
    "http2_window_size": ("1000", 1000),
    "header_map_behaviour": ("dangerous", "dangerous"),
    "proxy_protocol": ("v2", "v2"),
    "reload_engine": ("inotify", "inotify"),
    "ssl_version": ("TLSv1", "TLSv1"),
    "statsd_address": ("unix:///run/s", "/run/s"),
    "status_address": ("unix:/run/s", "/run/s"),
}

#: Settings whose values are more than their kind says.
OWN_VALUES = {
    "config": ("other.py", "other.py"),
    "protocol": ("http", "http"),
    "paste": None,  # makes an application of another kind; see test_paste.py
}
FLAGGED = [fact for fact in ALL if fact[2] and OWN_VALUES.get(fact[0], "") is not None]

NAMES = [fact[0] for fact in ALL]


@pytest.fixture(autouse=True)
def every_feature(monkeypatch):
    """Values are what is tested here; whether their features exist is in test_sources.py."""
    from gunicorn import _features

    monkeypatch.setattr(_features, "check", lambda cfg: None)


def value_of(cfg, name):
    return cfg.settings[name].get()


def expected(value, directory):
    return str(directory) if value == "{directory}" else value


def arguments_of(name, kind, flag):
    """The arguments for a flag, and the value that follows."""
    if name == "sendfile":
        return [flag], False
    if kind == "bool":
        return [flag], True
    text, value = OWN_VALUES.get(name) or ARGUMENTS[kind]
    return [f"{flag}={text}" if flag.startswith("--") else f"{flag}{text}"], value


def test_there_are_as_many_settings():
    from gunicorn.config import Config

    assert sorted(Config().settings) == sorted(NAMES)
    assert len(FACTS) == 120


@pytest.mark.parametrize("name,section,flags,kind,default", ALL, ids=NAMES)
def test_default(directory, name, section, flags, kind, default):
    from gunicorn.config import Config

    setting = Config().settings[name]
    assert setting.section == section
    assert " ".join(setting.cli or ()) == flags
    assert setting.short
    if default is HOOK:
        assert setting.get().__name__ == name
    elif default is not COMPUTED:
        assert setting.get() == default
        assert type(setting.get()) is type(default)


def test_computed_defaults(directory):
    from gunicorn.config import Config

    cfg = Config()
    assert cfg.bind == ["127.0.0.1:8000"]
    assert cfg.workers == 1
    assert cfg.user == cfg.uid == os.geteuid()
    assert cfg.group == cfg.gid == os.getegid()
    assert cfg.chdir == str(directory)
    assert cfg.forwarded_allow_ips == ["127.0.0.1", "::1"]
    assert cfg.control_socket == os.path.expanduser("~/.gunicorn/gunicorn.ctl")


@pytest.mark.parametrize("name,section,flags,kind,default", FLAGGED, ids=[f[0] for f in FLAGGED])
def test_flag(load, directory, name, section, flags, kind, default):
    (directory / "other.py").write_text("")
    for flag in flags.split():
        arguments, value = arguments_of(name, kind, flag)
        assert value_of(load(*arguments), name) == expected(value, directory)


@pytest.mark.parametrize("name,section,flags,kind,default", FLAGGED, ids=[f[0] for f in FLAGGED])
def test_variable(load, directory, name, section, flags, kind, default):
    (directory / "other.py").write_text("")
    arguments, value = arguments_of(name, kind, flags.split()[-1])
    cfg = load(env={"GUNICORN_CMD_ARGS": " ".join(f"'{a}'" for a in arguments)})
    assert value_of(cfg, name) == expected(value, directory)


@pytest.mark.parametrize("name,section,flags,kind,default", ALL, ids=NAMES)
def test_file(load, directory, name, section, flags, kind, default):
    code, value, _bad = FILE_VALUES[kind]
    if name == "protocol":
        code, value = "'http'", "http"
    if name == "secure_scheme_headers":
        code, value = "{'X-Secure': 'yes'}", {"X-Secure": "yes"}
    cfg = load(file=f"# the settings\n{name} = {code}\n")
    if default is HOOK:
        assert value_of(cfg, name).__qualname__ == "<lambda>"
    else:
        assert value_of(cfg, name) == expected(value, directory)
    assert cfg.was_set(name)


@pytest.mark.parametrize(
    "name,section,flags,kind,default",
    [fact for fact in ALL if FILE_VALUES[fact[3]][2] is not None],
    ids=[fact[0] for fact in ALL if FILE_VALUES[fact[3]][2] is not None],
)
def test_bad_value_in_file(refused, name, section, flags, kind, default):
    bad = FILE_VALUES[kind][2]
    said, code = refused(file=f"# the settings\n\n{name} = {bad}\n")
    assert code == 1
    assert f"Error: Invalid value for {name}: " in said
    assert "(gunicorn.conf.py, line 3): " in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "name,flags,kind",
    [(f[0], f[2], f[3]) for f in FLAGGED if f[3] == "int"],
)
def test_bad_number_of_flag(refused, name, flags, kind):
    flag = flags.split()[-1]
    said, code = refused(f"{flag}=many")
    assert code == 2
    number = "int_or_auto" if name == "workers" else "int"
    assert f"error: argument {flags.replace(' ', '/')}: invalid {number} value: 'many'" in said
    said, code = refused(f"{flag}=-1")
    assert code == 1
    assert f"Invalid value for {name}: -1 ({flag}): Value must be positive" in said


@pytest.mark.parametrize("value", ["-1", "float('nan')", "float('inf')", "1e12", "True", "None"])
def test_seconds_are_bounded(refused, value):
    said, code = refused(file=f"send_timeout = {value}\n")
    assert code == 1
    assert "Error: Invalid value for send_timeout: " in said


@pytest.mark.parametrize("value", ["-1", "2**63", "'1.5G'", "'M'", "''", "'-1K'", "1.5"])
def test_sizes_are_bounded(refused, value):
    said, code = refused(file=f"max_rss = {value}\n")
    assert code == 1
    assert "Error: Invalid value for max_rss: " in said


def test_client_memory_is_enough_for_a_client(refused):
    said, code = refused(file="client_memory = '256'\n")
    assert code == 1
    assert "Error: Invalid value for client_memory: '256'" in said
    assert "must be 0 or at least 4M" in said


@pytest.mark.parametrize("value", ["2**63", "2**32", "2**31", "-1"])
@pytest.mark.parametrize("name", ["workers", "threads"])
def test_workers_and_threads_are_bounded(refused, name, value):
    said, code = refused(file=f"{name} = {value}\n")
    assert code == 1
    (line,) = said.strip().splitlines()
    assert f"Invalid value for {name}: {eval(value)} (gunicorn.conf.py, line 1): " in line


def test_workers_of_the_environment_are_bounded(refused):
    said, code = refused(env={"WEB_CONCURRENCY": str(2**63)})
    assert code == 1
    assert f"workers: {2**63} (environment variable WEB_CONCURRENCY)" in said
    assert "must be at most 2048" in said


def test_gunicorns_abbreviations_mean_what_they_mean_there(load):
    assert load("--che").check_config is True
    assert load("--header", "drop").header_map == "drop"
    assert load("--header-t", "7").header_timeout == 7


def test_bad_value_in_variable(refused):
    said, code = refused(env={"GUNICORN_CMD_ARGS": "--user nosuchuser"})
    assert code == 1
    assert "Invalid value for user: 'nosuchuser' (GUNICORN_CMD_ARGS --user): No such user" in said
    said, code = refused(env={"GUNICORN_CMD_ARGS": "--workers many"})
    assert code == 2
    assert "argument -w/--workers: invalid int_or_auto value: 'many' (in GUNICORN_CMD_ARGS)" in said
    said, code = refused(env={"GUNICORN_CMD_ARGS": "--name 'open"})
    assert code == 1
    assert "GUNICORN_CMD_ARGS: No closing quotation" in said


def test_settings_of_one_config_are_not_those_of_another():
    from gunicorn.config import Config

    one, two = Config(), Config()
    one.set("workers", 9)
    one.bind.append("x")
    one.secure_scheme_headers["X"] = "y"
    assert two.workers == 1
    assert two.bind == ["127.0.0.1:8000"]
    assert "X" not in two.secure_scheme_headers


def test_unknown_and_assigned_settings_are_errors():
    from gunicorn.config import Config

    cfg = Config()
    with pytest.raises(AttributeError, match="No configuration setting for: wrokers"):
        cfg.set("wrokers", 1)
    with pytest.raises(AttributeError, match="No configuration setting for: wrokers"):
        cfg.wrokers  # noqa: B018
    with pytest.raises(AttributeError, match="Invalid access!"):
        cfg.workers = 3
    with pytest.raises(TypeError, match="Invalid value for workers: 1.5: .*whole number"):
        cfg.set("workers", 1.5)
    with pytest.raises(ValueError, match="Invalid value for workers: 'x'"):
        cfg.set("workers", "x")


def test_setting_of_the_users_own(load, monkeypatch):
    from gunicorn import config

    monkeypatch.setattr(config, "KNOWN_SETTINGS", list(config.KNOWN_SETTINGS))

    class Colour(config.Setting):
        name = "colour"
        section = "Looks"
        cli = ["--colour"]
        validator = config.validate_string
        default = "red"
        desc = """The colour of everything.

        At length."""

    assert load().colour == "red"
    assert load("--colour", "blue").colour == "blue"
    assert load().settings["colour"].short == "The colour of everything."


def test_settings_are_classes(load, monkeypatch):
    """A subclass of a setting is the setting from then on, as in gunicorn."""
    from gunicorn import config

    assert issubclass(config.Bind, config.Setting)
    assert config.Bind in config.KNOWN_SETTINGS
    assert config.Bind.default == ["127.0.0.1:8000"]
    assert isinstance(load().settings["keyfile"], config.KeyFile)
    assert config.PreRequest.default is config.PreRequest().get()
    monkeypatch.setenv("WEB_CONCURRENCY", "7")
    assert (config.Workers.default, config.Workers().value) == (7, 7)
    monkeypatch.setattr(config, "KNOWN_SETTINGS", list(config.KNOWN_SETTINGS))

    class Timeout(config.Timeout):
        default = 5

    assert load().timeout == 5
    assert load("--timeout", "6").timeout == 6
