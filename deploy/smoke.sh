#!/usr/bin/env bash
# compose.yaml and `make up`, as their users have them, with each generation of
# Compose that is here (part of make test).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# shellcheck source=checks.sh
. deploy/checks.sh

export HTTP_PORT=0 ADMIN_PORT=0 # any that are free

clean() {
    if [ -n "${COMPOSE:-}" ]; then compose down --timeout 1 >/dev/null 2>&1 || true; fi
}
trap clean EXIT
trap 'exit 130' INT TERM

# containers SERVICE: those of this run.
containers() {
    docker ps -q --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
        --filter "label=com.docker.compose.service=$1"
}

starts() {
    SCALE=2 deploy/demo.sh up
    [ "$(containers app | wc -l)" -eq 2 ]
}

scales() {
    local first kept
    first=$(containers app)
    SCALE=4 deploy/demo.sh scale
    [ "$(containers app | wc -l)" -eq 4 ]
    # Those that ran were left alone.
    for kept in $first; do containers app | grep -qx "$kept"; done
    SCALE=1 deploy/demo.sh scale
    [ "$(containers app | wc -l)" -eq 1 ]
}

is_healthy() {
    docker exec "$(containers lb)" /lb-bin check
    docker exec "$(containers app)" /app-bin check
}

has_few_privileges() {
    local service
    for service in lb app; do
        docker inspect "$(containers $service)" --format \
            '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}' |
            grep -E '^65532:65532 true \[ALL\] \[no-new-privileges(:true)?\]$'
    done
}

names_the_taken_port() {
    local port told
    port=$(docker port "$(containers lb)" 80/tcp | sed -n '1s/.*://p')
    # The same folder under another name is another project.
    told=$(COMPOSE_PROJECT_NAME=$COMPOSE_PROJECT_NAME-2 HTTP_PORT=$port deploy/demo.sh up 2>&1) && return 1
    grep "port $port is taken by the container .*HTTP_PORT=" <<<"$told"
}

leaves_nothing() {
    deploy/demo.sh down
    [ -z "$(docker ps -a -q --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")" ]
    [ -z "$(docker network ls -q --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")" ]
}

for COMPOSE in "docker compose" docker-compose; do
    if ! compose version >/dev/null 2>&1; then
        say "test $COMPOSE ... isn't here"
        continue
    fi
    export COMPOSE COMPOSE_PROJECT_NAME=lb-smoke-$$
    check "$COMPOSE: make up starts two apps that answer" starts
    check "$COMPOSE: make scale goes up and down" scales
    check "$COMPOSE: the health checks pass" is_healthy
    check "$COMPOSE: no container has a privilege it doesn't need" has_few_privileges
    check "$COMPOSE: make up names the port that is taken" names_the_taken_port
    check "$COMPOSE: make down leaves nothing" leaves_nothing
done

[ $((passed + failed)) -gt 0 ] || [ -z "${CI:-}" ] || die "no Compose to test with."
verdict
