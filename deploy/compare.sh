#!/usr/bin/env bash
# Installs the other proxies where they are missing, and compares (make compare).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=proxies.sh
. deploy/proxies.sh

install_debian nginx=nginx-light haproxy=haproxy
cargo build --release --locked -p lb-bin -p benches
# The proxies get core 0; the client and the server stay away from it.
taskset -c 1 "$(target_dir)/release/compare" --lb-bin "$(target_dir)/release/lb-bin" "$@"
