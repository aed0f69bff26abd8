#!/usr/bin/env bash
# Installs the other proxies where they are missing, and compares (make compare).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

missing=()
command -v nginx >/dev/null || missing+=(nginx-light)
command -v haproxy >/dev/null || missing+=(haproxy)
if [ "${#missing[@]}" -gt 0 ]; then
    command -v apt-get >/dev/null || die "install nginx and haproxy first."
    say "installing ${missing[*]}"
    # A package that starts a service of its own would be in the way.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "${missing[@]}" >/dev/null
fi
cargo build --release --locked -p lb-bin -p benches
# The proxies get core 0; the client and the server stay away from it.
taskset -c 1 "$(target_dir)/release/compare" --lb-bin "$(target_dir)/release/lb-bin" "$@"
