#!/usr/bin/env bash
# What a release of lb-core needs beyond the tests (make release-check): every
# feature builds alone, the oldest compiler that is promised still does it, the
# dependencies are what deny.toml allows, the packages are whole, and the version
# fits what has changed since the last release. Installs what it uses.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

need() {
    cargo "$1" --version >/dev/null 2>&1 || {
        say "Installing cargo-$1 (once; takes minutes)."
        cargo install --locked --quiet "cargo-$1"
    }
}

msrv=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
say "Rust $msrv"
rustup toolchain install "$msrv" --profile minimal
cargo "+$msrv" check --workspace --all-features --locked --target-dir "$(target_dir)/msrv"

need hack
say "Every feature alone"
cargo hack check -p lb-core -p lb-docker --each-feature --no-dev-deps

need deny
say "Dependencies"
cargo deny --all-features check bans licenses sources

say "Packages"
cargo package -p lb-core -p lb-docker --locked

need semver-checks
found=$(cargo search lb-core --limit 1) || die "can't ask crates.io for the last release."
case $found in
"lb-core = "*) cargo semver-checks -p lb-core -p lb-docker ;;
*) say "No release yet to compare with." ;;
esac
