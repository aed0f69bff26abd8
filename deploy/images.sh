#!/usr/bin/env bash
# Builds the images (make images). The Dockerfile says what they are; here its
# last stages get binaries that the host's cargo compiled, so that a change costs
# an incremental build and no image has to be pulled.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

engine_answers || die "no Docker engine to build images with."

quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        die "this failed: $*"
    fi
    rm -f "$log"
}

if [ "$(uname -s)" != Linux ]; then
    # What this machine compiles wouldn't run in a container.
    docker build --target app -t "$APP_IMAGE" .
    docker build --target lb -t "$LB_IMAGE" .
    exit
fi

compile_for_images

# Docker finds out by itself whether anything changed: an image that is up to
# date keeps its id, and compose its container.
image() {
    local stage=$1 name=$2 context=.build/$1
    mkdir -p "$context"
    cp -f "$binaries/$stage-bin" "$context/" # one that still runs keeps the old one
    awk -v stage="$stage" '/^FROM / { on = $NF == stage } on' Dockerfile |
        sed 's/--from=build //' >"$context/Dockerfile"
    quietly docker build --tag "$name" "$context"
}
image app "$APP_IMAGE"
image lb "$LB_IMAGE"
say "images: $LB_IMAGE $APP_IMAGE"
