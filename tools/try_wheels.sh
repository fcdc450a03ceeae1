#!/bin/sh
# Build and try a wheel for each Python of this machine, and one from the sdist, in folders of
# their own below build/wheels.
set -eu
cd "$(dirname "$0")/.."

work=build/wheels
rm -rf dist

tools/list_pythons.sh | while read -r version python; do
    make wheel PYTHON="$python" VENV="$work/venv-$version" BUILD="$work/build-$version" </dev/null
    tag=$("$python" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
    "$python" tools/try_wheel.py dist/monoceros-*-"$tag"-*.whl
done

make sdist
rm -rf "$work/sdist"
"$(tools/find_python.sh)" -m pip wheel -q --no-deps -w "$work/sdist" dist/monoceros-*.tar.gz
"$(tools/find_python.sh)" tools/try_wheel.py "$work"/sdist/monoceros-*.whl
