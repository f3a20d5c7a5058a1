#!/usr/bin/env bash
# `make first-plugin`: the tutorial, timed, in every language (or those in LANGUAGES), against a running device and its
# simulated cloud. One JSON object a language.
set -euo pipefail
cd "$(dirname "$0")/.."
BUILD_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# shellcheck source=/dev/null
. "$BUILD_DIR/toolchains/env"
read -r -a languages <<<"${LANGUAGES:-}"
exec "$BUILD_DIR/debug/edgeplug-first-plugin" "${languages[@]}"
