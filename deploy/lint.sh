#!/usr/bin/env bash
# Checks the scripts (make lint).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

if command -v shellcheck >/dev/null; then
    shellcheck -x deploy/*.sh .ci/run
else
    say "shellcheck isn't here: the scripts are not checked."
fi
