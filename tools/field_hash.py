#!/usr/bin/env python3
"""Write src/proto/field_hash.h: a perfect hash of the names in src/proto/field.h.

Run it after changing FIELD_TABLE; a unit test fails while the two disagree.
"""

import random
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SLOTS_LOG2 = 8
TRIES = 2_000_000
MIX = 0x20202020


def key(name: str) -> int:
    """The four bytes and the length that field_slot() looks at, as it combines them."""
    size = len(name)
    picked = (name[0], name[size // 2], name[-2], name[-1])
    word = sum(ord(char) << (8 * place) for place, char in enumerate(picked)) | MIX
    return (word + (size << 3)) & 0xFFFFFFFF


def slot(name: str, multiplier: int) -> int:
    return ((key(name) * multiplier) & 0xFFFFFFFF) >> (32 - SLOTS_LOG2)


def find_multiplier(names: list[str]) -> int:
    numbers = random.Random(1)
    for _ in range(TRIES):
        multiplier = numbers.getrandbits(32) | 1
        if len({slot(name, multiplier) for name in names}) == len(names):
            return multiplier
    sys.exit("field_hash: no multiplier found; choose other bytes in key() and field_slot()")


def render(fields: list[tuple[str, str]]) -> str:
    names = [name for _, name in fields]
    multiplier = find_multiplier(names)
    table = {slot(name, multiplier): identifier for identifier, name in fields}
    lines = [
        "#ifndef PROTO_FIELD_HASH_H",
        "#define PROTO_FIELD_HASH_H",
        "",
        "/* Written by tools/field_hash.py from FIELD_TABLE: not to be edited. */",
        "",
        f"#define FIELD_HASH_NAMES {len(names)}",
        f"#define FIELD_HASH_SHIFT {32 - SLOTS_LOG2}",
        f"#define FIELD_HASH_MULTIPLIER 0x{multiplier:08x}u",
        f"#define FIELD_NAME_MAX {max(map(len, names))}",
        "",
        "/* X(slot, identifier): the slots that are taken. */",
    ]
    rows = [f"    X({place}, {table[place]})" for place in sorted(table)]
    width = 98
    macro = ["#define FIELD_HASH_SLOTS(X)".ljust(width) + " \\"]
    macro += [row.ljust(width) + " \\" for row in rows[:-1]] + [rows[-1]]
    return "\n".join(lines + macro + ["", "#endif", ""])


def main() -> None:
    source = (ROOT / "src/proto/field.h").read_text()
    fields = re.findall(r'X\(([A-Z0-9_]+), "([a-z0-9-]+)"\)', source)
    (ROOT / "src/proto/field_hash.h").write_text(render(fields))


if __name__ == "__main__":
    main()
