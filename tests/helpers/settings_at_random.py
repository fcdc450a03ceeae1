"""Values at random for every setting, in every way that they are given.

Each is accepted, or refused by an exception of the few documented types whose message names the
setting and the value. The checks take what hypothesis makes up; both the tests and `make fuzz` run
them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import types

from hypothesis import example, given
from hypothesis import strategies as st

from gunicorn import util
from gunicorn._cli import NotPlain, parse_plain
from gunicorn.config import Config
from gunicorn.errors import AppImportError, ConfigError

#: What a setting refuses a value with; ConfigError is the file's and the command line's.
REFUSALS = (TypeError, ValueError, ConfigError)

NAMES = sorted(Config(prog="gunicorn").settings)
FLAGS = sorted(flag for s in Config(prog="gunicorn").settings.values() for flag in s.cli or ())

#: Pieces that settings' values consist of, and such as are wrong in an interesting way.
WORDS = [
    "", " ", ",", ":", "::", "=", "-", "--", "*", "/", "/tmp", "~", ".", "..", "0", "1", "-1",
    "5", "80", "65535", "65536", "99999999999999999999", "0x10", "0o17", "0022", "1_000", "1e3",
    "1e999", "nan", "inf", "-inf", "0.5", "K", "1K", "2 GiB", "TB", "\u0665", "\xb2", "true",
    "False", "None", "127.0.0.1", "::1", "[::1]:80", "localhost", "192.168.0.0/16", "10.0.0.1/8",
    "unix:", "unix:/tmp/a", "unix://", "fd://", "fd://3", "fd://x", "tcp://", "http://", "egg:",
    "egg:a#b", "python:", "file:", "sync", "gthread", "asgi", "a.b", "a.b.C", ".a", "os.path",
    "os.path.join", "h1", "h2,h1", "v1", "auto", "on", "drop", "udp://", "%(h)s", "%", "(", "[",
    "]", "{", "'", '"', "\\", "\n", "\0", "\x7f", "\ud800", "\u20ac", "a" * 300,
]  # fmt: skip

#: Values of which most settings refuse most.
WRONG = [
    None, True, -1, 0, 10**30, 1.5, float("nan"), b"a", "", "\0", "\ud800", "\xb2", [], [None],
    [1], ["a", None], (), {}, {1: 2}, {"a": None}, object, len, os, ..., 1j,
]  # fmt: skip
texts = st.one_of(
    st.sampled_from(WORDS),
    st.lists(st.sampled_from(WORDS), max_size=4).map("".join),
    st.text(max_size=12),
)


def one(_a):
    """A hook of one parameter."""


def many(*_arguments):
    """A hook of any."""


scalars = st.one_of(
    texts,
    st.none(),
    st.booleans(),
    st.integers(-3, 70000),
    st.sampled_from([2**31, 2**32, 2**63, 2**64, 10**30, 0o777, 0o7777777]),
    st.floats(),
    st.binary(max_size=5),
    st.complex_numbers(),
    st.sampled_from([one, many, print, int, object, Config, len, ..., os, one.__doc__]),
)
values = st.one_of(
    scalars,
    texts,
    st.lists(scalars, max_size=3),
    st.tuples(scalars),
    st.dictionaries(st.one_of(texts, st.integers(), st.none()), scalars, max_size=2),
    st.frozensets(st.integers()),
)

quiet = contextlib.redirect_stderr


def make_config() -> Config:
    return Config(prog="gunicorn")


def refusal(action, *expected) -> Exception | None:
    """What an action refuses with; any other exception goes on."""
    with quiet(io.StringIO()):
        try:
            action()
        except expected as exc:
            assert str(exc), repr(exc)
            return exc
    return None


def check_names(exc: Exception, name: str, value) -> None:
    assert str(exc).startswith(f"Invalid value for {name}: {value!r} (here): "), str(exc)


def walks(name, value) -> bool:
    """Whether a pattern has all directories of the machine looked through."""
    return name == "reload_extra_files" and "**" in repr(value)


@given(st.sampled_from(NAMES), values)
def a_value(name, value):
    """A setting takes a value, or says which one it is that does not, and why."""
    if walks(name, value):
        return
    cfg = make_config()
    exc = refusal(lambda: cfg.set(name, value, "here"), *REFUSALS)
    if exc is not None:
        check_names(exc, name, value)
        return
    check_use(cfg, name)


def check_use(cfg, name) -> None:
    """What is made of the settings together is refused by a line that names the one."""
    exc = refusal(cfg.validate, ConfigError)
    assert exc is None or name in str(exc), str(exc)
    str(cfg)
    for derived in ("address", "env", "paste_global_conf"):
        exc = refusal(lambda derived=derived: getattr(cfg, derived), RuntimeError)
        ways = (name, *(cfg.settings[name].cli or ()))
        assert exc is None or any(way in str(exc) for way in ways), str(exc)
    for derived in ("worker_class_str", "uid", "gid", "proc_name", "sendfile", "is_ssl"):
        getattr(cfg, derived)
    cfg.forwarded_allow_networks()
    cfg.proxy_allow_networks()


tokens = st.one_of(
    st.sampled_from(FLAGS),
    texts,
    st.builds("{}={}".format, st.sampled_from(FLAGS), texts),
    st.builds("{}{}".format, st.sampled_from(FLAGS), texts),
)
command_lines = st.one_of(
    st.lists(tokens, max_size=4),
    st.builds(lambda flag, value: [flag, value], st.sampled_from(FLAGS), texts),
)


@given(command_lines)
@example(["--access-logfile=--"])
def a_command_line(arguments):
    """The two ways to read a command line agree; a wrong one ends with status 2 and a line."""
    if any(word.startswith(("--dump", "--dum", "--du")) for word in arguments):
        return  # looks for a process
    cfg = make_config()
    try:
        plain = vars(parse_plain(cfg, arguments))
    except NotPlain:
        plain = None
    said, error = io.StringIO(), io.StringIO()
    full = None
    with contextlib.redirect_stdout(said), quiet(error):
        try:
            full = vars(cfg.parser().full().parse_args(arguments))
        except SystemExit as exc:
            helped = exc.code == 0 and said.getvalue()
            assert helped or (exc.code == 2 and "gunicorn: error: " in error.getvalue())
    assert plain is None or _comparable(plain) == _comparable(full), (plain, full)
    for name, value in (full or {}).items():
        if value is not None and name != "args" and not walks(name, value):
            exc = refusal(lambda name=name, value=value: cfg.set(name, value, "here"), *REFUSALS)
            if exc is not None:
                check_names(exc, name, value)


def _comparable(options):
    """NaN is not itself."""
    return None if options is None else {k: repr(v) for k, v in options.items()}


@given(st.one_of(texts, command_lines.map(" ".join)))
@example('--bind "')
def a_variable(text):
    """GUNICORN_CMD_ARGS is split as a shell does, or its name is in the complaint."""
    cfg = make_config()
    cfg.env_orig = {"GUNICORN_CMD_ARGS": text}
    exc = refusal(cfg.get_cmd_args_from_env, ConfigError)
    assert exc is None or str(exc).startswith("GUNICORN_CMD_ARGS: "), str(exc)


@given(texts)
def an_address(text):
    """An address is read, or the complaint repeats it."""
    exc = refusal(lambda: util.parse_address(text), RuntimeError)
    if exc is None:
        address = util.parse_address(text)
        assert isinstance(address, (str, int)) or 0 <= address[1] <= 65535


def app(_environ, _start_response):
    """An application."""


def factory(*_args, **_kwargs):
    return app


TARGET = types.ModuleType("target_of_settings")
TARGET.__dict__.update(app=app, application=app, factory=factory, none=None, number=5)

calls = st.builds(
    "{}({})".format,
    st.sampled_from(["factory", "none", "number", "missing", "app", "factory.x", "factory()"]),
    st.one_of(
        texts,
        st.lists(values.map(repr), max_size=3).map(", ".join),
        st.sampled_from([
            "*[1]", "**{'a': 1}", "**{1: 2}", "a=1, a=2", "{[]: 1}", "{{}}", "-" * 50 + "1",
            "(" * 300, "[" * 90 + "]" * 90, "lambda: 1", "x", "1+1", "'a' 'b'", "f''",
            "__debug__", "1" * 5000,
        ]),
    ),
)  # fmt: skip
references = st.one_of(
    st.one_of(texts, calls).map("target_of_settings:{}".format),
    st.one_of(texts, calls),
    st.builds("{}:{}".format, texts, st.one_of(texts, calls)),
)


@given(references)
@example("target_of_settings:factory('x', debug=True)")
def an_application(text):
    """MODULE:NAME or MODULE:CALL(...) gives an application, or an error says why not."""
    if re.match(r"(this|antigravity|idlelib|__main__)\b", text):
        return  # importing these does something
    sys.modules["target_of_settings"] = TARGET
    exc = refusal(lambda: util.import_app(text), ImportError, AppImportError)
    if exc is None:
        with quiet(io.StringIO()):
            assert callable(util.import_app(text))


CHECKS = (a_value, a_command_line, a_variable, an_address, an_application)
