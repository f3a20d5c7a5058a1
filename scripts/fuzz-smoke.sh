#!/usr/bin/env bash
# `make fuzz-smoke`: hostile bytes for everything that reads what the cloud says, FUZZ_S seconds (60) for each target.
# TARGETS="rules dv" chooses. The last line is one JSON object; the status is 0 only if nothing crashed or hung.
#
# libFuzzer comes with a crate and is built by the C++ compiler; the coverage it steers by is a pass of the stable compiler.
# Neither cargo-fuzz nor a nightly compiler is needed. No sanitizer: nothing of ours is unsafe, and it would halve the runs.
# Corpora start from the recorded vectors and are kept below the build directory; a crash leaves its input beside them.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
BUILD_DIR=${CARGO_TARGET_DIR:-$PWD/target}
case $BUILD_DIR in /*) ;; *) BUILD_DIR=$PWD/$BUILD_DIR ;; esac
FUZZ_S=${FUZZ_S:-60}
TARGETS=${TARGETS:-c2d sync identity rules dv}
VECTORS=(tests/conformance/vectors/*.jsonl)
# One input may take as long as this, with the machine busy otherwise; memory a run may take.
INPUT_SECONDS_MAX=10
RSS_MB_MAX=1024
# Bodies are longer, but what is wrong with a parser shows in less.
INPUT_BYTES_MAX=8192
FUZZ_DIR=$BUILD_DIR/fuzz
CORPORA=$FUZZ_DIR/corpora
LOGS=$FUZZ_DIR/logs
CRASHES=$FUZZ_DIR/crashes

command -v c++ >/dev/null || {
    echo "fuzz-smoke: the C++ compiler is missing; apt-get install build-essential" >&2
    exit 1
}

# The flags must not reach build scripts: with a target named, they only reach what runs on it.
host=$(rustc -vV | sed -n 's/^host: //p')
coverage=(-Cpasses=sancov-module -Ccodegen-units=1 --cfg fuzzing)
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=("-Cllvm-args=-sanitizer-coverage-$option")
done
cargo_fuzz() {
    local command=$1
    shift
    env "CARGO_TARGET_DIR=$FUZZ_DIR" cargo "$command" -q --locked --release --manifest-path tests/fuzz/Cargo.toml "$@"
}

mkdir -p "$LOGS" "$CRASHES"
cargo_fuzz run --bin seeds -- "$CORPORA" "${VECTORS[@]}"
bins=()
for target in $TARGETS; do bins+=(--bin "$target"); done
RUSTFLAGS="${coverage[*]}" cargo_fuzz build --target "$host" "${bins[@]}"

status=0
crashed=()
summary=
for target in $TARGETS; do
    mkdir -p "$CORPORA/$target"
    log=$LOGS/$target.log
    ended=0
    "$FUZZ_DIR/$host/release/$target" "$CORPORA/$target" \
        "-max_total_time=$FUZZ_S" "-timeout=$INPUT_SECONDS_MAX" "-rss_limit_mb=$RSS_MB_MAX" "-max_len=$INPUT_BYTES_MAX" \
        "-artifact_prefix=$CRASHES/$target-" -print_final_stats=1 >"$log" 2>&1 || ended=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    if [ "$ended" -ne 0 ]; then
        status=1
        crashed+=("$target")
        printf '%-9s FAILED; the end of %s:\n' "$target" "$log"
        tail -n 20 "$log" | sed 's/^/    /'
    else
        printf '%-9s %10d inputs, %5d edges\n' "$target" "${runs:-0}" "${covered:-0}"
    fi
    summary="$summary${summary:+,}\"$target\":${runs:-0}"
done
printf '{"seconds_each":%d,"inputs":{%s},"failed":%d}\n' "$FUZZ_S" "$summary" "${#crashed[@]}"
exit "$status"
