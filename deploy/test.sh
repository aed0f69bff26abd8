#!/usr/bin/env bash
# Every test (make test). Goes on after a failure, to tell all of them.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=proxies.sh
. deploy/proxies.sh
trap 'exit 130' INT

failed=0
try() { "$@" || failed=1; }

if engine_answers; then
    deploy/images.sh # LB_IMAGE and APP_IMAGE tell the tests their names
elif [ -n "${CI:-}" ]; then
    die "CI without a Docker engine tests too little."
else
    say "No Docker engine: the tests with containers are left out."
    unset LB_IMAGE APP_IMAGE
fi

# The ACME server that the tests of lb-core order from, the nginx that lb-bin writes its log
# like, and the browser that it shows the live page in; they say so if it isn't there.
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    install_debian pebble=pebble || say "No pebble to be had."
    install_debian nginx=nginx-light || say "No nginx to be had."
    install_debian chromedriver=chromium-driver || say "No chromedriver to be had."
    # Reads the metrics.
    install_debian promtool=prometheus || say "No promtool to be had."
fi

try cargo test --workspace --all-features --locked --no-fail-fast

# Every interleaving of the load's atomics. Another cfg is another build of
# everything, hence the folder; unoptimized linking, as it is small and run once.
try env RUSTFLAGS="${RUSTFLAGS:-} --cfg lb_loom" \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo test -p lb-core --lib loom --release --locked --target-dir "$(target_dir)/loom"

if [ -n "${LB_IMAGE:-}" ]; then
    try deploy/smoke.sh
    try deploy/see-it-work.sh
    # Its Prometheus is Debian's.
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then try deploy/monitor-test.sh; fi
fi

exit "$failed"
