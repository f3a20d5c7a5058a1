#!/usr/bin/env bash
# `make test`: set up, build, run every test there is, and say how long each phase took and how many tests ran.
# Everything is run even after a failure, except that nothing can be tested without setup and build.
# The last line is "N passed, N failed"; the status is 0 only if something ran and nothing failed.
set -euo pipefail
cd "$(dirname "$0")/.."
BUILD_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# shellcheck source=scripts/phase.sh
. scripts/phase.sh
# shellcheck source=scripts/manifests.sh
. scripts/manifests.sh

submake() { make --no-print-directory "$@"; }

# Adds up Cargo's "test result: ok. 5 passed; 1 failed; ..." lines of all logs.
count() {
    cat "$BUILD_DIR"/test-logs/*.log | sed -n "s/^test result: .* \([0-9]*\) $1;.*/\1/p" | { sum=0; while read -r n; do sum=$((sum + n)); done; echo "$sum"; }
}

verdict() {
    local passed failed
    passed=$(count passed)
    failed=$(count failed)
    phases_report
    if phases_failed && [ "$failed" -eq 0 ]; then
        # What could not be built or started has no line of Cargo's; it still counts.
        failed=${#PHASES_FAILED[@]}
        printf '\nCounted as failed, one each: %s\n' "${PHASES_FAILED[*]}"
    elif [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then
        printf '\nno test ran at all, which cannot be right\n'
        failed=1
    fi
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}

phases_begin "$BUILD_DIR/test-logs"
if phase "setup" submake setup &&
    phase "build compiler" submake build-compiler &&
    phase "build host" submake build-host &&
    phase "build guests" submake guests; then
    phase "test host" cargo test --workspace --exclude edgeplug-compiler --no-fail-fast || true
    phase "test compiler" cargo test -p edgeplug-compiler --no-fail-fast || true
    while read -r manifest; do
        phase "test ${manifest%/Cargo.toml}" env "CARGO_TARGET_DIR=$BUILD_DIR/guests-native" \
            cargo test --workspace --manifest-path "$manifest" --no-fail-fast || true
    done < <(guest_manifests)
    phase "test SDKs and examples" scripts/test-sdks.sh || true
    phase "test-guests" scripts/test-guests.sh || true
fi
verdict
