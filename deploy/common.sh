# shellcheck shell=bash
# For the scripts in this folder to source. They run on what every machine with
# Docker has: bash (3.2 or later, as on macOS), coreutils, cargo; no curl, no python.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The names compose.yaml, `make images` and the tests agree on.
export LB_IMAGE=${LB_IMAGE:-lb:local}
export APP_IMAGE=${APP_IMAGE:-app:local}

say() { printf '%s\n' "$@"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Where cargo puts things, whichever way it was told.
target_dir() {
    cargo metadata --format-version 1 --no-deps --offline |
        sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# Compiles what images are made of, and leaves in `binaries` where that is.
compile_for_images() {
    local triple
    triple=$(rustc -vV | sed -n 's/^host: //p')
    RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
        cargo build --release --locked --target "$triple" -p lb-bin -p app-bin
    # For who sources this.
    # shellcheck disable=SC2034
    binaries=$(target_dir)/$triple/release
}

# Says why not, on standard error, where there is no engine to talk to.
engine_answers() {
    if ! command -v docker >/dev/null; then
        say "Docker isn't installed." >&2
        return 1
    fi
    docker version --format '{{.Server.Version}}' >/dev/null
}

# Whichever generation of Compose is here; COMPOSE="docker-compose" chooses.
find_compose() {
    if [ -n "${COMPOSE:-}" ]; then
        return
    elif docker compose version >/dev/null 2>&1; then
        COMPOSE="docker compose"
    elif command -v docker-compose >/dev/null; then
        COMPOSE="docker-compose"
    else
        die "Docker is here, Compose isn't: install docker-compose-plugin, docker-compose-v2 or docker-compose."
    fi
}

compose() {
    # One word, or two.
    # shellcheck disable=SC2086
    $COMPOSE "$@"
}
