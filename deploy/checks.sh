# shellcheck shell=bash
# For scripts that are tests, to source after common.sh: what they check, counted as
# cargo counts.
passed=0 failed=0

# check NAME COMMAND...: what it says is shown if it fails.
check() {
    local name=$1 status log
    shift
    log=$(mktemp)
    # Not as a condition, where -e has no effect.
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1
    status=$?
    set -e
    if [ "$status" -eq 0 ]; then
        say "test $name ... ok"
        passed=$((passed + 1))
    else
        say "test $name ... FAILED"
        tail -n 100 "$log"
        failed=$((failed + 1))
    fi
    rm -f "$log"
}

# The result, and whether it is a good one.
verdict() {
    local verdict=ok
    [ "$failed" -eq 0 ] || verdict=FAILED
    say "" "test result: $verdict. $passed passed; $failed failed"
    [ "$failed" -eq 0 ]
}
