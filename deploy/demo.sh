#!/usr/bin/env bash
# compose.yaml, started and watched (make up, make scale, make down, make logs), and
# where it is, for others.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=stack.sh
. deploy/stack.sh

# Seconds until a replica that hasn't answered never will.
patience=${PATIENCE:-30}

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
    port=$(published "$lb" 80)
    missing=$apps
    greetings=''
    # A container's host name is its short id, and the greeting says it.
    while [ -n "$missing" ]; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            fail "no answer of ${missing% } at http://$host:$port in $patience s; the last: $(tail -n 1 <<<"${answer:-none}")"
        fi
        before=$missing
        answer=$(ask "$port" / 2>/dev/null) || true
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

Live    http://localhost:$(published "$lb" 9180)/live/
Admin   http://localhost:$(published "$lb" 9180)   /endpoints /metrics /readyz /healthz
Next    for i in 1 2 3 4 5; do curl $url; echo; done
        make load
        make scale SCALE=5
        make logs
        make monitor
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
    with_monitoring
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
    port=$(published "$lb" 80)
    url
    ;;
*)
    die "usage: deploy/demo.sh up|scale|down|logs|url"
    ;;
esac
