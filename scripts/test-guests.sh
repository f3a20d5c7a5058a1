#!/usr/bin/env bash
# `make test-guests`: builds the conformance guest of every language from source, as its author would, and plays the
# transcript on each. LANGUAGES chooses some of them. The last line is one JSON object; the status is 0 only if every
# language passed.
set -euo pipefail
cd "$(dirname "$0")/.."
BUILD_DIR=${CARGO_TARGET_DIR:-$PWD/target}
LANGUAGES=${LANGUAGES:-rust c tinygo go python javascript}
LOGS=$BUILD_DIR/test-guests-logs

case $BUILD_DIR in /*) ;; *) BUILD_DIR=$PWD/$BUILD_DIR ;; esac
# shellcheck source=/dev/null
. "$BUILD_DIR/toolchains/env"
mkdir -p "$LOGS"

guests=()
for language in $LANGUAGES; do
    out=$BUILD_DIR/guests/conformance/$language
    begun=$SECONDS
    if make --no-print-directory -C "tests/guests/$language" OUT="$out" EDGEPLUG="$BUILD_DIR/debug/edgeplug" \
        >"$LOGS/$language.log" 2>&1; then
        printf '%-11s built in %d s\n' "$language" "$((SECONDS - begun))"
    else
        printf '%-11s NOT BUILT; the end of %s:\n' "$language" "$LOGS/$language.log"
        tail -n 20 "$LOGS/$language.log" | sed 's/^/    /'
        rm -f "$out/conformance.wasm"
    fi
    guests+=("$language=$out/conformance.wasm")
done
"$BUILD_DIR/debug/edgeplug-guest-conformance" --compiler "$BUILD_DIR/debug/edgeplug-compiler" "${guests[@]}"
