"""`--print-config` and `--check-config`, beside gunicorn's own where there is one.

GUNICORN_REFERENCE is the path of a virtual environment with the original gunicorn. Without it, what
is printed is compared with the facts that these tests keep.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from facts import ALL, COMPUTED, HOOK, OWN
from helpers.command import COMMAND_TIMEOUT, command_environment
from helpers.server import gunicorn_command

REFERENCE = os.environ.get("GUNICORN_REFERENCE")

HOOKS = """
from multiprocessing import cpu_count

def when_ready(server):
    pass

class Hooks:
    @staticmethod
    def on_exit(server):
        pass

on_exit = Hooks.on_exit
post_fork = lambda server, worker: None
def worker_class():
    return "gthread"
logconfig_dict = {"loggers": {"x": {"level": "DEBUG"}}}
secure_scheme_headers = {"X-Forwarded-Ssl": "on"}
workers = 2 * 2 + 1
bind = ["127.0.0.1:8000", "unix:/tmp/x.sock"]
raw_env = "A=1"
proxy_protocol = False
sendfile = False
"""

CONFIGURATIONS = {
    "defaults": ([], {}, None),
    "flags": (["-w", "4", "-b", ":80", "-b", "[::1]:81", "-t", "0", "-D", "-R"], {}, None),
    "process": (["-u", "0", "-g", "0", "-m", "0022", "--initgroups", "-n", "shop"], {}, None),
    "umask": (["--umask", "0x12", "--control-socket-mode", "0o660"], {}, None),
    "paths": (["--chdir", "sub", "-p", "x.pid", "--pythonpath", "a,b", "--name", " x "], {}, None),
    "logging": (
        ["--access-logfile=-", "--log-level=DEBUG", "--capture-output", "--log-syslog",
         "--statsd-host=localhost", "--statsd-prefix=a.b", "--logger-class=simple"], {}, None,
    ),
    "statsd": (["--statsd-host=unix:///tmp/s"], {}, None),
    "statsd host": (["--statsd-host=unix:123"], {}, None),
    "proxies": (
        ["-k", "app.OwnWorker", "--forwarded-allow-ips=*", "--proxy-allow-from=10.0.0.0/8,::1",
         "--proxy-protocol=true", "--forwarder-headers=A, B", "--header-map=Refuse"], {}, None,
    ),
    "tls": (
        ["-k", "app.OwnWorker", "--certfile=c", "--keyfile=k", "--cert-reqs=2", "--ciphers=x",
         "--no-sendfile"], {}, None,
    ),
    "variables": (
        [],
        {"WEB_CONCURRENCY": "3", "PORT": "5000", "FORWARDED_ALLOW_IPS": "10.1.2.3",
         "SENDFILE": "0", "GUNICORN_CMD_ARGS": "--threads 3 --env 'A=b c' -e B=1"}, None,
    ),
    "file": (["--threads", "2"], {"GUNICORN_CMD_ARGS": "--threads 1"}, HOOKS),
    "runtime directory": ([], {"XDG_RUNTIME_DIR": "/tmp"}, None),
    "worker": (["-k", "gunicorn.workers.sync.SyncWorker", "--threads=4"], {}, None),
    "lists": (["--dirty-app=a:B", "--reload-extra-file=app.py", "--paste-global=a=b"], {}, None),
}  # fmt: skip


def reference(directory, arguments, env):
    environ = command_environment(directory, env)
    del environ["PYTHONPATH"]
    return subprocess.run(
        [str(Path(REFERENCE) / "bin" / "gunicorn"), *arguments],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT,
    )


def without_own(printed):
    """The lines of what is printed that gunicorn has, too."""
    own = {fact[0] for fact in OWN}
    return [line for line in printed.splitlines() if line.split()[0] not in own]


@pytest.mark.skipif(not REFERENCE, reason="GUNICORN_REFERENCE names no gunicorn to compare with")
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_like_gunicorn(directory, command, name):
    arguments, env, file = CONFIGURATIONS[name]
    (directory / "sub").mkdir()
    (directory / "sub" / "app.py").write_text((directory / "app.py").read_text())
    if file:
        (directory / "gunicorn.conf.py").write_text(file)
    arguments = ["--print-config", *arguments, "app:app"]
    ours, theirs = command(*arguments, env=env), reference(directory, arguments, env)
    assert without_own(ours.stdout) == theirs.stdout.splitlines()
    assert ours.returncode == theirs.returncode == 0, ours.stderr


def test_defaults_are_printed(command):
    result = command("--print-config", "app:app")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == len(ALL)
    width = max(len(fact[0]) for fact in ALL)
    for line, (name, _section, _flags, _kind, default) in zip(lines, sorted(ALL), strict=True):
        assert line.startswith(f"{name:{width}} = ")
        shown = line[width + 3 :]
        if default is HOOK:
            assert shown.endswith(f".{name}()>")
        elif name == "default_proc_name":
            assert shown == "app:app"
        elif name == "print_config":
            assert shown == "True"
        elif default is not COMPUTED:
            assert shown == str(default)


def test_what_is_no_text_is_printed(command):
    """Bytes of the command line that are no UTF-8."""
    strict = {"PYTHONIOENCODING": "utf-8:strict", "PYTHONUTF8": "1"}
    printed = command("--print-config", "-n", "caf\udce9", "app:app", env=strict).stdout
    assert " = caf\\udce9\n" in printed


def test_hooks_are_printed(directory, command):
    (directory / "gunicorn.conf.py").write_text(HOOKS)
    printed = command("--print-config", "app:app").stdout
    assert " = <when_ready()>\n" in printed
    assert " = <Hooks.on_exit()>\n" in printed
    assert " = <<lambda>()>\n" in printed
    assert "worker_class                       = gthread\n" in printed


def test_check_says_nothing_when_all_is_well(command):
    result = command("--check-config", "app:app")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["nosuch:app"], "Error: No module named 'nosuch': neither in '"),
        (["ap:make()"], "Did you mean 'app:make()'?"),
        (["json.nosuch:app"], "Error: No module named 'json.nosuch' in '"),
        (["app.nosuch:app"], "Error: No module named 'app.nosuch'; 'app' is not a package."),
        (["app.py:app"], "Error: Failed to find application, did you mean 'app:app'?"),
        (["./app:app"], "Error: Failed to find application, did you mean 'app:app'?"),
        (["app:nosuch"], "Error: Failed to find attribute 'nosuch' in 'app'."),
        (["app:ap"], "Failed to find attribute 'ap' in 'app'. Did you mean 'app:app'?"),
        (["app:nothing"], "Error: Failed to find application object: 'nothing'"),
        (["app:number"], "Error: Application object must be callable."),
        (["app:make()"], "Error: TypeError: make() missing 1 required positional"),
        (["app:make(x)"], "Error: Failed to parse arguments as literal values"),
        (["app:a.b"], "Error: Failed to parse 'a.b' as an attribute name or function"),
        (["app:a b"], "Error: Failed to parse 'a b' as an attribute name or function"),
        (["app:a.b()"], "Error: Function reference must be a simple name: 'a.b()'"),
        (["-k", "snyc", "app:app"], "class uri 'snyc' invalid or not found: did you mean 'sync'?"),
        (
            ["-k", "a.b.C", "app:app"],
            "Error: Invalid value for worker_class (--worker-class): class uri 'a.b.C' invalid or "
            "not found: No module named 'a'\n",
        ),
        (["-k", "./app.C", "app:app"], "class uri './app.C' invalid or not found: it begins with"),
        (["-k", "app.C", "app:app"], "class uri 'app.C' invalid or not found: app has no C"),
        (["-k", "egg:nosuch#x", "app:app"], "class uri 'egg:nosuch#x' invalid or not found"),
        (
            ["-k", "egg:pytest#x", "app:app"],
            "class uri 'egg:pytest#x' invalid or not found: Entry point ('gunicorn.workers', 'x') "
            "not found: pytest has none in that group\n",
        ),
        (
            ["-b", "localhost:http", "app:app"],
            "bind: 'localhost:http' (--bind): 'http' is not a valid port number.",
        ),
        (["-b", ":65536", "app:app"], "'65536' is not a valid port number."),
        (["-b", "fd://x", "app:app"], "bind: 'fd://x' (--bind): 'x' is not a valid file desc"),
        (["-b", "unix:", "app:app"], "bind: 'unix:' (--bind): a path must follow unix:"),
        (["app.app"], "'app.app' is no module, did you mean 'app:app'?"),
        (["-e", "A", "app:app"], "Error: environment setting 'A' invalid"),
        (["--log-config", "no.ini", "app:app"], "Error: log config 'no.ini' not found"),
        (["--log-config-json", "app.py", "app:app"], "log config 'app.py': "),
        (
            ["--logger-class", "no.Such", "app:app"],
            "Error: Invalid value for logger_class (--logger-class): class uri 'no.Such' invalid "
            "or not found: No module named 'no'\n",
        ),
        (["--log-syslog-to", "localhost", "app:app"], "invalid syslog address 'localhost'"),
        (["--log-syslog-facility", "beer", "app:app"], "unknown facility name 'beer'"),
        (["-c", "nosuch.py", "app:app"], "Error: 'nosuch.py' doesn't exist"),
        ([], "Error: No application module specified."),
    ],
)
def test_check_finds(command, arguments, said):
    result = command("--check-config", *arguments)
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "text,application,said",
    [
        ("", "app:broken()", "TypeError: from inside"),
        ("import nosuch", "inner:app", "ModuleNotFoundError: No module named 'nosuch'"),
        ("import inner.deeper", "inner:app", "No module named 'inner.deeper'"),
        ("from app import nosuch", "inner:app", "ImportError: cannot import name 'nosuch'"),
    ],
)
def test_errors_of_the_application_have_their_traceback(
    command, directory, text, application, said
):
    (directory / "inner.py").write_text(text)
    result = command("--check-config", application)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert said in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import nosuch", "ModuleNotFoundError: No module named 'nosuch'"),
    ],
)
def test_errors_of_a_worker_class_have_their_traceback(command, directory, text, said):
    (directory / "inner.py").write_text(text)
    for check in (["--check-config"], []):
        result = command(*check, "-k", "inner.Own", "app:app")
        assert result.returncode == 1
        assert "Invalid value for worker_class (--worker-class): class uri 'inner" in result.stderr
        assert "Traceback" in result.stderr
        assert said in result.stderr


def test_factories(command):
    assert command("--check-config", "app:make('hi', debug=True)").returncode == 0
    assert command("--check-config", "app:make(greeting='hi')").returncode == 0
    assert command("--check-config", "app").returncode == 0


def test_version(command):
    result = command("--version")
    assert (result.returncode, result.stdout) == (0, "gunicorn (version 27.0.1)\n")
    assert command("-v").stdout == result.stdout


def test_help_is_grouped(command):
    result = command("--help")
    assert result.returncode == 0
    assert "usage: gunicorn [OPTIONS] [APP_MODULE]" in result.stdout
    for section in {fact[1] for fact in ALL if fact[2]}:
        assert f"\n{section}:\n" in result.stdout
    for fact in ALL:
        for flag in fact[2].split():
            assert flag in result.stdout


def test_a_reader_that_leaves(directory):
    """As in `gunicorn --print-config app:app | head -3`."""
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w") as output:
        result = subprocess.run(
            [*gunicorn_command(), "--print-config", "app:app"], cwd=directory, stdout=output,
            stderr=subprocess.PIPE, text=True, timeout=COMMAND_TIMEOUT,
            env=command_environment(directory, {}),
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (141, "")
