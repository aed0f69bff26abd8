#!/usr/bin/env bash
# Prometheus, Grafana, node-exporter and cAdvisor beside what `make up` starts
# (make monitor, make monitor-down).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=stack.sh
. deploy/stack.sh

# Seconds until a target that hasn't been scraped never will.
patience=${PATIENCE:-60}

services="prometheus grafana node-exporter cadvisor"
run='' missing=''

# What each of them is there for.
purpose() {
    case $1 in
    prometheus) say "nothing is scraped: there are neither metrics nor alerts" ;;
    grafana) say "there are no dashboards; what they show can be asked of Prometheus" ;;
    node-exporter) say "the dashboards' panels of the machine stay empty" ;;
    cadvisor) say "the dashboards' panels of containers' processor, memory and network stay empty" ;;
    esac
}

# Which of them can be had: `run`, and why not the others: `missing`.
look_for_images() {
    local config service image why
    config=$(compose config)
    for service in $services; do
        image=$(awk -v service="  $service:" '
            $0 == service { on = 1; next }
            /^  [^ ]/ { on = 0 }
            on && $1 == "image:" { print $2 }' <<<"$config")
        if docker image inspect "$image" >/dev/null 2>&1; then
            run="$run $service"
            continue
        fi
        say "pulling $image"
        if why=$(docker pull --quiet "$image" 2>&1 >/dev/null); then
            run="$run $service"
        else
            missing="$missing
  $service: the image $image can't be pulled, so $(purpose "$service").
    $(tail -n 1 <<<"$why")"
        fi
    done
}

start() {
    local log
    log=$(mktemp)
    # Those alone: what serves is left as it is.
    # One service a word.
    # shellcheck disable=SC2086
    if ! compose up -d --no-deps $run >"$log" 2>&1; then
        cat "$log" >&2
        if grep -qiE 'already (allocated|in use)|failed to bind' "$log"; then
            say "" "A port can't be had. Choose others: make monitor PROMETHEUS_PORT=9091 GRAFANA_PORT=3001" >&2
        fi
        rm -f "$log"
        die "not started. To remove what is there now: make monitor-down"
    fi
    rm -f "$log"
}

# The names of the containers that Prometheus is to scrape. Compose 1 lists those of
# `compose run` as well, which it isn't.
targets() {
    local ids
    ids=$(compose ps -q)
    # One id a word.
    # shellcheck disable=SC2086
    docker inspect $ids --format \
        '{{if and .State.Running (index .Config.Labels "prometheus-job") (ne (index .Config.Labels "com.docker.compose.oneoff") "True")}}{{.Name}}{{end}}' |
        sed -n 's|^/||p'
}

# Waits until each has been scraped.
wait_for_targets() {
    local port=$1 expected answer name waiting deadline=$((SECONDS + patience))
    expected=$(targets)
    while true; do
        # A line for each, with its labels and a 1 if it was.
        answer=$(ask "$port" '/api/v1/query?query=up' 2>/dev/null | sed 's/{"metric"/\n&/g') || true
        waiting=''
        for name in $expected; do
            grep -F "\"container\":\"$name\"" <<<"$answer" | grep -qF ',"1"]' || waiting="$waiting $name"
        done
        [ -n "$waiting" ] || break
        if [ "$SECONDS" -ge "$deadline" ]; then
            compose logs --no-color --tail=10 prometheus >&2
            die "Prometheus has not scraped these in $patience s:$waiting. http://localhost:$port/targets says why."
        fi
        sleep 0.2
    done
    say "" "Scraped:"
    for name in $expected; do say "  $name"; done
}

report() {
    say ""
    case $run in *grafana*) say "Grafana     http://localhost:$(published "$(compose ps -q grafana)" 3000)" ;; esac
    case $run in
    *prometheus*) say "Prometheus  http://localhost:$(published "$(compose ps -q prometheus)" 9090)   /alerts /targets" ;;
    esac
    [ -z "$missing" ] || say "" "Not here:$missing"
    say "" "Next        make monitor-down, or make down for all of it"
}

case ${1:-} in
up)
    engine_answers || die "Prometheus finds what to scrape over Docker's socket, and there is no engine."
    find_compose
    look
    [ -n "$lb" ] || deploy/demo.sh up
    settings
    with_monitoring
    look_for_images
    if [ -z "$run" ]; then
        look
        say "" "The balancer is up all the same: http://localhost:$(published "$lb" 9180)/live/" >&2
        die "none of the images can be had:$missing"
    fi
    start
    case $run in
    *prometheus*) wait_for_targets "$(published "$(compose ps -q prometheus)" 9090)" ;;
    esac
    report
    ;;
down)
    find_compose
    with_monitoring
    # One service a word.
    # shellcheck disable=SC2086
    compose rm --stop --force $services
    ;;
*)
    die "usage: deploy/monitor.sh up|down"
    ;;
esac
