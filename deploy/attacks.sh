#!/usr/bin/env bash
# Attacks lb-bin, and writes docs/attacks.md (make attacks). With arguments, those of
# the program, it writes nothing: ARGS="--only slowloris --seconds 10".
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

cargo build --release --locked -p lb-bin -p benches
program=$(target_dir)/release/attacks
lb_bin=$(target_dir)/release/lb-bin
if [ "$#" -gt 0 ]; then
    "$program" --lb-bin "$lb_bin" "$@"
else
    "$program" --lb-bin "$lb_bin" --write docs/attacks.md
fi
