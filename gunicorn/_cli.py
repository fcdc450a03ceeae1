"""The command line.

argparse decides about a command line, and takes a third of the time to start. So a command
line of whole options and plain values is read here, with the same result; anything else (help, an
abbreviation, a mistake, flags run together) goes to argparse.
"""

from types import SimpleNamespace


class NotPlain(Exception):
    """The command line needs argparse."""


class CommandLine:
    """The result of `Config.parser()`: an argparse parser that is made when it is needed.

    `origin` is added to error messages: the variable that the arguments come from.
    """

    def __init__(self, cfg, version):
        self._cfg = cfg
        self._version = version
        self._parser = None
        self.origin = ""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.full(), name)

    def full(self):
        """The argparse parser."""
        if self._parser is None:
            from gunicorn._arguments import make_parser

            self._parser = make_parser(self._cfg, self._version, self.origin)
        self._parser.origin = self.origin
        return self._parser

    def parse_args(self, args=None, namespace=None):
        if args is None:
            import sys

            args = sys.argv[1:]
        if namespace is None and self._parser is None:
            try:
                return parse_plain(self._cfg, args)
            except NotPlain:
                pass
        return self.full().parse_args(args, namespace)


def _options_by_flag(cfg):
    return {flag: s for s in cfg.settings.values() for flag in s.cli or ()}


def _split_flag(token, options):
    """Return a token's setting and its value, if that is in the same token."""
    if token in options:
        return options[token], None
    if token.startswith("--"):
        flag, equals, value = token.partition("=")
        if equals and flag in options:
            return options[flag], value
    elif token[:2] in options and token[2] != "=" and _takes_value(options[token[:2]]):
        return options[token[:2]], token[2:]
    raise NotPlain


def _takes_value(setting):
    return setting.action in (None, "store", "append")


def _convert(setting, text):
    if setting.type is None:
        return text
    try:
        return setting.type(text)
    except ValueError:
        raise NotPlain from None


def parse_plain(cfg, tokens):
    """Return argparse's result for `tokens`. Raises NotPlain if only argparse knows."""
    options = _options_by_flag(cfg)
    given = {setting.name: None for setting in cfg.settings.values() if setting.cli}
    positionals, ended = [], False
    tokens = iter(tokens)
    for token in tokens:
        if not token.startswith("-") or token == "-":
            if ended:
                raise NotPlain
            positionals.append(token)
            continue
        ended = bool(positionals)
        setting, value = _split_flag(token, options)
        name = setting.name
        if not _takes_value(setting):
            if value is not None or setting.action not in ("store_true", "store_const"):
                raise NotPlain
            given[name] = True if setting.action == "store_true" else setting.const
            continue
        if value is None:
            value = next(tokens, None)
            if value is None or setting.nargs is not None:
                raise NotPlain
            if value.startswith("-") and value != "-":  # a flag, or a negative number
                raise NotPlain
        if value == "--":  # nothing, to argparse before Python 3.13
            raise NotPlain
        value = _convert(setting, value)
        if setting.action == "append":
            given[name] = [*(given[name] or ()), value]
        else:
            given[name] = value
    return SimpleNamespace(args=positionals, **given)


def flag_source(cfg, name, variable=""):
    """Say that `name` was given on the command line, or in `variable`."""
    return f"{variable} {cfg.settings[name].cli[-1]}".strip()
