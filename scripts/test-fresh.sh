#!/usr/bin/env bash
# Runs the README's two commands on a Debian 12 that holds nothing but git, make and Rust as rustup lays it: the proof
# that no install step is missing. The root is made by debootstrap and removed after success.
#
#   scripts/test-fresh.sh [COMMAND...]   other commands, each one a shell line, instead of the README's
#   FRESH_DIR=/var/tmp                   where the root is made; it takes about 12 GB
#   FRESH_MIRROR=URL                     a Debian mirror, when this machine's apt has none for bookworm
#   FRESH_KEEP=1                         keep the root after success too
#
# How to reach mirrors and registries comes from the calling machine: apt's sources, keys and Acquire settings, the
# variables of Cargo, rustup, pip, npm, Go and of proxies, ~/.cargo/config.toml, pip.conf, Go's settings, extra
# certificates. Tokens and passwords files (so ~/.npmrc too) stay behind, and so do downloaded crates and the guests'
# toolchains, so that the root must fetch them itself.
#
# All mounts live in a mount namespace and all processes in a process namespace of their own: both end with this script,
# however it ends, so nothing is ever mounted where the removal looks, and no daemon outlives its root.
set -euo pipefail

SUITE=bookworm
# Whose home the programs in the fresh root see.
ROOT_HOME=/root
ROOT_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# What says how registries are reached, and of that what holds for the calling machine alone.
REGISTRY_VARIABLES='^(CARGO|RUSTUP|PIP|NPM_CONFIG|npm_config|SSL_CERT|CURL_CA|GIT_SSL)_[A-Za-z0-9_]*='
REGISTRY_VARIABLES+='|^(https?|no|all|HTTPS?|NO|ALL)_(proxy|PROXY)='
REGISTRY_VARIABLES+='|^(CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS|CI|TERM)='
LOCAL_VARIABLES='^(CARGO_(HOME|TARGET_DIR|MANIFEST|PKG|BIN|CRATE|PRIMARY)|RUSTUP_(HOME|TOOLCHAIN))'
LOCAL_VARIABLES+='|TOKEN|PASSWORD|SECRET|_AUTH'
README_COMMANDS=("DEMO_S=${DEMO_S:-20} make demo" "make test")

say() { printf 'test-fresh: %s\n' "$*"; }
fail() {
    printf 'test-fresh: %s\n' "$@" >&2
    exit 1
}

# ---- outside: checks, the log, the namespaces, the removal ----

outside() {
    cd "$(dirname "$0")/.."
    [ "$(id -u)" -eq 0 ] || fail "this needs root (chroot and mounts); run: sudo -E make test-fresh"
    local tool
    for tool in debootstrap git setpriv unshare rustc rustup; do
        command -v "$tool" >/dev/null || fail "$tool is missing; on Debian: apt-get install debootstrap git util-linux, and rustup for Rust"
    done
    git rev-parse -q --verify HEAD >/dev/null || fail "nothing is committed yet, so there is nothing to clone"
    [ -z "$(git status --porcelain)" ] || say "the work tree differs from HEAD; what is tested is HEAD"

    local log=${CARGO_TARGET_DIR:-$PWD/target}/test-fresh.log root status=0
    mkdir -p "$(dirname "$log")" "${FRESH_DIR:-/var/tmp}"
    root=$(mktemp -d "${FRESH_DIR:-/var/tmp}/edgeplug-fresh.XXXXXX")
    chmod 755 "$root"
    say "root $root, log $log"
    # Should this script be killed, the kernel kills `unshare`, and with it all that runs in the root.
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private \
        "$BASH" scripts/test-fresh.sh --inside "$root" "$@" </dev/null 2>&1 | tee "$log" || status=$?

    if [ "$status" -ne 0 ]; then
        say "FAILED with status $status; the root is kept for a look: $root"
    elif [ -n "${FRESH_KEEP:-}" ]; then
        say "the root is kept: $root"
    else
        # Only this file system: a mount that somebody else made in there is left alone.
        rm -rf --one-file-system "$root"
    fi
    return "$status"
}

# ---- inside the namespaces: make the root, run the commands, sum up ----

inside() {
    local root=$1 home=$1$ROOT_HOME last=$1.last-output report=() command status=0 began
    shift
    timed "debootstrap $SUITE" bootstrap "$root" "$(mirror)"
    timed "packages and Rust" furnish "$root"
    git clone -q --no-hardlinks . "$home/edgeplug"
    say "HEAD is $(git log -1 --format='%h %s'); the root holds $(du -shx "$root" | cut -f 1)"
    for command in "$@"; do
        say "running: $command"
        began=$SECONDS
        in_root "$root" "cd $ROOT_HOME/edgeplug && $command" 2>&1 | tee "$last" || status=$?
        report+=("$(printf '%6d s  status %d  %s\n                    last line: %s' "$((SECONDS - began))" "$status" "$command" \
            "$(grep -v '^make' "$last" | tail -n 1)")")
        [ "$status" -eq 0 ] || break
    done
    rm -f "$last"
    printf '\nOn a bare Debian 12:\n'
    printf '%s\n' "${report[@]}"
    say "the root ends with $(du -shx "$root" | cut -f 1)"
    return "$status"
}

timed() {
    local name=$1 began=$SECONDS
    shift
    say "$name ..."
    "$@" || fail "$name failed"
    say "$name took $((SECONDS - began)) s"
}

