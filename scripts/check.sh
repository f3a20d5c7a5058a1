#!/usr/bin/env bash
# `make check`: everything that judges the code without running it. All of it is done even after a finding.
set -euo pipefail
cd "$(dirname "$0")/.."
BUILD_DIR=${CARGO_TARGET_DIR:-$PWD/target}
DENY_VERSION=0.20.2
ADVISORIES_SECONDS_MAX=60
# shellcheck source=scripts/phase.sh
. scripts/phase.sh
# shellcheck source=scripts/manifests.sh
. scripts/manifests.sh

# The guests' own target directory, so that their wasm builds never wait for the host's or replace them.
guest_cargo() { env "CARGO_TARGET_DIR=$BUILD_DIR/guests-check" cargo "$@"; }

format() {
    local manifest status=0
    cargo fmt --all --check -- --color never || status=1
    while read -r manifest; do
        cargo fmt --all --check --manifest-path "$manifest" -- --color never || status=1
    done < <(wasm_manifests; topmost_manifests tests/fuzz)
    return "$status"
}

clippy_guests() {
    local manifest status=0
    while read -r manifest; do
        guest_cargo clippy --workspace --target wasm32-wasip2 --manifest-path "$manifest" -- -D warnings || status=1
    done < <(wasm_manifests)
    return "$status"
}

# One call per package family, as for the build: one call for all would unify Cranelift into the daemon.
documentation() {
    local status=0
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace --exclude edgeplug-compiler || status=1
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps -p edgeplug-compiler || status=1
    return "$status"
}

# Generated and committed: it must be what wit/ makes.
bindings() {
    local status=0 generate
    cargo build -q -p edgeplug-compiler || return 1
    # shellcheck source=/dev/null
    . "$BUILD_DIR/toolchains/env"
    for generate in guests/*/generate.sh; do
        COMPILER=$BUILD_DIR/debug/edgeplug-compiler "$generate" --check || status=1
    done
    docs/plugins/interface.sh --check || status=1
    for copy in guests/*/wit; do
        diff -r wit "$copy" || status=1
    done
    return "$status"
}

deny_ready() { cargo deny --version >/dev/null 2>&1; }

install_deny() { deny_ready || cargo install --locked cargo-deny --version "$DENY_VERSION"; }

# The guests are held to the same rules; what only the host's set needs is naturally not met there.
deny() {
    local manifest status=0
    cargo deny --locked check --hide-inclusion-graph bans licenses sources || status=1
    while read -r manifest; do
        cargo deny --manifest-path "$manifest" --config deny.toml --target wasm32-wasip2 check --hide-inclusion-graph \
            -A unused-wrapper -A license-not-encountered -A license-exception-not-encountered bans licenses sources || status=1
    done < <(guest_manifests)
    return "$status"
}

fetch_advisories() { timeout "$ADVISORIES_SECONDS_MAX" cargo deny fetch db </dev/null >/dev/null 2>&1; }

phases_begin "$BUILD_DIR/check-logs"
phase "format" format || true
phase "clippy host" cargo clippy --workspace --exclude edgeplug-compiler --all-targets -- -D warnings || true
phase "clippy compiler" cargo clippy -p edgeplug-compiler --all-targets -- -D warnings || true
if [ "$(cat "$BUILD_DIR/guest-toolchain" 2>/dev/null)" = debian ]; then
    phases_skip "clippy guests" "it needs rustup's wasm32-wasip2, and this machine builds guests with Debian's compiler"
else
    phase "clippy guests" clippy_guests || true
fi
phase "guests' bindings" bindings || true
phase "documentation" documentation || true
if phase "cargo-deny" install_deny; then
    phase "bans licenses sources" deny || true
    if fetch_advisories; then
        phase "advisories" cargo deny --locked check --disable-fetch advisories || true
    else
        phases_skip "advisories" "the RustSec advisory database cannot be reached from here"
    fi
fi
phases_report
if phases_failed; then
    printf '\nnot clean: %s\n' "${PHASES_FAILED[*]}"
    exit 1
fi
printf '\nclean\n'
