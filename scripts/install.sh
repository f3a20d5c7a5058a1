#!/usr/bin/env bash
# `make install` and `make uninstall`: the two programs, the units, an example configuration; nothing is enabled or started.
#
#   PREFIX=/usr/local   where programs and units go: PREFIX/bin, PREFIX/libexec/edgeplug, PREFIX/lib/systemd/system
#   SYSCONFDIR=/etc     where edgeplug/edgeplug.toml and edgeplug/plugins go; what is there is left alone
#   DESTDIR=            a root to install below, for packages; nothing outside it is touched then
#
# Programs are built by whoever calls; only the copying is done by sudo, and only where it must be.
set -euo pipefail
cd "$(dirname "$0")/.."
PREFIX=${PREFIX:-/usr/local}
SYSCONFDIR=${SYSCONFDIR:-/etc}
DESTDIR=${DESTDIR:-}
BUILD_DIR=${CARGO_TARGET_DIR:-$PWD/target}
BIN=$PREFIX/bin
LIBEXEC=$PREFIX/libexec/edgeplug
UNITS=$PREFIX/lib/systemd/system
# The last two let the installer of updates run as root; nothing of them runs until they are enabled (docs/ota.md).
UNIT_NAMES=(edgeplug.service edgeplug-install.service edgeplug-install.path)
CONFIG=$SYSCONFDIR/edgeplug/edgeplug.toml
PLUGINS=$SYSCONFDIR/edgeplug/plugins

say() { printf 'install: %s\n' "$*"; }
fail() {
    printf 'install: %s\n' "$@" >&2
    exit 1
}

# The nearest directory that exists tells who may write there.
as_owner() {
    local directory=$1
    shift
    while [ ! -e "$directory" ]; do directory=$(dirname "$directory"); done
    if [ -w "$directory" ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "$directory cannot be written and there is no sudo; run this as root, or choose PREFIX or DESTDIR"
    fi
}

# put MODE FROM TO, by rename: a running daemon keeps what it has.
put() {
    local to=$DESTDIR$3
    as_owner "$(dirname "$to")" install -D -m "$1" "$2" "$to.part"
    as_owner "$(dirname "$to")" mv -f "$to.part" "$to"
    say "$to"
}

systemd_runs_here() { [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; }

# unit NAME: what it says here.
unit() {
    sed -e "s,@bindir@,$BIN,g" -e "s,@sysconfdir@,$SYSCONFDIR,g" "host/edgeplug/packaging/$1"
}

install_all() {
    # Two calls on purpose: one for both would link Cranelift into the daemon.
    cargo build --release -p edgeplug-compiler
    cargo build --release -p edgeplug
    local scratch name
    scratch=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$scratch'" EXIT
    for name in "${UNIT_NAMES[@]}"; do unit "$name" >"$scratch/$name"; done
    if [ -z "$DESTDIR" ] && ! getent group tss >/dev/null; then
        sed -i '/^SupplementaryGroups=tss$/d' "$scratch/edgeplug.service"
        say "there is no group tss here, so the unit has no access to a TPM; install tpm-udev and run this again for that"
    fi
    put 755 "$BUILD_DIR/release/edgeplug-compiler" "$LIBEXEC/edgeplug-compiler"
    put 755 "$BUILD_DIR/release/edgeplug" "$BIN/edgeplug"
    for name in "${UNIT_NAMES[@]}"; do put 644 "$scratch/$name" "$UNITS/$name"; done
    as_owner "$DESTDIR$SYSCONFDIR" install -d -m 755 "$DESTDIR$PLUGINS"
    say "$DESTDIR$PLUGINS/"
    if [ -e "$DESTDIR$CONFIG" ]; then
        say "$DESTDIR$CONFIG is left as it is"
    else
        sed "s,@sysconfdir@,$SYSCONFDIR,g" host/edgeplug/packaging/edgeplug.toml >"$scratch/edgeplug.toml"
        put 644 "$scratch/edgeplug.toml" "$CONFIG"
    fi
    if systemd_runs_here; then
        as_owner /run/systemd/system systemctl daemon-reload
        say "now edit $CONFIG, then: sudo systemctl enable --now edgeplug"
    fi
}

uninstall_all() {
    local name file
    for name in edgeplug.service edgeplug-install.path; do
        if systemd_runs_here && [ -e "$UNITS/$name" ]; then
            as_owner /run/systemd/system systemctl disable --now "$name" || true
        fi
    done
    for file in "$BIN/edgeplug" "$LIBEXEC/edgeplug-compiler" "${UNIT_NAMES[@]/#/$UNITS/}"; do
        if [ -e "$DESTDIR$file" ]; then
            as_owner "$(dirname "$DESTDIR$file")" rm -f "$DESTDIR$file"
            say "removed $DESTDIR$file"
        fi
    done
    if [ -d "$DESTDIR$LIBEXEC" ]; then
        as_owner "$(dirname "$DESTDIR$LIBEXEC")" rmdir --ignore-fail-on-non-empty "$DESTDIR$LIBEXEC"
    fi
    if systemd_runs_here; then as_owner /run/systemd/system systemctl daemon-reload; fi
    say "configuration and plugins ($DESTDIR$SYSCONFDIR/edgeplug) and state (/var/lib/edgeplug) are left; remove them by hand"
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*) fail "say install or uninstall" ;;
esac
