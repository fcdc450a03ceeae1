#!/usr/bin/env python3
"""Write the wheel of a distribution "gunicorn" that has no files and requires monoceros.

Usage: make_shim.py VERSION FOLDER

Installers that are given it beside the wheel of monoceros take it for the requirement `gunicorn` of
other packages, and leave the original out.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

PACKAGING = Path(__file__).resolve().parent.parent / "packaging"


def record(files: dict[str, str], name: str) -> str:
    """Return the lines of RECORD: each file's name, digest and size."""
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
        lines.append(f"{path},sha256={digest.rstrip(b'=').decode()},{len(text.encode())}\n")
    return "".join(lines) + f"{name},,\n"


def main() -> int:
    version, folder = sys.argv[1], Path(sys.argv[2])
    info = f"gunicorn-{version}.dist-info"
    files = {
        f"{info}/METADATA": (PACKAGING / "METADATA.in").read_text().replace("@version@", version),
        f"{info}/WHEEL": (PACKAGING / "WHEEL").read_text(),
        f"{info}/entry_points.txt": (PACKAGING / "entry_points.txt").read_text(),
    }
    files[f"{info}/RECORD"] = record(files, f"{info}/RECORD")
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"gunicorn-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
