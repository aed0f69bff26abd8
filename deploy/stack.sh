# shellcheck shell=bash
# For scripts to source, behind common.sh: compose.yaml as it runs here.

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
# shellcheck disable=SC2034 # they are for who sources this
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

# published CONTAINER PORT: where its PORT is on this machine.
published() {
    docker port "$1" "$2/tcp" | sed -n '1s/.*://p'
}

# ask PORT PATH: asks what listens there as curl would, and prints the answer.
ask() {
    local line='' answer=''
    exec 3<>"/dev/tcp/$host/$1" || return
    # Of HTTP/1.0, so that it comes in one piece.
    printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
    while IFS= read -r -t 3 line <&3; do answer="$answer$line"$'\n'; done
    exec 3>&-
    printf '%s%s' "$answer" "$line"
}

# From here on Compose knows of deploy/monitoring, too, besides what it finds itself.
with_monitoring() {
    local files=${COMPOSE_FILE:-compose.yaml}
    if [ -z "${COMPOSE_FILE:-}" ] && [ -e compose.override.yaml ]; then
        files=$files:compose.override.yaml
    fi
    export COMPOSE_FILE=$files:deploy/monitoring/compose.yaml
}
