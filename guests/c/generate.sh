#!/bin/sh
# Writes generated/ anew from the WIT that is inside edgeplug-compiler; `--check` only says whether it is as it was.
#
#   COMPILER   the program, default `edgeplug-compiler` from PATH
#
# What wit-bindgen makes for the world `plugin` is one file with every export in it, and long names. Here it is cut
# into types, imports and one file for each export, so that a plugin compiles those it has, and the names are shortened.
# The component's type is left out: `edgeplug plugin build` embeds it, without the exports that a plugin does not have.
# A list that was freed is empty, as a string is.
set -eu

cd "$(dirname "$0")"
compiler=${COMPILER:-edgeplug-compiler}
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
"$compiler" bindings --lang c --world plugin --out "$made/raw"

# Longest first: a name may begin like another.
shortened() {
    sed -E \
        -e 's/[[:space:]]+$//' \
        -e 's/\b(edgeplug_plugin_[a-z0-9_]+)\(/wit_\1(/g; s/wit_(edgeplug_plugin_[a-z0-9_]+_free\()/\1/g' \
        -e 's/\bwit_edgeplug_plugin_/wit_/g' \
        -e 's/\bexports_edgeplug_plugin_commands_command/edgeplug_command/g' \
        -e 's/\bexports_edgeplug_plugin_twin_events_change/edgeplug_change/g' \
        -e 's/\bexports_edgeplug_plugin_connection_events_connection/edgeplug_connection/g' \
        -e 's/\bEXPORTS_EDGEPLUG_PLUGIN_CONNECTION_EVENTS_CONNECTION/EDGEPLUG_CONNECTION/g' \
        -e 's/\bexports_edgeplug_plugin_firmware_request/edgeplug_update/g' \
        -e 's/exports_edgeplug_plugin_/exports_/g' \
        -e 's/\bedgeplug_plugin_types_/edgeplug_/g; s/\bEDGEPLUG_PLUGIN_TYPES_/EDGEPLUG_/g' \
        -e 's/\bedgeplug_plugin_hardware_types_/edgeplug_hardware_/g' \
        -e 's/\bEDGEPLUG_PLUGIN_HARDWARE_TYPES_/EDGEPLUG_HARDWARE_/g' \
        -e 's/\bedgeplug_plugin_/edgeplug_/g; s/\bEDGEPLUG_PLUGIN_/EDGEPLUG_/g; s/\bplugin_/edgeplug_/g' \
        -e 's/\bedgeplug_telemetry_list_sample_/edgeplug_samples_/g' \
        -e 's/\bedgeplug_telemetry_list_outcome_/edgeplug_outcomes_/g' \
        -e 's/\bedgeplug_telemetry_outcome_/edgeplug_outcome_/g; s/\bEDGEPLUG_TELEMETRY_OUTCOME_/EDGEPLUG_OUTCOME_/g' \
        -e 's/\bedgeplug_list_u8_/edgeplug_bytes_/g; s/\bedgeplug_option_list_u8_/edgeplug_option_bytes_/g' \
        -e 's/\bedgeplug_list_list_u8_/edgeplug_bytes_list_/g; s/\bedgeplug_list_string_/edgeplug_strings_/g' \
        -e 's/\bedgeplug_list_tuple2_string_string_/edgeplug_pairs_/g' \
        -e 's/\bedgeplug_tuple2_string_string_/edgeplug_pair_/g' \
        -e 's/^    free\(list_ptr\);$/&\n    ptr->ptr = NULL;\n    ptr->len = 0;/' \
        -e 's/"plugin\.h"/"edgeplug_wit.h"/; s/__BINDINGS_PLUGIN_H/EDGEPLUG_WIT_H/'
}

mkdir "$made/generated"
shortened <"$made/raw/plugin.h" >"$made/generated/edgeplug_wit.h"
shortened <"$made/raw/plugin.c" | awk -v out="$made/generated" '
    function to(name, about) {
        file = out "/" name
        if (!(file in begun)) {
            begun[file] = 1
            print first "\n// " about > file
        }
    }
    # The name of an export in a file name: `twin-events` of `edgeplug:plugin/twin-events@0.2.0`.
    function export_of(line) {
        sub(/.*edgeplug:plugin\//, "", line)
        sub(/@.*/, "", line)
        gsub(/-/, "_", line)
        return line
    }
    function to_export(line) {
        file = out "/export_" export_of(line) ".inc"
        if (!(file in begun)) {
            begun[file] = 1
            print first "\n// Included by ../exports/" export_of(line) ".c.\n" ret_area > file
        }
    }
    NR == 1 { first = $0; next }
    NR <= 4 { next }
    /^\/\/ Imported Functions/ {
        to("edgeplug_imports.c", "What the host offers.\n#include \"edgeplug_wit.h\"\n#include <stdlib.h>")
        kept = 1
    }
    /^\/\/ Exported Functions/ { to_export($0); kept = 1; next }
    /^\/\/ Canonical ABI intrinsics/ { kept = 0 }
    /^\/\/ Helper Functions/ {
        to("edgeplug_types.c", "Frees what lies behind a value.\n#include \"edgeplug_wit.h\"\n#include <stdlib.h>\n" \
            "#include <string.h>\n\n" \
            "extern void *cabi_realloc(void *ptr, size_t old_size, size_t align, size_t new_size);")
        kept = 1
        next
    }
    /^\/\/ Component Adapters/ { file = out "/edgeplug_imports.c"; next }
    /^\/\/ Ensure that/ { kept = 0 }
    /__export_name__\("edgeplug:plugin/ { to_export($0) }
    kept { print > file }
' ret_area='
__attribute__((__aligned__(sizeof(void*)), __unused__))
static uint8_t RET_AREA[(4*sizeof(void*))];'
for file in "$made"/generated/*; do
    # One empty line where there were several, none at the end.
    cat -s "$file" | sed -e '${/^$/d;}' >"$file.tidy" && mv "$file.tidy" "$file"
done

if [ "${1:-}" = --check ]; then
    diff -ru generated "$made/generated" || {
        echo "guests/c/generated is not what the WIT says; run guests/c/generate.sh" >&2
        exit 1
    }
else
    rm -rf generated
    mv "$made/generated" generated
fi
