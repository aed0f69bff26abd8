#!/usr/bin/env bash
# The chaos suite in its long form (make chaos), and the soak (make soak): what
# they find goes into docs/reliability.md. The balancer is the release build.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

engine_answers || die "the chaos suite needs a Docker engine."

suite() { cargo test -p lb-bin --test e2e --locked -- "$@"; }

deploy/images.sh
# Compiled before it is needed to clean up, too, which is to be quick.
cargo test -p lb-bin --test e2e --locked --no-run

# What is left of a run that was interrupted is removed by the next one, also by
# one that has nothing to do.
clean_up() {
    say "cleaning up ..." >&2
    unset LB_E2E_LONG
    suite --exact nothing >/dev/null 2>&1
    exit 130
}
trap clean_up INT TERM

export LB_E2E_BINARY=$PWD/.build/lb/lb-bin LB_E2E_TABLE=$PWD/docs/reliability.md
case ${1:-} in
long)
    export LB_E2E_LONG=true
    # shellcheck source=compose-plugin.sh
    . deploy/compose-plugin.sh
    install_compose || say "No Compose plugin to be had: its cases will fail." >&2
    suite chaos:: --skip chaos::soak
    ;;
soak)
    case ${MINUTES:=30} in
    *[!0-9]* | '' | 0) die "MINUTES=$MINUTES isn't a number of minutes." ;;
    esac
    export LB_E2E_SOAK_MINUTES=$MINUTES
    [ -z "${SEED:-}" ] || export LB_E2E_SEED=$SEED
    suite chaos::soak
    ;;
*)
    die "usage: deploy/chaos.sh long|soak"
    ;;
esac
