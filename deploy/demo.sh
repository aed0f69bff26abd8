#!/usr/bin/env bash
# compose.yaml, started and watched (make up, make scale, make down, make logs), and
# where it is, for others.
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

# What runs: the balancer's id, and those of its apps, as host names have them.
look() {
    local id ids service
    lb='' apps=''
    ids=$(compose ps -q)
    [ -n "$ids" ] || return 0
    while read -r id service; do
        case $service in
        lb) lb=$id ;;
        app) apps="$apps${id:0:12} " ;;
        esac
    done < <(
        # One id a word.
        # shellcheck disable=SC2086
        docker inspect $ids --format \
            '{{if .State.Running}}{{.Id}} {{index .Config.Labels "com.docker.compose.service"}}{{end}}'
    )
}

# published PORT: where the balancer's PORT is on this machine.
published() {
    docker port "$lb" "$1/tcp" | sed -n '1s/.*://p'
}

# Asks as curl would and prints the answer.
ask() {
    local line='' answer=''
    exec 3<>"/dev/tcp/$host/$port" || return
    printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    while IFS= read -r -t 3 line <&3; do answer="$answer$line"$'\n'; done
    printf '%s%s' "$answer" "$line"
}

refuse_taken_port() {
    local variable=$1 port=$2 holder project folder
    # Port 0 takes any that is free.
    if [ "$port" = 0 ] || ! (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then return; fi
    IFS='|' read -r holder project folder < <(
        docker ps --filter "publish=$port" --format \
            '{{.Names}}|{{.Label "com.docker.compose.project"}}|{{.Label "com.docker.compose.project.working_dir"}}'
    ) || true
    if [ "$folder" = "$(pwd -P)" ] && [ "${COMPOSE_PROJECT_NAME:-$project}" = "$project" ]; then
        return # it is up already
    fi
    die "port $port is taken${holder:+ by the container $holder}." \
        "Choose another: make up $variable=$((port + 8000))"
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

# Waits until each of so many replicas has answered through the balancer.
wait_for_replicas() {
    local wanted=$1 missing app answer='' before deadline=$((SECONDS + patience))
    look
    [ -n "$lb" ] || fail "the balancer doesn't run."
    port=$(published 80)
    missing=$apps
    greetings=''
    # A container's host name is its short id, and the greeting says it.
    while [ -n "$missing" ]; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            fail "no answer of ${missing% } at http://$host:$port in $patience s; the last: $(tail -n 1 <<<"${answer:-none}")"
        fi
        before=$missing
        answer=$(ask 2>/dev/null) || true
        for app in $before; do
            case $answer in
            *"$app"*)
                missing=${missing/$app /}
                greetings="$greetings  ${answer##*$'\n'}"$'\n'
                ;;
            esac
        done
        [ "$missing" != "$before" ] || sleep 0.05
    done
    [ "$(wc -w <<<"$apps")" -eq "$wanted" ] || fail "of $wanted replicas, these run: $apps"
}

fail() {
    {
        # Not the access log, which is on the standard output.
        say "" "What the balancer says:"
        lb=$(compose ps -a -q lb)
        [ -z "$lb" ] || docker logs "$lb" 2>&1 >/dev/null | tail -n 15
        say "" "What the apps say:"
        compose logs --no-color --tail=5 app
        say ""
        compose ps
        say ""
    } >&2
    die "$*"
}

# Where the balancer is, as one types it.
url() {
    local url=http://$host
    [ "$host" != 127.0.0.1 ] || url=http://localhost
    [ "$port" = 80 ] || url=$url:$port
    say "$url"
}

report() {
    local url
    url=$(url)
    say "" "Up at $url, where each of the $1 apps has answered:"
    printf '%s' "$greetings"
    cat <<TEXT

Admin   http://localhost:$(published 9180)   /endpoints /metrics /readyz /healthz
Next    for i in 1 2 3 4 5; do curl $url; echo; done
        make load
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
        exec "${MAKE:-make}" --no-print-directory demo
    fi
    export HTTP_PORT=${HTTP_PORT:-80} ADMIN_PORT=${ADMIN_PORT:-9180}
    find_compose
    settings
    refuse_taken_port HTTP_PORT "$HTTP_PORT"
    refuse_taken_port ADMIN_PORT "$ADMIN_PORT"
    deploy/images.sh
    start --scale app="$SCALE"
    wait_for_replicas "$SCALE"
    report "$SCALE"
    ;;
scale)
    valid_scale
    find_compose
    settings
    look
    [ -n "$lb" ] || die "nothing is up to be scaled: make up SCALE=$SCALE"
    # Only the app, and those that run stay as they are.
    start --no-recreate --scale app="$SCALE" app
    wait_for_replicas "$SCALE"
    report "$SCALE"
    ;;
down)
    find_compose
    compose down
    ;;
logs)
    find_compose
    look
    [ -n "$lb" ] || die "nothing is up: make up"
    exec docker logs --follow --tail="${TAIL:-20}" "$lb"
    ;;
url)
    find_compose
    settings
    look
    [ -n "$lb" ] || die "nothing is up: make up"
    port=$(published 80)
    url
    ;;
*)
    die "usage: deploy/demo.sh up|scale|down|logs|url"
    ;;
esac
