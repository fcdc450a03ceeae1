"""Write docs/settings.md and the settings of gunicorn/config.pyi from the table of settings.

python tools/gen_settings.py [--check]
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"
STUB = ROOT / "gunicorn" / "config.pyi"
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from config_stub import make_stub  # noqa: E402
from settings_notes import INTRODUCTION, NOTES, SECTION_NOTES  # noqa: E402

from gunicorn._settings import OURS, SECTIONS, Computed  # noqa: E402


def default_of(row):
    """The default as the page shows it."""
    if isinstance(row.default, Computed):
        return row.default.text
    if callable(row.default):
        return "does nothing" if row.name not in ("pre_request", "ssl_context") else "see below"
    if row.default in ("", None):
        return "none" if row.default is None else "empty"
    if row.name in ("umask", "control_socket_mode", "status_mode"):
        return f"`{row.default:#o}`"
    return f"`{row.default}`"


def entry(row):
    """The part of the page about one setting."""
    facts = [f"flag: {', '.join(f'`{flag}`' for flag in row.cli)}" if row.cli else "no flag"]
    facts.append(f"type: {row.kind.label}")
    if row.unit:
        facts.append(f"unit: {row.unit}")
    facts.append(f"default: {default_of(row)}")
    if row.since == OURS:
        facts.append("gunicorn has none")
    elif row.since:
        facts.append(f"since gunicorn {row.since}")
    lines = [f"### {row.name}", "", row.help, "", *(f"- {fact}" for fact in facts), ""]
    if row.name in NOTES:
        lines += [NOTES[row.name].rstrip(), ""]
    return lines


def page():
    lines = ["# Settings", "", INTRODUCTION]
    for section, rows in SECTIONS.items():
        names = ", ".join(f"[{row.name}](#{row.name})" for row in rows)
        lines.append(f"- {section}: {names}")
    for section, rows in SECTIONS.items():
        lines += ["", f"## {section}", ""]
        if section in SECTION_NOTES:
            lines += [SECTION_NOTES[section].rstrip(), ""]
        for row in rows:
            lines += entry(row)
        lines.pop()
    return "\n".join(lines) + "\n"


def main():
    unknown = NOTES.keys() - {row.name for rows in SECTIONS.values() for row in rows}
    if unknown:
        sys.exit(f"notes on settings that do not exist: {', '.join(sorted(unknown))}")
    for path, text in ((PAGE, page()), (STUB, make_stub(STUB.read_text(), SECTIONS))):
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            name = path.relative_to(ROOT)
            sys.exit(f"{name} is not up to date: run python tools/gen_settings.py")


if __name__ == "__main__":
    main()
