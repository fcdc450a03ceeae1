#!/bin/sh
# Print the newest clang that can link a libFuzzer target.
set -eu

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/target.c" <<'C'
#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return (void)data, (void)size, 0; }
C

for name in clang clang-21 clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do
    if command -v "$name" >/dev/null &&
        "$name" -fsanitize=fuzzer,address -o "$scratch/target" "$scratch/target.c" 2>/dev/null; then
        echo "$name"
        exit 0
    fi
done
exit 1
