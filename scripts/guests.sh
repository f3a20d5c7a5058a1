#!/bin/sh
# Builds every Rust guest (examples and test fixtures) and lays the components out as <target>/guests/<crate-name>.wasm.
# `guests.sh DIRECTORY COMPONENT` builds only the guest in that directory and lays it out there.
#
#   CARGO_TARGET_DIR            where the results go, default `target`
#   EDGEPLUG_GUEST_TARGET_DIR   where cargo builds guests, default <target>/guest-build
#   EDGEPLUG_GUEST_TOOLCHAIN    `rustup` or `debian`; default: what setup.sh found, else rustup's wasm32-wasip2 where it
#                               is installed, else Debian's
#
# Quick when nothing changed. Guests are built with the toolchain of whoever runs this; the fall-back builds std from
# Debian's sources (packages rustc-web cargo-web rust-web-src wasi-libc) with rustup's linker.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
build=${EDGEPLUG_GUEST_TARGET_DIR:-$target/guest-build}
guests=$target/guests
mkdir -p "$guests"

triple=wasm32-wasip2
sysroot=$(rustc --print sysroot)
toolchain=${EDGEPLUG_GUEST_TOOLCHAIN:-$(cat "$target/guest-toolchain" 2>/dev/null || true)}
if [ -z "$toolchain" ]; then
    if [ -d "$sysroot/lib/rustlib/$triple/lib" ]; then toolchain=rustup; else toolchain=debian; fi
fi

case $toolchain in
rustup)
    if [ ! -d "$sysroot/lib/rustlib/$triple/lib" ]; then
        echo "guests.sh: the target $triple is missing; run: rustup target add $triple" >&2
        exit 1
    fi
    build_guest() { cargo build --quiet --release --target $triple "$@"; }
    ;;
debian)
    host=$(rustc -vV | sed -n 's/^host: //p')
    linker=$sysroot/lib/rustlib/$host/bin/wasm-component-ld
    for needed in /usr/bin/rustc /usr/bin/cargo /usr/lib/wasm32-wasi/libc.a "$linker"; do
        if [ ! -e "$needed" ]; then
            echo "guests.sh: $needed is missing; run: rustup target add $triple" >&2
            echo "  or, without rustup's servers: apt-get install rustc-web cargo-web rust-web-src wasi-libc" >&2
            exit 1
        fi
    done
    # Another compiler must not mix with what rustup's left there.
    build=$build-debian
    build_guest() {
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
            CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS="-Lnative=/usr/lib/wasm32-wasi" \
            CARGO_TARGET_WASM32_WASIP2_LINKER="$linker" \
            /usr/bin/cargo build --quiet --release --target $triple -Zbuild-std=std,panic_abort "$@"
    }
    ;;
*)
    echo "guests.sh: EDGEPLUG_GUEST_TOOLCHAIN is '$toolchain'; it wants rustup or debian" >&2
    exit 1
    ;;
esac

# lay_out CRATE COMPONENT: copies only what changed, so that watchers and tests see no news where there is none.
lay_out() {
    built=$build/$triple/release/$(echo "$1" | tr - _).wasm
    cmp -s "$built" "$2" || { cp "$built" "$2.part" && mv "$2.part" "$2"; }
}

if [ $# -eq 2 ]; then
    build_guest --manifest-path "$1/Cargo.toml" --target-dir "$build"
    lay_out "$(sed -n 's/^name = "\(.*\)"/\1/p' "$1/Cargo.toml" | head -n 1)" "$2"
    exit
fi

for manifest in examples/*/Cargo.toml; do
    [ -e "$manifest" ] || continue
    name=$(basename "$(dirname "$manifest")")
    build_guest --manifest-path "$manifest" --target-dir "$build"
    lay_out "$name" "$guests/$name.wasm"
done

# The same plugin with other content, to be dropped over the first. It shares the first one's build directory, so the
# first is built again after it.
first=$build/$triple/release/system_sensors_rust.wasm
second=$guests/system-sensors-rust-v2.wasm
if [ ! -e "$second" ] || [ "$first" -nt "$second" ]; then
    PLUGIN_BUILD=2 build_guest --manifest-path examples/system-sensors-rust/Cargo.toml --target-dir "$build"
    cp "$first" "$second.part"
    build_guest --manifest-path examples/system-sensors-rust/Cargo.toml --target-dir "$build"
    touch "$second.part"
    mv "$second.part" "$second"
fi

build_guest --manifest-path tests/fixtures/Cargo.toml --target-dir "$build"
for manifest in tests/fixtures/*/Cargo.toml; do
    name=$(basename "$(dirname "$manifest")")
    lay_out "$name" "$guests/$name.wasm"
done
