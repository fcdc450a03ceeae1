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

#: Settings that Config computes something from, declared by hand.
COMPUTED = {"logger_class", "proc_name", "sendfile", "worker_class"}

#: What stands before it in the stub is written by hand.
MARK = "    # From the table of settings, by tools/gen_settings.py: do not edit.\n"


def type_of(row):
    if row.kind.label.startswith("function of"):
        return "Callable[..., Any]"
    name = TYPES.get(row.kind.label, "str")
    return f"{name} | None" if row.default is None else name


def make_stub(stub, sections):
    """The stub with its properties as the table is now."""
    lines = [stub[: stub.index(MARK)] + MARK.rstrip()]
    for rows in sections.values():
        for row in rows:
            if row.name not in COMPUTED:
                lines += ["    @property", f"    def {row.name}(self) -> {type_of(row)}: ..."]
    return "\n".join(lines) + "\n"
