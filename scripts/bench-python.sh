#!/usr/bin/env bash
# Puts the Python SDKs that `make bench` compares with below the target directory, each into an environment of its own
# (they want different versions of the same MQTT client). Does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."

LITE=iotconnect-sdk-lite==1.3.0
AZURE=azure-iot-device==2.14.0
BUILD_DIR=${CARGO_TARGET_DIR:-target}

say() { printf 'bench: %s\n' "$*"; }
fail() {
    printf 'bench: %s\n' "$@" >&2
    exit 1
}

# Debian's python3 comes without the part of venv that brings pip.
venv() {
    python3 -m venv "$1" >/dev/null 2>&1 && return
    rm -rf "$1"
    local root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    say "installing python3-venv"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends python3-venv >/dev/null ||
        fail "python3-venv is missing; install it, then run again: apt-get install python3-venv"
    python3 -m venv "$1"
}

install() {
    local directory=$BUILD_DIR/bench-venv/$1 requirement=$2
    [ "$(cat "$directory/installed" 2>/dev/null)" != "$requirement" ] || return 0
    say "installing $requirement into $directory"
    rm -rf "$directory"
    venv "$directory"
    "$directory/bin/pip" -q --disable-pip-version-check install "$requirement" ||
        fail "pip could not install $requirement"
    printf '%s\n' "$requirement" >"$directory/installed"
}

command -v python3 >/dev/null || fail "python3 is missing; install it, then run again: apt-get install python3 python3-venv"
install lite "$LITE"
install azure "$AZURE"
