# Phases of a long run, to be sourced by bash: each is announced, timed, streamed and kept in a log of its own.
# A phase that fails does not end the run, so that one report can say all that is wrong; the caller asks `phases_failed`.
# shellcheck shell=bash

PHASE_LOGS=
PHASE_COUNT=0
PHASE_REPORT=()
PHASES_FAILED=()
# One dot per so many crates keeps a cold build visibly alive without four hundred lines of it.
PHASE_CRATES_PER_DOT=25

# phases_begin DIRECTORY: where the logs go; those of an earlier run are removed.
phases_begin() {
    PHASE_LOGS=$1
    mkdir -p "$PHASE_LOGS"
    rm -f "$PHASE_LOGS"/*.log
}

# phase NAME COMMAND...: runs it; its status is returned and remembered.
phase() {
    local name=$1 log status=0 seconds
    shift
    PHASE_COUNT=$((PHASE_COUNT + 1))
    log=$PHASE_LOGS/$(printf '%02d' "$PHASE_COUNT")-${name//[^A-Za-z0-9]/-}.log
    printf '\n== %s\n' "$name"
    seconds=$SECONDS
    # shellcheck disable=SC2310
    "$@" </dev/null 2>&1 | tee "$log" | phase_shorten || status=$?
    seconds=$((SECONDS - seconds))
    if [ "$status" -eq 0 ]; then
        PHASE_REPORT+=("$(printf '%6d s  %s' "$seconds" "$name")")
    else
        PHASE_REPORT+=("$(printf '%6d s  %s: FAILED with status %d, see %s' "$seconds" "$name" "$status" "$log")")
        PHASES_FAILED+=("$name")
    fi
    printf '== %s: %d s%s\n' "$name" "$seconds" "$([ "$status" -eq 0 ] || echo ", FAILED")"
    return "$status"
}

# phases_skip NAME REASON: what was left out is said by name, here and in the report.
phases_skip() {
    printf '\n== %s: skipped, %s\n' "$1" "$2"
    PHASE_REPORT+=("$(printf '       -  %s: skipped, %s' "$1" "$2")")
}

phases_failed() {
    [ ${#PHASES_FAILED[@]} -gt 0 ]
}

phases_report() {
    printf '\nHow long each phase took:\n'
    printf '%s\n' "${PHASE_REPORT[@]}"
    printf '%6d s  in all\n' "$SECONDS"
}

# Drops Cargo's line per crate; the log keeps them.
phase_shorten() {
    local line crates=0
    while IFS= read -r line; do
        case $line in
        *"   Compiling "* | *"    Checking "* | *"  Downloaded "* | *" Downloading "* | *" Documenting "*)
            crates=$((crates + 1))
            [ $((crates % PHASE_CRATES_PER_DOT)) -ne 0 ] || printf '   ... %d crates\n' "$crates"
            ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
}
