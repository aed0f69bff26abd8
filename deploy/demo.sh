#!/usr/bin/env bash
# compose.yaml, started and watched (make up, make scale, make down, make logs).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# Seconds until a replica that hasn't answered never will.
patience=${PATIENCE:-30}

# What compose.yaml leaves to the machine.
settings() {
    local endpoint
    endpoint=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) ||
        endpoint=${DOCKER_HOST:-}
    host=127.0.0.1
    case $endpoint in
    tcp://*)
        host=${endpoint#tcp://}
        host=${host%:*}
        ;;
    unix://*)
        if [ "$(uname -s)" = Linux ]; then
            export DOCKER_SOCKET=${DOCKER_SOCKET:-${endpoint#unix://}}
        fi
        ;;
    esac
    export DOCKER_SOCKET=${DOCKER_SOCKET:-/var/run/docker.sock}
    if [ -z "${DOCKER_GID:-}" ]; then
        case $(docker info --format '{{.SecurityOptions}}') in
        *rootless*) DOCKER_GID=0 ;; # as the container sees the group of its user
        *) DOCKER_GID=$(stat -Lc %g "$DOCKER_SOCKET" 2>/dev/null) || DOCKER_GID=0 ;;
        esac
        export DOCKER_GID
    fi
}

# published PORT: where the balancer's PORT is on this machine, if it runs.
published() {
    compose port lb "$1" 2>/dev/null | sed -n '1s/.*:\([1-9][0-9]*\)$/\1/p'
}

# Asks as curl would and prints the answer.
ask() {
    local line='' answer=''
    exec 3<>"/dev/tcp/$host/$1" || return
    printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    while IFS= read -r -t 3 line <&3; do answer="$answer$line"$'\n'; done
    printf '%s%s' "$answer" "$line"
}

refuse_taken_port() {
    local variable=$1 port=$2 inside=$3 holder
    if [ "$(published "$inside")" = "$port" ]; then return; fi # by us
    if ! (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then return; fi
    holder=$(docker ps --filter "publish=$port" --format 'by the container {{.Names}}' | head -n 1)
    die "port $port is taken${holder:+ $holder}. Choose another: make up $variable=$((port + 8000))"
}

start() {
    local log
    log=$(mktemp)
    if ! compose up -d --no-build "$@" >"$log" 2>&1; then
        cat "$log" >&2
        if grep -qiE 'already (allocated|in use)|failed to bind|privileged port' "$log"; then
            say "" "A port can't be had. Choose others: make up HTTP_PORT=8080 ADMIN_PORT=9181" >&2
        fi
        rm -f "$log"
        die "not started. To remove what is there now: make down"
    fi
    rm -f "$log"
}

# Waits until each of $1 replicas has answered through the balancer.
wait_for_replicas() {
    local wanted=$1 port ids missing count answer before deadline=$((SECONDS + patience))
    port=$(published 80)
    [ -n "$port" ] || fail "the balancer doesn't run."
    ids=$(compose ps -q app | cut -c 1-12)
    missing=$(printf '%s' "$ids" | tr '\n' ' ')
    missing=${missing:+$missing }
    count=$(printf '%s' "$ids" | wc -w)
    [ "$count" -eq "$wanted" ] || fail "$count of $wanted replicas run."

    # A container's host name is its short id, and the greeting says it.
    while [ -n "$missing" ]; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            fail "no answer from ${missing% } through http://$host:$port within $patience s. The last: ${answer:-none}"
        fi
        before=$missing
        answer=$(ask "$port" 2>/dev/null) || true
        for id in $ids; do
            case $answer in *"$id"*) missing=${missing/$id /} ;; esac
        done
        [ "$missing" != "$before" ] || sleep 0.05
    done
}

fail() {
    {
        say "" "The balancer's last lines:"
        compose logs --tail=20 lb
        say "" "The apps' last lines:"
        compose logs --tail=5 app
        say ""
        compose ps
        say ""
    } >&2
    die "$*"
}

report() {
    local wanted=$1 port admin url
    port=$(published 80)
    admin=$(published 9180)
    url=http://localhost
    [ "$host" = 127.0.0.1 ] || url=http://$host
    [ "$port" = 80 ] || url=$url:$port
    say "" "$wanted replicas answer at $url"
    for _ in 1 2 3; do
        [ "$wanted" = 0 ] || say "  $(ask "$port" | tail -n 1)"
    done
    cat <<TEXT

Admin   http://localhost:$admin   /endpoints /metrics /readyz /healthz
Next    for i in 1 2 3 4 5; do curl $url; echo; done
        make scale SCALE=5
        make logs
        make down
TEXT
}

valid_scale() {
    case ${SCALE:=2} in
    *[!0-9]* | '') die "SCALE=$SCALE isn't a number of replicas." ;;
    esac
}

case ${1:-} in
up)
    valid_scale
    if ! engine_answers; then
        say "" "There is no Docker engine to talk to. Here is the demo that needs none;" \
            "it is the same proxy, with the apps in its own process." ""
        exec make --no-print-directory demo
    fi
    export HTTP_PORT=${HTTP_PORT:-80} ADMIN_PORT=${ADMIN_PORT:-9180}
    find_compose
    settings
    refuse_taken_port HTTP_PORT "$HTTP_PORT" 80
    refuse_taken_port ADMIN_PORT "$ADMIN_PORT" 9180
    deploy/images.sh
    start --scale app="$SCALE"
    wait_for_replicas "$SCALE"
    report "$SCALE"
    ;;
scale)
    valid_scale
    find_compose
    settings
    [ -n "$(published 80)" ] || die "nothing is up to be scaled: make up SCALE=$SCALE"
    # Only the app, and those that run stay as they are.
    start --no-recreate --scale app="$SCALE" app
    wait_for_replicas "$SCALE"
    report "$SCALE"
    ;;
down)
    find_compose
    compose down
    # What earlier builds of these images left behind.
    for title in lb app; do
        docker image prune --force --filter "label=org.opencontainers.image.title=$title" \
            --filter "label=org.opencontainers.image.source=https://github.com/lb-rs/lb" >/dev/null
    done
    ;;
logs)
    find_compose
    lb=$(compose ps -q lb)
    [ -n "$lb" ] || die "nothing is up: make up"
    exec docker logs --follow --tail=20 "$lb"
    ;;
*)
    die "usage: deploy/demo.sh up|scale|down|logs"
    ;;
esac
