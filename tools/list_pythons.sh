#!/usr/bin/env bash
# Usage: list_pythons.sh [newest]
#
# Print "VERSION PATH" of each CPython of this machine that runs and is new enough, oldest first; with
# `newest` one of each minor version.
set -euo pipefail

candidates=()
root=${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}
IFS=:
for dir in $PATH; do
    candidates+=("$dir"/python3 "$dir"/python3.[0-9] "$dir"/python3.[0-9][0-9])
done
candidates+=("$root"/versions/*/bin/python3)
for candidate in "${candidates[@]}"; do
    [ -x "$candidate" ] || continue
    "$candidate" 2>/dev/null - <<'PYTHON' || true
import sys

version = sys.version_info
if version >= (3, 10) and sys.implementation.name == "cpython" and version.releaselevel == "final":
    print("%d.%02d.%02d" % version[:3], sys.executable)
PYTHON
done | sort -u -k1,1 | if [ "${1:-}" = newest ]; then
    sort -r | sort -u -t. -k1,2
else
    cat
fi