# "URI SUITE COMPONENT" of each of this machine's Debian 12 package indexes.
sources() {
    if [ -n "${FRESH_MIRROR:-}" ]; then
        printf '%s %s main\n' "$FRESH_MIRROR" "$SUITE"
        return
    fi
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        awk -v suite="$SUITE" 'index($2, suite) == 1' | sort -u
}

mirror() {
    local uri
    uri=$(sources | awk -v suite="$SUITE" '$2 == suite { print $1; exit }')
    [ -n "$uri" ] || fail "this machine's apt has no source for $SUITE; name a mirror: FRESH_MIRROR=URL make test-fresh"
    printf '%s\n' "$uri"
}

bootstrap() {
    local root=$1 from=$2
    debootstrap --variant=minbase "$SUITE" "$root" "$from" >"$root.debootstrap.log" 2>&1 || {
        tail -n 20 "$root.debootstrap.log"
        return 1
    }
    rm "$root.debootstrap.log"
}

furnish() {
    local root=$1
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount --rbind /dev "$root/dev"
    mount --make-rslave "$root/dev"

    # Names and mirrors as this machine knows them.
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    { printf '127.0.0.1 localhost\n::1 localhost\n'; cat /etc/hosts; } >"$root/etc/hosts"
    sources | sed 's/^/deb /' >"$root/etc/apt/sources.list"
    find /etc/apt/trusted.gpg.d /etc/apt/keyrings -type f \( -name '*.gpg' -o -name '*.asc' \) -exec cp -t "$root/etc/apt/trusted.gpg.d" {} + 2>/dev/null || true
    apt-config dump | grep -E '^Acquire::(https?|Check-|Retries|ForceIPv|Languages)' >"$root/etc/apt/apt.conf.d/99caller" || true
    # There is no init in a chroot, so an installed service (mosquitto) must not be started.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"

    in_root "$root" "{ apt-get -q update && apt-get -q install -y --no-install-recommends git make ca-certificates; } >/root/apt.log 2>&1 ||
        { tail -n 20 /root/apt.log; exit 1; }" || return
    trust "$root" || return
    registries "$root" || return
    rust "$root"
}

# How pip and Go reach theirs; npm is told by variables.
registries() {
    local root=$1 home=$1$ROOT_HOME from name value
    for from in /etc/pip.conf "$HOME/.config/pip/pip.conf"; do
        # A line with a login in its address stays behind.
        if [ -e "$from" ]; then sed '/:\/\/[^/]*@/d' "$from" >>"$root/etc/pip.conf"; fi
    done
    if command -v go >/dev/null; then
        mkdir -p "$home/.config/go"
        for name in GOPROXY GOSUMDB GONOSUMDB GONOPROXY GOPRIVATE; do
            value=$(go env "$name")
            [ -z "$value" ] || printf '%s=%s\n' "$name" "$value"
        done >"$home/.config/go/env"
    fi
}

# Certificates that this machine trusts beyond Debian's own.
trust() {
    local root=$1 bundle=${SSL_CERT_FILE:-}
    find /usr/local/share/ca-certificates -type f -name '*.crt' -exec cp -t "$root/usr/local/share/ca-certificates" {} + 2>/dev/null || true
    in_root "$root" update-ca-certificates || return
    if [ -n "$bundle" ] && [ ! -e "$root$bundle" ]; then
        install -D -m 644 "$bundle" "$root$bundle"
    fi
}

# The calling machine's toolchain under its own name, without documentation, other targets and downloaded crates.
rust() {
    local root=$1 home=$1$ROOT_HOME sysroot name cargo_home=${CARGO_HOME:-$HOME/.cargo} proxy target
    sysroot=$(readlink -f "$(rustc --print sysroot)")
    name=$(basename "$sysroot")
    mkdir -p "$home/.rustup/toolchains/$name" "$home/.cargo/bin"
    tar -C "$sysroot" --exclude=./share -cf - . | tar -C "$home/.rustup/toolchains/$name" -xf -
    printf 'version = "12"\ndefault_toolchain = "%s"\nprofile = "minimal"\n\n[overrides]\n' "$name" >"$home/.rustup/settings.toml"
    cp -L "$cargo_home/bin/rustup" "$home/.cargo/bin/rustup"
    for proxy in cargo rustc rustdoc rustfmt cargo-fmt cargo-clippy clippy-driver; do
        ln -s rustup "$home/.cargo/bin/$proxy"
    done
    if [ -e "$cargo_home/config.toml" ]; then cp -L "$cargo_home/config.toml" "$home/.cargo/config.toml"; fi
    # Removed by rustup itself, so that its records agree that they are gone.
    for target in $(in_root "$root" "rustup target list --installed" | grep '^wasm32'); do
        in_root "$root" "rustup target remove $target" || return
    done
    in_root "$root" "rustup target list --installed; cargo --version; rustc --version"
}

# A login as one would have it, with only what says how registries are reached.
in_root() {
    local root=$1 command=$2 variables=()
    mapfile -t variables < <(env | grep -E "$REGISTRY_VARIABLES" | grep -viE "$LOCAL_VARIABLES")
    chroot "$root" /usr/bin/env -i "HOME=$ROOT_HOME" USER=root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        "PATH=$ROOT_HOME/.cargo/bin:$ROOT_PATH" "${variables[@]}" /bin/bash -c "$command" </dev/null
}

if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
elif [ $# -gt 0 ]; then
    outside "$@"
else
    outside "${README_COMMANDS[@]}"
fi
