#!/usr/bin/env bash
# What `make monitor` brings up, over real traffic: a real Prometheus finds lb-bin,
# app-bin and node-exporter as its configuration says, and has an answer for every panel
# and every rule (make monitor-test). Grafana and cAdvisor come from registries that a test
# can't count on: Grafana's dashboards are read by its SDK, cAdvisor's figures are written by hand.
# Installs what is missing.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=proxies.sh
. deploy/proxies.sh
# shellcheck source=checks.sh
. deploy/checks.sh
# shellcheck source=stack.sh
. deploy/stack.sh
# shellcheck source=grafana-sdk.sh
. deploy/grafana-sdk.sh

# It has a trap of its own.
(install_debian prometheus=prometheus prometheus-node-exporter=prometheus-node-exporter \
    busybox=busybox-static openssl=openssl python3=python3 pip3=python3-pip)
grafana_sdk

tests=deploy/monitoring/tests boards=deploy/monitoring/grafana/dashboards
work=$(mktemp -d)
project=lb-monitor-$$
traffic=''
clean() {
    [ -z "$traffic" ] || kill "$traffic" 2>/dev/null || true
    if [ -n "${SCENE:-}" ]; then
        with_monitoring
        docker rm --force "$project-once" >/dev/null 2>&1 || true
        compose down --volumes --timeout 1 >/dev/null 2>&1 || true
        docker rmi --force "$PROMETHEUS_IMAGE" "$NODE_EXPORTER_IMAGE" >/dev/null 2>&1 || true
    fi
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

made_by_the_source() {
    deploy/dashboards.sh "$work/dashboards"
    diff -r "$boards" "$work/dashboards" || die "make dashboards, and commit what it makes."
}

# Each alert fires in one of its tests, and has its place in the operator's guide.
tested_and_explained() {
    local alert anchor
    while read -r alert; do
        anchor=$(tr '[:upper:]' '[:lower:]' <<<"$alert")
        grep -qF "alertname=\"$alert\", alertstate=\"firing\"" $tests/*.yml ||
            die "$alert has no test: $tests"
        grep -qF "runbook_url: docs/operations.md#$anchor" deploy/monitoring/prometheus/rules/*.yml ||
            die "$alert doesn't say where it is explained."
        grep -qx "#* $alert" docs/operations.md || die "$alert is not in docs/operations.md"
    done < <(sed -n 's/.*- alert: //p' deploy/monitoring/prometheus/rules/*.yml)
}

# least_privilege: what deploy/monitoring/compose.yaml gives its services, as Compose
# understands it.
least_privilege() {
    with_monitoring
    compose config >"$work/config"
    # The two generations indent lists, and write mounts and ports, in ways of their own.
    awk '
        /^[^ ]/ { part = $1; service = "" }
        part != "services:" { next }
        /^  [a-z-]+:$/ { service = $1; if (service != "lb:" && service != "app:") seen[service]++; next }
        !(service in seen) { next }
        /^    read_only: true$/ { rootfs[service]++; next }
        /^ +- ALL$/ { capabilities[service]++ }
        /no-new-privileges:true/ { privileges[service]++ }
        /privileged: |cap_add:|network_mode: |pid: / { print "not least: " service $0; bad = 1 }
        # What is mounted of the machine can only be read.
        /^ +(- )?type: bind$/ || /^ +- \/[^ ]*:\/[^ ]*:(ro|rw)$/ { mounts++ }
        /^ +read_only: true$/ || /^ +- \/[^ ]*:\/[^ ]*:ro$/ { readable++ }
        # Ports are for it alone.
        /published: / || /^ +- [0-9.:]+\/tcp$/ { ports++ }
        /host_ip: 127\.0\.0\.1$/ || /^ +- 127\.0\.0\.1:/ { own++ }
        END {
            for (it in seen) {
                services++
                if (rootfs[it] && capabilities[it] && privileges[it]) continue
                print "has more than it needs: " it
                bad = 1
            }
            print services " services, " mounts " mounts, " readable " to read, " ports " ports, " own " for the machine"
            exit bad || services != 4 || mounts != 10 || readable != mounts || ports != 2 || own != ports
        }' "$work/config"
}

# debian_image NAME PROGRAM PATH: Debian's program where its own image has it, with
# busybox as there; its data folder is nobody's.
debian_image() {
    local context=$work/image
    rm -rf "$context"
    mkdir -p "$context/root/bin" "$context/data/prometheus"
    cp "$(command -v "$2")" "$context/root$3"
    cp "$(command -v busybox)" "$context/root/bin/busybox"
    ln "$context/root/bin/busybox" "$context/root/bin/wget"
    ldd "$(command -v "$2")" | grep -o '/lib[^ ]*' | xargs -I{} cp -L --parents {} "$context/root/"
    printf 'FROM scratch\nCOPY root /\nCOPY --chown=65534:65534 data /\nENTRYPOINT ["%s"]\n' "$3" \
        >"$context/Dockerfile"
    docker build --quiet --tag "$1" "$context"
}

# container SERVICE [NUMBER]: its name.
container() {
    docker ps --all --format '{{.Names}}' \
        --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
        --filter "label=com.docker.compose.service=$1" \
        --filter "label=com.docker.compose.container-number=${2:-1}"
}

serves() {
    mkdir -p "$work/certs" "$work/www"
    openssl req -x509 -newkey rsa:2048 -nodes -days 10 -subj /CN=secure.local \
        -keyout "$work/certs/secure.local.key" -out "$work/certs/secure.local.crt"
    chmod -R a+rwX "$work"
    debian_image "$PROMETHEUS_IMAGE" prometheus /bin/prometheus
    debian_image "$NODE_EXPORTER_IMAGE" prometheus-node-exporter /bin/node_exporter
    compose up --detach --no-build --scale app=3 --scale flaky=2
    # Not to be scraped.
    compose run --detach --no-deps --name "$project-once" app
    sed -e "s/PROJECT/$COMPOSE_PROJECT_NAME/; s/NAME/$(container flaky)/" $tests/cadvisor.txt \
        >"$work/www/cadvisor.txt"
}

starts() {
    local lb told
    lb=$(docker inspect --format '{{.Id}} {{.State.StartedAt}}' "$(container lb)")
    told=$(deploy/monitor.sh up)
    say "$told"
    grep -E "^  $(container prometheus)$" <<<"$told"
    grep -E '^Prometheus  http://localhost:[0-9]+ ' <<<"$told"
    # What is missing is named, with what it was for.
    grep -F "grafana: the image $GRAFANA_IMAGE can't be pulled, so there are no dashboards" <<<"$told"
    grep -F "cadvisor: the image $CADVISOR_IMAGE can't be pulled" <<<"$told"
    # What served was left alone.
    [ "$lb" = "$(docker inspect --format '{{.Id}} {{.State.StartedAt}}' "$(container lb)")" ]
}

# live NAME: what Prometheus says; tests/live.py.
live() {
    python3 $tests/live.py "http://127.0.0.1:$prometheus" $boards "$1" "$COMPOSE_PROJECT_NAME"
}

# retried SERVICE: requests to it were sent again.
retried() {
    ask "$(published "$(container lb)" 9180)" /metrics | grep "^lb_retries_total{service=\"$1\"" | grep -v ' 0$'
}

# Containers are killed, stopped and drained by hand, and come back; for a while a service
# has none, so that requests wait; the configuration is read again.
happens() {
    local lb
    lb=$(container lb)
    docker exec "$lb" /lb-bin reload
    docker stop "$(container app 2)"
    docker start "$(container app 2)"
    docker exec "$lb" /lb-bin drain "$(container app 3)"
    docker exec "$lb" /lb-bin undrain "$(container app 3)"
    # Whether it has something to lose at that moment is up to chance.
    for _ in {1..20}; do
        docker kill "$(container flaky)"
        docker start "$(container flaky)"
        if retried flaky.local; then break; fi
    done
    retried flaky.local
    docker kill "$(container flaky)" "$(container flaky 2)"
    live requests_wait
    docker start "$(container flaky)" "$(container flaky 2)"
}

is_healthy() {
    local service state
    for service in prometheus node-exporter; do
        for _ in {1..100}; do
            state=$(docker inspect --format '{{.State.Health.Status}}' "$(container $service)")
            [ "$state" != starting ] || sleep 0.2
        done
        say "$service: $state"
        [ "$state" = healthy ]
    done
}

leaves_what_serves() {
    deploy/monitor.sh down
    [ -z "$(container prometheus)" ]
    [ -n "$(container lb)" ]
    [ -n "$(container app 3)" ]
}

leaves_nothing() {
    docker rm --force "$project-once"
    deploy/demo.sh down
    [ -z "$(docker ps --all --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")" ]
    [ -z "$(docker network ls --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")" ]
}

check "prometheus.yml is well" promtool check config deploy/monitoring/prometheus/prometheus.yml
check "rules are well" promtool check rules deploy/monitoring/prometheus/rules/*.yml
check "alerts fire when they should" promtool test rules $tests/*.yml
check "alerts are tested and explained" tested_and_explained
check "dashboards are what their source makes" made_by_the_source
for it in $(python3 $tests/dashboards.py $boards); do
    check "dashboards: ${it//_/ }" python3 $tests/dashboards.py $boards "$it"
done

if engine_answers; then
    for COMPOSE in "docker compose" docker-compose; do
        if compose version >/dev/null 2>&1; then
            check "$COMPOSE: no service has more than it needs" least_privilege
        else
            say "test $COMPOSE ... isn't here"
        fi
    done
    COMPOSE=''
    find_compose
    settings

    export COMPOSE COMPOSE_PROJECT_NAME=$project COMPOSE_FILE=compose.yaml:$tests/scene.yaml
    export HTTP_PORT=0 ADMIN_PORT=0 PROMETHEUS_PORT=0 GRAFANA_PORT=0 # any that are free
    export PROMETHEUS_IMAGE=$project-prometheus NODE_EXPORTER_IMAGE=$project-node-exporter
    export GRAFANA_IMAGE=nowhere.invalid/grafana CADVISOR_IMAGE=nowhere.invalid/cadvisor
    export SCENE=$work

    check "a balancer serves" serves
    python3 $tests/traffic.py "$(published "$(container lb)" 80)" "$(published "$(container lb)" 443)" &
    traffic=$!
    check "make monitor starts what can be had" starts
    prometheus=$(published "$(container prometheus)" 9090)
    check "things happen" happens
    check "health checks pass" is_healthy
    for it in targets_have_their_labels cadvisor_speaks_of_containers each_rule_is_well \
        each_recording_rule_records each_alert_is_about_something what_is_wrong_is_told; do
        check "Prometheus: ${it//_/ }" live "$it"
    done
    for it in "$boards"/*.json; do
        it=$(basename "$it" .json)
        check "dashboard $it: each panel shows something" live "$it"
    done
    check "make monitor-down leaves what serves" leaves_what_serves
    check "make down leaves nothing" leaves_nothing
fi

verdict
