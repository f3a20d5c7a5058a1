#!/usr/bin/env bash
# Writes bindings/ from wit/ with componentize-py (COMPONENTIZE_PY, or the one on PATH). With --check it only compares, and
# fails when what is committed is not what would be written.
set -euo pipefail
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${COMPONENTIZE_PY:-componentize-py}" -d wit -w plugin bindings "$scratch/bindings" >/dev/null
# What only an asynchronous world needs.
rm -rf "$scratch/bindings/componentize_py_async_support" "$scratch/bindings/poll_loop.py"
if [ "${1:-}" = --check ]; then
    diff -r -x __pycache__ bindings "$scratch/bindings" || {
        echo "guests/python/bindings is not what wit/ makes; run guests/python/generate.sh" >&2
        exit 1
    }
else
    rm -rf bindings
    mv "$scratch/bindings" bindings
fi
