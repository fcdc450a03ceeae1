#!/bin/sh
# Usage: run_fuzz.sh BUILD SECONDS PYTHON
#
# Run each fuzz target of a build for some seconds, one after the other, then those in Python.
# Seeds are in fuzz/corpus/NAME; what a run finds interesting is kept below BUILD, a crash is left
# there too.
set -eu

build=$1
seconds=$2
python=$3
found=0

for target in "$build"/fuzz/fuzz_*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    name=${target##*/fuzz_}
    corpus="$build/corpus/$name"
    mkdir -p "$corpus"
    seeds="fuzz/corpus/$name"
    [ -d "$seeds" ] || seeds=""
    echo "== $name, $seconds s"
    # shellcheck disable=SC2086
    "$target" -max_total_time="$seconds" -timeout=10 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$build/$name-" "$corpus" $seeds || found=1
done
for target in fuzz/fuzz_*.py; do
    name=${target##*/fuzz_}
    echo "== ${name%.py}, $seconds s"
    "$python" "$target" "$seconds" || found=1
done
exit "$found"
