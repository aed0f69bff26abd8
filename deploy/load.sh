#!/usr/bin/env bash
# Requests to what `make up` started, or to URL, shown live (make load). The generator is
# in app-bin, which `make up` has compiled: nothing is installed.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

if [ -z "${URL:-}" ]; then
    if engine_answers 2>/dev/null; then
        URL=$(deploy/demo.sh url) ||
            die "no URL to send requests to; there is also make load URL=http://localhost:8080"
    else
        URL=http://localhost:${HTTP_PORT:-8080} # where `make demo` listens
    fi
    # The hello server answers them all alike, and they can be told apart in pictures.
    PATHS=${PATHS:-/,/products,/products/42,/cart,/api/orders,/api/orders/7,/images/logo.svg,/search?q=lb}
fi

# Both programs, so that nothing is compiled anew for another choice of features.
if [ -d .build/app ] && [ "$(uname -s)" = Linux ]; then
    compile_for_images
else
    cargo build --release --locked -p lb-bin -p app-bin
    binaries=$(target_dir)/release
fi

# HOST_HEADER and not HOST, which some shells set to the name of the machine.
exec "$binaries/app-bin" load "$URL" \
    ${RATE:+--rate="$RATE"} ${DURATION:+--duration="$DURATION"} ${SHAPE:+--shape="$SHAPE"} \
    ${CONNECTIONS:+--connections="$CONNECTIONS"} ${PATHS:+--paths="$PATHS"} \
    ${HOST_HEADER:+--host="$HOST_HEADER"} ${METHOD:+--method="$METHOD"}
