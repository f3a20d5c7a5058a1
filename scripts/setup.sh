#!/usr/bin/env bash
# Brings a Debian 12 machine with Rust to the point where everything here builds and every test finds its peers.
# Looks before it installs: with all in place it only looks, and takes well under a second.
#
#   EDGEPLUG_GUEST_TOOLCHAIN=rustup|debian   choose the compiler for Rust guests instead of "rustup, else Debian"
#   EDGEPLUG_GUEST_LANGUAGES="c tinygo"      guests' languages beside Rust; see scripts/guest-toolchains.sh
#
# It never installs Rust itself, never removes a package and never touches a service.
set -euo pipefail
cd "$(dirname "$0")/.."

RUST_MIN=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)
GUEST_TARGET=wasm32-wasip2
RUSTUP_SECONDS_MAX=300
APT_LOCK_SECONDS_MAX=300
# Debian's own compiler, the only one there that has its sources to build a wasm32 std from: a second route to the same guests.
DEBIAN_GUEST_PACKAGES=(rustc-web cargo-web rust-web-src wasi-libc lld-22)
BUILD_DIR=${CARGO_TARGET_DIR:-target}
# Where rustup puts cargo, and where Debian puts daemons such as mosquitto; neither is on every user's PATH.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin:/usr/sbin:/sbin

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# What must be there, and the Debian package that brings it.
missing_packages() {
    has cc || echo build-essential
    has make || echo build-essential
    has pkg-config || echo pkg-config
    # Cargo and rustup verify the hosts they download from.
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -n "${SSL_CERT_FILE:-}" ] || echo ca-certificates
    # The daemon links the TPM software stack.
    { has pkg-config && pkg-config --exists tss2-sys tss2-esys tss2-mu tss2-tctildr; } || echo libtss2-dev
    # Peers of the tests and the demo: a software TPM, the tool that checks our challenge blobs, a broker.
    has swtpm || echo swtpm
    has swtpm_setup || echo swtpm-tools
    has tpm2 || echo tpm2-tools
    has mosquitto || echo mosquitto
    # Tests of a wrong clock: the library has no program to look for and lies in a directory of the architecture.
    compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || echo libfaketime
    scripts/guest-toolchains.sh --packages
}

apt_install() {
    local packages=("$@")
    has apt-get || fail "no apt-get here: this is not a Debian system; install what these Debian packages hold, then run again:" "  ${packages[*]}"
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        has sudo || fail "packages are missing, and neither root nor sudo is at hand; as root, run:" \
            "  apt-get update && apt-get install -y --no-install-recommends ${packages[*]}"
        root=(sudo)
    fi
    mkdir -p "$BUILD_DIR"
    local log=$BUILD_DIR/setup-apt.log
    local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o "DPkg::Lock::Timeout=$APT_LOCK_SECONDS_MAX")
    say "installing ${packages[*]} (apt's own words: $log)"
    {
        # Package lists may be absent (containers) or older than the mirror: only then is an update worth its time.
        { known_to_apt "${packages[@]}" && "${apt[@]}" install -y --no-install-recommends "${packages[@]}"; } ||
            { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${packages[@]}"; }
    } </dev/null >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        fail "apt-get could not install: ${packages[*]}"
    }
}

known_to_apt() {
    apt-cache show --no-all-versions "$@" >/dev/null 2>&1
}

rust() {
    { has cargo && has rustc; } || fail "Rust is missing; install it with rustup (https://rustup.rs), then run again:" \
        "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile default"
    local found
    found=$(rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/')
    if [ "$(printf '%s\n%s\n' "$RUST_MIN" "$found" | sort -V | head -n 1)" != "$RUST_MIN" ]; then
        fail "rustc $found is too old, $RUST_MIN or newer is needed; run: rustup update stable"
    fi
}

rustup_target_ready() {
    [ -d "$(rustc --print target-libdir --target "$GUEST_TARGET" 2>/dev/null)" ]
}

debian_guests_ready() {
    local package status
    for package in "${DEBIAN_GUEST_PACKAGES[@]}"; do
        status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) && [ "$status" = "ii " ] || return 1
    done
}

add_rustup_target() {
    has rustup || { say "rustup is not here, so it cannot add $GUEST_TARGET"; return 1; }
    say "adding the Rust target $GUEST_TARGET (at most $RUSTUP_SECONDS_MAX s)"
    timeout "$RUSTUP_SECONDS_MAX" rustup target add "$GUEST_TARGET" </dev/null && rustup_target_ready
}

use_debian_guests() {
    debian_guests_ready || apt_install "${DEBIAN_GUEST_PACKAGES[@]}"
    guests=debian
}

# Rust guests are built as their authors build them, with rustup's std; where its host cannot be reached Debian's
# compiler builds the same sources for the same target. scripts/guests.sh reads the answer.
guest_toolchain() {
    case "${EDGEPLUG_GUEST_TOOLCHAIN:-}" in
    debian) use_debian_guests ;;
    rustup) rustup_target_ready || add_rustup_target || fail "could not add $GUEST_TARGET; run: rustup target add $GUEST_TARGET" ;;
    "")
        if ! rustup_target_ready && { debian_guests_ready || ! add_rustup_target; }; then
            say "no $GUEST_TARGET from rustup: Rust guests are built with Debian's compiler (${DEBIAN_GUEST_PACKAGES[*]})"
            use_debian_guests
        fi
        ;;
    *) fail "EDGEPLUG_GUEST_TOOLCHAIN is \"$EDGEPLUG_GUEST_TOOLCHAIN\"; it can be rustup or debian" ;;
    esac
    mkdir -p "$BUILD_DIR"
    printf '%s\n' "$guests" >"$BUILD_DIR/guest-toolchain"
}

mapfile -t packages < <(missing_packages | sort -u)
[ ${#packages[@]} -eq 0 ] || apt_install "${packages[@]}"
mapfile -t packages < <(missing_packages | sort -u)
[ ${#packages[@]} -eq 0 ] || fail "still missing after installation: ${packages[*]}"
rust
guests=rustup
guest_toolchain
scripts/guest-toolchains.sh
