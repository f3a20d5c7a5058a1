#!/usr/bin/env bash
# The SDKs' own tests and the examples' tests in languages other than Rust, natively, and each example's component against
# its transcript. Needs `make setup build`. Every part is run even after a failure; the status says whether all went well.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
BUILD_DIR=${CARGO_TARGET_DIR:-$PWD/target}
case $BUILD_DIR in /*) ;; *) BUILD_DIR=$PWD/$BUILD_DIR ;; esac
# shellcheck source=/dev/null
. "$BUILD_DIR/toolchains/env"
export PYTHONDONTWRITEBYTECODE=1
passed=0
failed=0

# part NAME COMMAND...: runs it and counts; its words are shown.
part() {
    local name=$1
    shift
    printf '\n-- %s\n' "$name"
    if "$@"; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        printf -- '-- %s: FAILED\n' "$name"
    fi
}

python_tests() (cd guests/python && PYTHONPATH=.:bindings python3 -m unittest -q tests/test_*.py)
go_tests() (cd guests/tinygo && go vet ./... && go test ./...)
javascript_tests() (cd guests/javascript && node --test tests/)

part "SDK for C" make --no-print-directory -C guests/c/tests OUT="$BUILD_DIR/sdk-tests/c"
part "SDK for Go" go_tests
part "SDK for Python" python_tests
part "SDK for JavaScript" javascript_tests
for makefile in examples/*/Makefile; do
    example=$(dirname "$makefile")
    part "$example" make --no-print-directory -C "$example" OUT="$BUILD_DIR/examples/$(basename "$example")" \
        EDGEPLUG="$BUILD_DIR/debug/edgeplug" test transcript
done
# In the words that `make test` adds up.
printf '\ntest result: %s. %d passed; %d failed;\n' "$([ "$failed" -eq 0 ] && echo ok || echo FAILED)" "$passed" "$failed"
[ "$failed" -eq 0 ]
