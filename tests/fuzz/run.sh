#!/usr/bin/env bash
# Fuzz the engine: tests/fuzz/run.sh [SECONDS], both front ends, half of the time each.
# Needs clang with libFuzzer (Debian: clang, libclang-rt-14-dev), and harken on the path.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-600}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
harken export commands --target c --grammar robot --out "$work/engine" 2>/dev/null
for fixed in 0 1; do
    clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
        -DHARKEN_FIXED_POINT=$fixed -I"$work/engine/src" feed.c "$work"/engine/src/*.c -o "$work/fuzz"
    mkdir "$work/corpus$fixed"
    "$work/fuzz" -max_total_time=$((seconds / 2)) -max_len=20000 -print_final_stats=1 \
        "$work/corpus$fixed" seeds
done
