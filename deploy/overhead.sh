#!/usr/bin/env bash
# What it costs to see, measured (make overhead).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

cargo build --release --locked -p lb-bin -p benches
# The balancers get core 0; the client and the server stay away from it.
taskset -c 1 "$(target_dir)/release/overhead" --lb-bin "$(target_dir)/release/lb-bin" "$@"
