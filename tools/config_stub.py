"""The types of gunicorn.config: each setting of the table is a property of Config."""

#: What a setting of a kind gives; text for all other kinds.
TYPES = {
    "int": "int",
    "int, or text with a unit": "int",
    "number": "float",
    "bool": "bool",
    "0, 1, 2": "int",
    "name or number": "int",
    "dict": "dict[str, Any]",
    "list of strings": "list[str]",
    "list of paths and patterns": "list[str]",
    "names, separated by commas": "list[str]",
    "addresses and networks, separated by commas": "list[str]",
    "h1, h2, or both with a comma between": "list[str]",
    "HOST:PORT or unix://PATH": "tuple[str, int] | str",
}

#: Settings that Config computes something from, declared in HEAD.
COMPUTED = {"logger_class", "proc_name", "sendfile", "worker_class"}

HEAD = """\
# Written by tools/gen_settings.py: do not edit.
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Any, ClassVar

from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

KNOWN_SETTINGS: list[Any]

class Setting:
    name: ClassVar[Any]
    value: Any
    section: Any
    cli: Any
    validator: Any
    type: Any
    meta: Any
    action: Any
    default: Any
    default_text: Any
    short: Any
    desc: Any
    nargs: Any
    const: Any
    unit: str
    since: str
    order: int
    variable: Any
    source: Any
    def __init_subclass__(cls, **kwargs: Any) -> None: ...
    def __init__(self) -> None: ...
    def copy(self) -> Setting: ...
    def get(self) -> Any: ...
    def set(self, val: Any, source: object = None) -> None: ...
    def add_option(self, parser: Any) -> None: ...
    def __lt__(self, other: Setting) -> bool: ...

def make_settings(ignore: Any = None) -> dict[str, Setting]: ...
def get_default_config_file() -> str | None: ...
def __getattr__(name: str) -> Any: ...

class Config:
    settings: dict[str, Setting]
    usage: str | None
    prog: str
    env_orig: dict[str, str]
    def __init__(self, usage: str | None = None, prog: str | None = None) -> None: ...
    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: Any) -> None: ...
    def set(self, name: str, value: Any, source: object = None) -> None: ...
    def was_set(self, name: str) -> bool: ...
    def validate(self) -> None: ...
    def get_cmd_args_from_env(self) -> list[str]: ...
    def parser(self) -> Any: ...
    def load_worker_class(self) -> type[Worker]: ...
    def forwarded_allow_networks(self) -> list[IPv4Network | IPv6Network]: ...
    def proxy_allow_networks(self) -> list[IPv4Network | IPv6Network]: ...
    @property
    def worker_class_str(self) -> str: ...
    @property
    def worker_class(self) -> type[Worker]: ...
    @property
    def logger_class(self) -> type[Logger]: ...
    @property
    def address(self) -> list[Any]: ...
    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...
    @property
    def proc_name(self) -> str: ...
    @property
    def env(self) -> dict[str, str]: ...
    @property
    def paste_global_conf(self) -> dict[str, str] | None: ...
    @property
    def sendfile(self) -> bool: ...
    @property
    def is_ssl(self) -> Any: ...
    @property
    def ssl_options(self) -> dict[str, Any]: ...
"""


def type_of(row):
    if row.kind.label.startswith("function of"):
        return "Callable[..., Any]"
    name = TYPES.get(row.kind.label, "str")
    return f"{name} | None" if row.default is None else name


def make_stub(sections):
    lines = [HEAD.rstrip()]
    for rows in sections.values():
        for row in rows:
            if row.name not in COMPUTED:
                lines += ["    @property", f"    def {row.name}(self) -> {type_of(row)}: ..."]
    return "\n".join(lines) + "\n"
