# Where the packages outside the host workspace are, to be sourced: found by looking, so that a new one is never forgotten.
# shellcheck shell=bash

# The topmost Cargo.toml of each tree: one below another belongs to its workspace.
topmost_manifests() {
    local manifest above=
    find "$@" -name target -prune -o -name Cargo.toml -print | sed 's,/Cargo.toml$,/,' | sort | while read -r manifest; do
        case $manifest in
        "${above:-//}"*) ;;
        *)
            above=$manifest
            printf '%sCargo.toml\n' "$manifest"
            ;;
        esac
    done
}

# Rust guests a user might copy: they have tests of their own, which run on the machine that builds them.
guest_manifests() { topmost_manifests guests examples; }

# Those and the guests of the test suite, which only exist as components.
wasm_manifests() {
    guest_manifests
    topmost_manifests tests/fixtures tests/guests/rust
}
