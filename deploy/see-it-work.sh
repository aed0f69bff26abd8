#!/usr/bin/env bash
# docs/see-it-work.md as its readers do it: what `make up` starts, under load while it is
# scaled and one of it is killed; in Logstalgia; under JMeter (part of make test). Installs
# what is missing, where it may. PICTURE=file.png keeps what Logstalgia shows, of a project
# called PROJECT (make pictures).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=checks.sh
. deploy/checks.sh
# shellcheck source=proxies.sh
. deploy/proxies.sh

export HTTP_PORT=0 ADMIN_PORT=0 # any that are free
export COMPOSE_PROJECT_NAME=${PROJECT:-lb-see-$$}
find_compose
export COMPOSE
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    # It has a trap of its own.
    (install_debian logstalgia=logstalgia Xvfb=xvfb jmeter=jmeter ${PICTURE:+convert=imagemagick}) ||
        say "Not all of Logstalgia, Xvfb and JMeter can be had."
fi

work=$(mktemp -d)
: >"$work/pids"
clean() {
    xargs -r kill <"$work/pids" 2>/dev/null || true
    compose down --timeout 1 >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

# What tells the visitors of Logstalgia's picture apart.
cat >"$work/visitors.yaml" <<TEXT
services:
  lb:
    environment:
      TRUST_DOWNSTREAM_PROXY: "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
TEXT
export COMPOSE_FILE=$PWD/compose.yaml:$work/visitors.yaml

# in_background COMMAND...: until the end of this script. In a file, as checks are shells of
# their own.
in_background() {
    "$@" &
    echo $! >>"$work/pids"
}

# until WHAT COMMAND...: asks again until it succeeds, for at most a minute.
until_true() {
    local what=$1 deadline=$((SECONDS + 60))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || die "waited in vain: $what"
        sleep 0.1
    done
}

# apps: the names that those which run greet with.
apps() {
    docker ps --format '{{.ID}}' --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
        --filter label=com.docker.compose.service=app
}

# has FILE TEXT: the file has it.
has() { grep -qF -- "$2" "$1"; }

# says FILE REGEX: a line is this.
says() { grep -qxE -- "$2" "$1" || { cat "$1" && return 1; }; }

is_up() { SCALE=3 deploy/demo.sh up; }

loses_nothing() {
    local load victim app told=$work/load
    RATE=200 DURATION=5m in_background deploy/load.sh >"$told"
    load=$!
    until_true "load" has "$told" "  ok "
    SCALE=5 deploy/demo.sh scale
    apps >"$work/apps"
    victim=$(tail -n 1 "$work/apps")
    docker kill "$victim"
    # One line a second: it was there before, and is not in two of them.
    until_true "the others to go on" after_the_end "$told" "$victim"
    kill -s INT "$load"
    # It has failed if a request has.
    wait "$load" || { cat "$told" && return 1; }
    says "$told" 'failed +0'
    [ "$(wc -l <"$work/apps")" -eq 5 ]
    while read -r app; do says "$told" "  $app +[0-9,]+ +[0-9.]+ % +0"; done <"$work/apps"
    SCALE=3 deploy/demo.sh scale
}

# after_the_end FILE APP: it was in a line of progress, and isn't in the last two.
after_the_end() {
    grep -F ' ok ' "$1" | awk -v app="$2" '
        index($0, app) { seen = 1; since = 0; next }
        { since++ }
        END { exit !(seen && since >= 2) }'
}

# visitors: some, with addresses of their own, that look at this and that.
visit() {
    local number url
    url=$(deploy/demo.sh url)
    for number in 7 23 58 101 164 230; do
        in_background .build/app/app-bin load "$url" --rate 12 --duration 3m --connections 4 \
            --header "X-Forwarded-For: 198.51.100.$number" \
            --paths "/,/products,/products/42,/cart,/api/orders,/images/logo.svg,/search?q=lb" \
            >"$work/visitor"
    done
}

# paddles: how many there are on the screen, that don't cover each other. Its file, of which
# a copy is kept, has a head of big-endian numbers (XWD), then the pixels. Paddles stand at
# 65 % of the width, are 10 pixels wide and 50 high, and no glow is as sharp as their edge.
paddles() {
    local screen=$work/seen.xwd head left
    cp "$work/screen/Xvfb_screen0" "$screen"
    read -r -a head < <(od -An -v -w100 -N100 -tu4 --endian=big "$screen")
    left=$((head[4] * 65 / 100))
    od -An -v -tx4 -w"${head[12]}" -j $((head[0] + head[19] * 12)) "$screen" | awk -v left="$left" '
        BEGIN { for (n = 0; n < 16; n++) hex[sprintf("%x", n)] = n }
        function channel(x, at) { return hex[substr($x, at, 1)] * 16 + hex[substr($x, at + 1, 1)] }
        {
            sharp = 0
            for (at = 3; at <= 7; at += 2)
                if (channel(left + 9, at) - channel(left + 14, at) >= 80) sharp = 1
            if (sharp) rows++
            if (!sharp || NR == 600) {
                if (rows >= 48 && rows <= 52) found++
                rows = 0
            }
        }
        END { print found + 0 }'
}

shows() { [ "$(paddles)" -eq "$1" ]; }

is_seen() {
    local screen=1024x600
    mkdir "$work/screen"
    in_background Xvfb -displayfd 3 -screen 0 "${screen}x24" +extension GLX -nocursor -nolisten tcp \
        -fbdir "$work/screen" 3>"$work/display" 2>"$work/xvfb"
    until_true "a display" test -s "$work/display"
    visit
    shows 0
    DISPLAY=:$(cat "$work/display") LIBGL_ALWAYS_SOFTWARE=1 ARGS=-$screen \
        in_background deploy/logstalgia.sh >"$work/logstalgia" 2>&1
    (until_true "three paddles" shows 3) || { cat "$work/logstalgia" && return 1; }
    if [ -n "${PICTURE:-}" ]; then
        sleep 15 # until requests of all kinds are under way
        until_true "three paddles again" shows 3
        convert "$work/seen.xwd" -colors 256 "$PICTURE"
    fi
}

# In our format, in Logstalgia's own, and in neither.
is_converted() {
    awk -f deploy/logstalgia.awk >"$work/converted" <<'TEXT'
app.local 10.0.0.9 - - [22/Nov/2026:16:48:00 +0000] "GET /a?b=c HTTP/1.1" 200 45 "-" "curl/8" "shop-app-1" 0.002 1 -
app.local 2001:db8::9 - - [29/Feb/2024:23:59:59 -0130] "POST /a|b HTTP/2.0" 503 59 "http://c/" "a\x22b" "-" 10.001 1 no_endpoint
1795366080|10.0.0.9|/|200|45|1|5fd38d|-|curl/8|app.local|shop-app-1
what is this
TEXT
    diff "$work/converted" - <<'TEXT'
1795366080|10.0.0.9|/a?b=c|200|45|1|5fd38d|-|curl/8|app.local|shop-app-1
1709256599|2001:db8::9|/a%7Cb|503|59|0|ff5a5f|http://c/|a\x22b|app.local|lb
1795366080|10.0.0.9|/|200|45|1|5fd38d|-|curl/8|app.local|shop-app-1
TEXT
}

# holds SCENARIO GROUPS: all of it answered well, by each of the containers, and asked by
# the thread groups of that scenario only.
holds() {
    local app groups told=$work/jmeter
    SCENARIO=$1 THREADS=10 DURATION=5 ARGS="-Jpause=20 -Jjmeterengine.nongui.port=0" \
        deploy/jmeter.sh >"$told" || { cat "$told" && return 1; }
    says "$told" '  all +[0-9]{2,} +0 failed'
    for app in $(apps); do says "$told" "  $app +[0-9]+ answered +0 failed"; done
    groups=$(awk -F, 'NR > 1 { print $3 }' "$(target_dir)/jmeter/$1.csv" | sort -u | paste -sd,)
    say "thread groups: $groups"
    [ "$groups" = "$2" ]
}

# with PROGRAMS NAME COMMAND...: checks it where these are.
with() {
    local program
    for program in $1; do
        if ! command -v "$program" >/dev/null; then
            [ -z "${CI:-}" ] || die "CI without $program tests too little."
            say "test $2 ... ignored, as $program isn't here"
            return
        fi
    done
    check "${@:2}"
}

check "make up starts three" is_up
if [ -z "${PICTURE:-}" ]; then
    check "make load: scaled to five and one killed, no request fails" loses_nothing
fi
check "make logstalgia: what it is told" is_converted
with "Xvfb logstalgia" "make logstalgia: each container is a paddle" is_seen
if [ -z "${PICTURE:-}" ]; then
    with jmeter "make jmeter: ramp" holds ramp ramp
    with jmeter "make jmeter: spike" holds spike "spike: base,spike: peak"
    with jmeter "make jmeter: soak" holds soak soak
fi

verdict
