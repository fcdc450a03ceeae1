"""The command line is read without argparse where that changes nothing."""

from __future__ import annotations

import shlex

import pytest

from gunicorn import _cli
from gunicorn.config import Config

PLAIN = [
    "",
    "app:app",
    "-w 4 app:app",
    "app:app -w4 -b :80 --bind=[::1]:80",
    "--workers=4 --workers 5 -e A=1 -e B= --env= app",
    "--access-logfile - app",
    "-",
    "-D -R --no-sendfile --preload app other",
    "--umask 0022 --control-socket-mode=0o660",
    "-t 30 --name 'a b' --pythonpath '' app",
    "--limit-request-field_size 10 --paster x --log-file f",
    "--proxy-protocol=v1 app",
    "-c file:x.py -k gthread --threads 2 app:make('x')",
    "-b unix:/x.sock -p x.pid",
]

FOR_ARGPARSE = [
    "-w=4 app",
    "-DR app",
    "--worker-cl sync",
    "app -w 4 other",
    "-w -1 app",
    "-w x app",
    "-w",
    "--proxy-protocol app",
    "--preload=yes",
    "-- app",
    "-h",
    "--version",
    "--nosuch",
    "-x",
    "app -w 4 -",
]


@pytest.mark.parametrize("line", PLAIN)
def test_same_as_argparse(line):
    tokens = shlex.split(line)
    parser = Config(prog="gunicorn").parser()
    full = vars(parser.full().parse_args(tokens))
    assert vars(_cli.parse_plain(Config(), tokens)) == full
    assert vars(Config(prog="gunicorn").parser().parse_args(tokens)) == full


@pytest.mark.parametrize("line", FOR_ARGPARSE)
def test_left_to_argparse(line):
    with pytest.raises(_cli.NotPlain):
        _cli.parse_plain(Config(), shlex.split(line))


def test_parser_is_argparses_for_whoever_asks(capsys):
    parser = Config(prog="shop").parser()
    parser.add_argument("--colour")
    options = parser.parse_args(["--colour", "red", "-w", "3", "app"])
    assert (options.colour, options.workers, options.args) == ("red", 3, ["app"])
    parser.print_usage()
    assert capsys.readouterr().out.startswith("usage: shop ")


def test_argparse_is_not_imported(command, directory):
    (directory / "app.py").write_text("import sys\nassert 'argparse' not in sys.modules\napp = len")
    assert command("--print-config", "-w", "3", "app:app").returncode == 0
