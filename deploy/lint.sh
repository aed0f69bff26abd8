#!/usr/bin/env bash
# Checks the scripts (make lint).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

if command -v shellcheck >/dev/null; then
    shellcheck -x deploy/*.sh .ci/run
else
    say "shellcheck isn't here: the scripts are not checked."
fi

# Apart from the workspace, so `make lint` has not seen it.
cargo fmt --check --manifest-path fuzz/Cargo.toml

# Who embeds the balancer alone gets neither an HTTP stack nor sockets with it.
if cargo tree -p lb-core -e normal --prefix none --locked | grep -E '^(hyper|http|mio|socket2) '; then
    die "these have crept into the default build of lb-core."
fi
