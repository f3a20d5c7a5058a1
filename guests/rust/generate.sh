#!/bin/sh
# Writes src/bindings/ anew from the WIT that is inside edgeplug-compiler; `--check` only says whether it is as it was.
#
#   COMPILER   the program, default `edgeplug-compiler` from PATH
#
# That the result is kept spares every plugin author the generator, which takes a minute to build.
set -eu

cd "$(dirname "$0")"
compiler=${COMPILER:-edgeplug-compiler}
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
"$compiler" bindings --lang rust --out "$made/bindings"

if [ "${1:-}" = --check ]; then
    diff -ru src/bindings "$made/bindings" || {
        echo "guests/rust/src/bindings is not what the WIT says; run guests/rust/generate.sh" >&2
        exit 1
    }
else
    rm -rf src/bindings
    mv "$made/bindings" src/bindings
fi
