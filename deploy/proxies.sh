# shellcheck shell=bash
# For scripts to source, behind common.sh: install_debian PROGRAM=PACKAGE ... installs
# the packages of those programs that are missing. A package that starts a service of
# its own would be in the way, so none is started.
install_debian() {
    local pair policy=/usr/sbin/policy-rc.d missing=()
    for pair in "$@"; do command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}"); done
    [ "${#missing[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "install ${missing[*]} first."
    say "installing ${missing[*]}"
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "${missing[@]}" >/dev/null
}
