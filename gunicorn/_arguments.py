"""The command line's parser in full: argparse, with nearest matches for unknown options."""

import argparse
import sys
from itertools import pairwise

from gunicorn._output import piped
from gunicorn._settings import OURS


class Parser(argparse.ArgumentParser):
    """Exits with status 2 and a usage line at a mistake, like any argparse parser.

    `origin` is added to the message: the variable that the arguments came from.
    """

    origin = ""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.newcomers = set()  # names of settings that gunicorn does not have
        self.valueless = {}  # flags whose value may be left out, with their settings

    def parse_known_args(self, args=None, namespace=None):
        return super().parse_known_args(self._with_constants(args), namespace)

    def _with_constants(self, args):
        """Leave the next argument alone where it is no value of the option before it.

        It is the application's name then, as in `--proxy-protocol app:app`.
        """
        args = list(sys.argv[1:] if args is None else args)
        for at, (flag, after) in enumerate(pairwise(args)):
            setting = self.valueless.get(flag)
            if setting and not after.startswith("-") and not _accepts(setting, after):
                args[at] = f"{flag}={setting.const}"
        return args

    def _get_option_tuples(self, option_string):
        """An abbreviation has the same meaning as in gunicorn."""
        found = super()._get_option_tuples(option_string)
        known = [match for match in found if match[0].dest not in self.newcomers]
        return known or found

    def error(self, message):
        unknown = "unrecognized arguments: "
        if message.startswith(unknown):
            message += self._hint(message[len(unknown) :].split())
        super().error(f"{message} (in {self.origin})" if self.origin else message)

    def _hint(self, arguments):
        from difflib import get_close_matches

        names = [name[2:] for name in self._option_string_actions if name.startswith("--")]
        hints = []
        for argument in arguments:
            if argument.startswith("--"):
                name = argument[2:].partition("=")[0].replace("_", "-")
                near = get_close_matches(name, names, 1)
                hints += [f"did you mean --{near[0]}?"] if near else []
        return f" ({' '.join(hints)})" if hints else ""


def _accepts(setting, text):
    try:
        setting.validator(text)
    except ValueError:
        return False
    return True


class Dump(argparse.Action):
    """`--dump PID`: prints, and exits with status 1 when there is nothing to print."""

    def __call__(self, parser, namespace, values, option_string=None):
        from gunicorn.master.dump import Unreachable, dump

        try:
            with piped():
                print(dump(values), end="")
        except Unreachable as exc:
            parser.exit(1, f"{parser.prog}: {option_string} {values}: {exc}\n")
        parser.exit()


def make_parser(cfg, version, origin):
    """Return the parser for the settings of `cfg`."""
    parser = Parser(
        usage=cfg.usage,
        prog=cfg.prog,
    )
    parser.origin = origin
    parser.add_argument(
        "-v",
        "--version",
        action="version",
        default=argparse.SUPPRESS,
        version=f"%(prog)s (version {version})\n",
        help="show program's version number and exit",
    )
    parser.add_argument(
        "--dump",
        action=Dump,
        type=int,
        metavar="PID",
        default=argparse.SUPPRESS,
        help="print the Python stacks of the workers of a running master, or of one worker, with "
        "the requests they serve, and exit",
    )
    parser.add_argument("args", nargs="*", help=argparse.SUPPRESS)
    groups = {}
    for setting in sorted(cfg.settings.values(), key=lambda s: s.order):
        if setting.cli:
            group = groups.get(setting.section)
            if group is None:
                group = groups[setting.section] = parser.add_argument_group(setting.section)
            setting.add_option(group)
            if setting.nargs == "?":
                parser.valueless.update(dict.fromkeys(setting.cli, setting))
            if setting.since == OURS:
                parser.newcomers.add(setting.name)
    return parser
