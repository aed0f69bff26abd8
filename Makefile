# The commands. What takes more than a few lines is in deploy/.

# Ctrl-C leaves nothing half-written that a later run would take for whole.
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help up scale down logs demo images test fuzz chaos soak bench compare overhead peers routing simulate fmt lint doc release-check correctness clients attacks metrics-doc load logstalgia jmeter pictures monitor monitor-down dashboards monitor-test

CARGO ?= cargo

help: ## Lists this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

up: ## Builds and starts the balancer and SCALE=2 apps: HTTP_PORT=80, ADMIN_PORT=9180
	@deploy/demo.sh up

scale: ## Changes how many apps run, e.g. make scale SCALE=5
	@deploy/demo.sh scale

down: ## Stops and removes what up started
	@deploy/demo.sh down

monitor: ## Prometheus, Grafana, node-exporter, cAdvisor beside it: PROMETHEUS_PORT=9090, GRAFANA_PORT=3000
	@deploy/monitor.sh up

monitor-down: ## Stops and removes what monitor started, but for its data
	@deploy/monitor.sh down

logs: ## Follows the access log
	@deploy/demo.sh logs

load: ## Requests to what up started, shown live: RATE=200 DURATION=1m SHAPE=spike URL=...
	@deploy/load.sh

logstalgia: ## The live access log in Logstalgia (installs it), a paddle for each container
	@deploy/logstalgia.sh

jmeter: ## Runs the plan of deploy/jmeter (installs JMeter): SCENARIO=spike THREADS=20 DURATION=60
	@deploy/jmeter.sh

pictures: ## Takes the pictures of Logstalgia and of the live page anew, into docs/pictures
	@PROJECT=shop PICTURE=docs/pictures/logstalgia.png deploy/see-it-work.sh
	@deploy/pictures.sh

demo: ## The proxy and its apps in one process, without Docker: HTTP_PORT=8080
	$(CARGO) run --release --locked -p lb-bin -- demo \
	    --listen 127.0.0.1:$(or $(HTTP_PORT),8080) --admin 127.0.0.1:$(or $(ADMIN_PORT),9180)

images: ## Builds the images lb:local and app:local
	@deploy/images.sh

test: ## Runs every test, those with containers too
	@deploy/test.sh

fuzz: ## Feeds everything that parses with inputs nobody thought of: SECONDS=60 for each target
	@deploy/fuzz.sh $(or $(SECONDS),60)

chaos: ## What restarts, failures and updates cost, at length: into docs/reliability.md
	@deploy/chaos.sh long

soak: ## Random changes under load, every request counted: MINUTES=30 SEED=N
	@MINUTES=$(or $(MINUTES),30) SEED=$(SEED) deploy/chaos.sh soak

bench: ## Runs the micro-benchmarks
	$(CARGO) bench --locked -p benches

compare: ## Processor time per request beside nginx and HAProxy (installs them)
	@deploy/compare.sh

overhead: ## What metrics, access log, live page and traces cost a request
	@deploy/overhead.sh $(ARGS)

correctness: ## HTTP under attack, beside five other proxies: into docs/correctness.md
	@deploy/correctness.sh $(ARGS)

clients: ## curl, h2load and slowhttptest as clients (installs them)
	@deploy/clients.sh

attacks: ## Slow clients, floods and large bodies, and what they cost: into docs/attacks.md
	@deploy/attacks.sh $(ARGS)

dashboards: ## Makes Grafana's dashboards anew from deploy/monitoring/dashboards
	@deploy/dashboards.sh

monitor-test: images ## Prometheus, its rules and every panel's query, over real traffic (installs them)
	@deploy/monitor-test.sh

peers: ## Picks beside those of tower and pingora, on one thread and on eight
	$(CARGO) bench --locked --manifest-path benches/peers/Cargo.toml
	$(CARGO) run --release --locked --manifest-path benches/peers/Cargo.toml --bin contention

routing: images ## Time from "listens" to the first request, over 20 containers
	$(CARGO) build --release --locked -p lb-bin -p benches
	$(CARGO) run --release --locked -p benches --bin time-to-route

simulate: ## Every algorithm in every kind of trouble, simulated: ARGS="--scenario slow"
	$(CARGO) run --release --locked -p benches --bin simulate -- $(ARGS)

metrics-doc: ## Writes docs/metrics.md anew, from the descriptions in the code
	LB_METRICS_DOC=write $(CARGO) test --quiet --locked -p lb-bin --bin lb-bin metrics::reference

fmt: ## Formats the code
	$(CARGO) fmt

lint: ## Checks format, clippy and the scripts
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets --all-features --locked -- -D warnings
	@deploy/lint.sh

doc: ## Builds the documentation, in target/doc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features --locked

release-check: ## What a release needs besides tests: features, MSRV, licences, packages
	@deploy/release-check.sh
