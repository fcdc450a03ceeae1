#!/bin/sh
# Usage: find_python.sh [VENV]
#
# Print the Python to build with: the one that VENV was made of, else python3 if it is new enough,
# else the newest python3.N.
set -eu

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

if [ -x "${1:+$1/bin/python}" ] && new_enough "$1/bin/python"; then
    "$1/bin/python" -c 'import sys; print(sys._base_executable)'
    exit 0
fi
for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    if command -v "$name" >/dev/null && new_enough "$name"; then
        echo "$name"
        exit 0
    fi
done
echo "no Python 3.10 or newer on the PATH; name one: make PYTHON=/path/to/python3" >&2
exit 1
