#!/bin/sh
# Writes the second half of interface.md, below its marker, anew from wit/; `--check` only says whether it is as it was.
#
# Interfaces become sections: what the WIT says about one stands above it as text, the rest is the WIT itself. So the
# page says what the daemon is built from, and nothing else.
set -eu

cd "$(dirname "$0")"
page=interface.md
marker='<!-- Below: made from wit/ by interface.sh. Do not edit. -->'
wit=../../wit

section() {
    printf '\n## %s\n' "$1"
    awk '
        # Comments in the first column are about what follows.
        /^\/\/\/ ?/ { text = text substr($0, 5) "\n"; next }
        /^(interface|world) / {
            printf "\n### `%s`\n\n%s\n```wit\n", $2, text
            text = ""
            inside = 1
        }
        /^package / { printf "\n%s\n```wit\n%s\n```\n", text, $0; text = ""; next }
        inside { print }
        /^}/ { print "```"; inside = 0 }
    ' "$wit/$2"
}

made=$(mktemp)
trap 'rm -f "$made"' EXIT
grep -qxF "$marker" "$page" || { echo "$page has lost its marker: $marker" >&2; exit 1; }
{
    awk -v marker="$marker" '{ print } $0 == marker { exit }' "$page"
    section 'Values' types.wit
    section 'What a plugin exports' exports.wit
    section 'What a plugin may call' imports.wit
    section 'Hardware' hardware.wit
    section 'Worlds' worlds.wit
} >"$made"

if [ "${1-}" = --check ]; then
    cmp -s "$made" "$page" || { echo "docs/plugins/$page is not what wit/ says; run docs/plugins/interface.sh" >&2; exit 1; }
else
    cat "$made" >"$page"
fi
