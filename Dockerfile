# The images, from source:
#
#   docker build --target lb  -t lb:local .
#   docker build --target app -t app:local .
#
# `make images` compiles with the host's cargo instead, which is incremental and
# needs no registry, and builds the last stages of this file around what came out.

FROM rust:1 AS build
WORKDIR /src
COPY . .
RUN triple=$(rustc -vV | sed -n 's/^host: //p') \
    && RUSTFLAGS="-C target-feature=+crt-static" \
       cargo build --release --locked --target "$triple" -p lb-bin -p app-bin \
    && cp "target/$triple/release/lb-bin" "target/$triple/release/app-bin" /

# The hello server of the demo and of the tests.
FROM scratch AS app
LABEL org.opencontainers.image.title="app" \
      org.opencontainers.image.description="A hello server that can misbehave: the backend behind the load balancer" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /app-bin /app-bin
# Only the port that greets: a balancer takes the sole exposed port for the one
# to send requests to. Metrics and control are on 8485.
EXPOSE 8484
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=3s --start-period=5s --retries=3 CMD ["/app-bin", "check"]
ENTRYPOINT ["/app-bin"]

# The balancer. Without a USER, so root: whoever swaps nginx-proxy for this image
# mounts a socket that belongs to root:docker and says nothing of groups. With the
# group known no root is needed; compose.yaml shows how.
FROM scratch AS lb
LABEL org.opencontainers.image.title="lb" \
      org.opencontainers.image.description="A load balancer for containers: finds them over the Docker socket, routes to them, drops nothing" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /lb-bin /lb-bin
EXPOSE 80 443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/lb-bin", "check"]
ENTRYPOINT ["/lb-bin"]
