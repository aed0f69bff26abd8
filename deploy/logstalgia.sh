#!/usr/bin/env bash
# The live access log of what `make up` started, as Logstalgia shows it (make logstalgia):
# each request flies to the paddle of the container that answers it. The balancer goes on
# as it is. Instead of that log:
#   FILE=access.log    follows this one (LB_ACCESS_LOG)
#   REPLAY=access.log  plays this one from its beginning
# in our format or in Logstalgia's own. More options for Logstalgia: ARGS="-f --font-size 18".
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=proxies.sh
. deploy/proxies.sh

if ! command -v logstalgia >/dev/null; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        (install_debian logstalgia=logstalgia) # it has a trap of its own
    else
        die "Logstalgia isn't installed. Debian and Ubuntu: sudo apt install logstalgia;" \
            "Fedora: sudo dnf install logstalgia; macOS: brew install logstalgia;" \
            "others: https://logstalgia.io"
    fi
fi
if [ "$(uname -s)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    die "Logstalgia draws in a window, and there is no display (DISPLAY is not set)." \
        "Run it where you see a desktop, or over ssh -X. The same without one: the page" \
        "/live/ on the admin port, as in http://localhost:9180/live/"
fi

# mawk reads in blocks unless told otherwise.
convert=(awk -f deploy/logstalgia.awk)
if awk -W version 2>/dev/null </dev/null | grep -q ^mawk; then
    convert=(awk -W interactive -f deploy/logstalgia.awk)
fi

log() {
    if [ -n "${FILE:-}" ]; then
        # By name, as it may be rotated.
        exec tail -n 0 -F "$FILE" 2>/dev/null
    else
        # The access log is on standard output.
        TAIL=0 exec deploy/demo.sh logs 2>/dev/null
    fi
}

# A paddle for each container, nothing of one kind of path or another, and quick enough
# that what happens shows at once.
show() {
    # More options are words.
    # shellcheck disable=SC2086
    logstalgia --title lb --paddle-mode pid --full-hostnames -g "requests,URI=.,100" \
        --pitch-speed 0.3 --update-rate 2 "$@" ${ARGS:-} -
}

if [ -n "${REPLAY:-}" ]; then
    [ -r "$REPLAY" ] || die "REPLAY=$REPLAY can't be read."
    "${convert[@]}" "$REPLAY" | show
    exit
fi
[ -n "${FILE:-}" ] || deploy/demo.sh url >/dev/null || die "or follow a file: make logstalgia FILE=access.log"

# Not a pipe, whose beginning would notice at the next line only that the window is gone.
work=$(mktemp -d)
mkfifo "$work/log" "$work/lines"
log >"$work/log" &
feeders=($!)
"${convert[@]}" <"$work/log" >"$work/lines" &
feeders+=($!)
trap 'kill "${feeders[@]}" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
show --sync --disable-progress <"$work/lines"
