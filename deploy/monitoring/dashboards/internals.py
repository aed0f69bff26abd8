"""Discovery, and the balancer itself."""

from parts import (
    CLASSES,
    INTERNALS,
    NONE_IS_BAD,
    NONE_IS_GOOD,
    board,
    graph,
    number,
    row,
    rows,
    variable,
)

ONE = '{instance=~"$instance"}'


def internals():
    return (
        board(
            INTERNALS,
            "lb / Discovery and balancer",
            "How containers are found and left, what the balancer answers itself, what it takes, and its certificates.",
            [variable("instance", "Balancer", 'label_values(up{job="lb"}, instance)', many=True)],
        )
        .with_row(row("Discovery"))
        .with_panel(
            number(
                "Source answers",
                "1 while the engine answers.",
                "short",
                f"min(lb_discovery_connected{ONE})",
                steps=NONE_IS_BAD,
                line=False,
            )
        )
        .with_panel(
            number(
                "Last heard of",
                "Time since the engine last said anything. It is asked every second or two.",
                "s",
                f"max(lb_discovery_last_contact_seconds{ONE})",
                steps={None: "green", 5: "yellow", 15: "red"},
            )
        )
        .with_panel(
            number(
                "News take",
                "99 of a hundred events are taken into account within this time of happening.",
                "s",
                f"""histogram_quantile(0.99, sum by (le) (rate(lb_discovery_event_lag_seconds_bucket{ONE}[15m])))""",
                steps={None: "green", 0.1: "yellow", 0.5: "red"},
            )
        )
        .with_panel(
            number(
                "Known to ready",
                "Half of the containers can take requests within this time of being known.",
                "s",
                f"""histogram_quantile(0.5, sum by (le) (rate(lb_endpoint_ready_duration_seconds_bucket{ONE}[15m])))""",
            )
        )
        .with_panel(
            number(
                "Quarantined",
                "Containers that ask for what can't be understood. /endpoints says what is wrong.",
                "short",
                f"max(lb_quarantined{ONE})",
                steps=NONE_IS_GOOD,
                line=False,
            )
        )
        .with_panel(
            number(
                "Complete sets",
                "How often all containers were listed anew: at the start, and after the engine was lost.",
                "short",
                f"sum(lb_discovery_resyncs_total{ONE})",
                line=False,
            )
        )
        .with_panel(
            graph(
                "Events",
                "What the engine says happens to containers, in five minutes.",
                "short",
                [(f"sum by (type) (increase(lb_discovery_events_total{ONE}[5m]))", "{{type}}")],
            )
        )
        .with_panel(
            graph(
                "Inspections",
                "Containers that were asked for in detail: one for each that is new.",
                "ops",
                [(f"sum by (source) (rate(lb_discovery_inspects_total{ONE}[$__rate_interval]))", "{{source}}")],
            )
        )
        .with_panel(
            graph(
                "Drains",
                "Containers that left, in five minutes: all their requests finished, or some cut off as they ended.",
                "short",
                [(f"sum by (outcome) (increase(lb_drains_total{ONE}[5m]))", "{{outcome}}")],
                colors={"finished": "green", "cut_off": "red"},
            )
        )
        .with_panel(
            graph(
                "Draining takes",
                "From being told to leave to the last request, over 15 minutes.",
                "s",
                [
                    (
                        f"histogram_quantile(0.5, sum by (le) (rate(lb_drain_duration_seconds_bucket{ONE}[15m])))",
                        "50 %",
                    ),
                    (
                        f"histogram_quantile(0.99, sum by (le) (rate(lb_drain_duration_seconds_bucket{ONE}[15m])))",
                        "99 %",
                    ),
                ],
                width=24,
            )
        )
        .with_row(row("Clients"))
        .with_panel(
            graph(
                "Connections",
                "Connections of clients that are open, and how many may be (--connections).",
                "short",
                [
                    (f"lb_client_connections{ONE}", "open {{container}}"),
                    (f"lb_client_connections_limit{ONE}", "limit {{container}}"),
                ],
            )
        )
        .with_panel(
            graph(
                "Connections accepted",
                "New connections of clients.",
                "ops",
                [(f"rate(lb_client_connections_accepted_total{ONE}[$__rate_interval])", "{{container}}")],
            )
        )
        .with_panel(
            graph(
                "Connections closed by the balancer",
                "Or not served, by reason: docs/operations.md has what each means.",
                "ops",
                [
                    (
                        f"sum by (reason) (rate(lb_client_connections_closed_total{ONE}[$__rate_interval]))",
                        "{{reason}}",
                    )
                ],
            )
        )
        .with_panel(
            graph(
                "Answered by itself",
                "Requests that got to no container, or got nothing from one, by reason.",
                "reqps",
                [
                    (
                        f"sum by (reason) (rate(lb_local_replies_total{ONE}[$__rate_interval]))",
                        "{{reason}}",
                    )
                ],
            )
        )
        .with_panel(
            graph(
                "Refused before a service was found",
                "Requests of no service, by class of status: bad ones, hosts that nobody names, overload.",
                "reqps",
                [
                    (
                        'sum by (code) (rate(lb_requests_total{instance=~"$instance", service=""}[$__rate_interval]))',
                        "{{code}}",
                    )
                ],
                colors=CLASSES,
            )
        )
        .with_panel(
            graph(
                "Answers cut short",
                "As the container broke off (upstream_reset) or sent nothing more (upstream_idle).",
                "reqps",
                [
                    (
                        f"sum by (reason) (rate(lb_truncated_answers_total{ONE}[$__rate_interval]))",
                        "{{reason}}",
                    )
                ],
            )
        )
        .with_row(row("HTTPS"))
        .with_panel(
            rows(
                "Certificates",
                "Those that are served, and when they expire.",
                "dateTimeFromNow",
                [
                    (
                        f"min by (certificate) (lb_certificate_expiry_timestamp_seconds{ONE}) * 1000",
                        "Expires",
                    )
                ],
                width=8,
            )
        )
        .with_panel(
            graph(
                "Handshakes",
                "Of TLS with clients, by outcome. Resumed ones are cheap.",
                "ops",
                [
                    (
                        f"sum by (outcome) (rate(lb_tls_handshakes_total{ONE}[$__rate_interval]))",
                        "{{outcome}}",
                    )
                ],
                colors={"full": "green", "resumed": "blue", "failed": "red"},
            )
        )
        .with_panel(
            graph(
                "Files and orders",
                "What is wrong with files of certificates, and hosts that are to have one ordered, by state.",
                "short",
                [
                    (f"sum(lb_certificate_problems{ONE})", "problems with files"),
                    (f"sum by (state) (lb_acme_hosts{ONE})", "orders: {{state}}"),
                ],
            )
        )
        .with_row(row("The process"))
        .with_panel(
            graph(
                "Processor",
                "How busy its workers are.",
                "percentunit",
                [('instance:lb_cpu:ratio_rate1m{instance=~"$instance"}', "{{container}}")],
                width=6,
                most=1,
            )
        )
        .with_panel(
            graph(
                "Memory",
                "Resident, as ps shows it; what counts towards the limit; and the limit, if there is one.",
                "bytes",
                [
                    ('process_resident_memory_bytes{job="lb", instance=~"$instance"}', "resident"),
                    (f"lb_memory_bytes{ONE} > 0", "counted"),
                    (f"lb_memory_limit_bytes{ONE} > 0", "limit"),
                ],
                width=6,
            )
        )
        .with_panel(
            graph(
                "How full",
                "The share in use of what it can have. From 90 % of memory on it refuses requests.",
                "percentunit",
                [
                    (f"instance:lb_memory:ratio{ONE}", "memory"),
                    (f"instance:lb_client_connections:ratio{ONE}", "connections"),
                    (f"instance:lb_open_fds:ratio{ONE}", "file descriptors"),
                ],
                width=6,
                most=1,
            )
        )
        .with_panel(
            graph(
                "Descriptors and threads",
                "Open files and sockets, and threads.",
                "short",
                [
                    ('process_open_fds{job="lb", instance=~"$instance"}', "descriptors"),
                    ('process_threads{job="lb", instance=~"$instance"}', "threads"),
                    (f"lb_workers{ONE}", "workers"),
                ],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Access log",
                "Lines that were lost, as whoever takes them is too slow.",
                "short",
                [(f"sum(rate(lb_access_log_dropped_total{ONE}[$__rate_interval]))", "lost each second")],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Configuration",
                "Reloads in an hour, by outcome. One that is invalid changes nothing.",
                "short",
                [(f"sum by (outcome) (increase(lb_config_reloads_total{ONE}[1h]))", "{{outcome}}")],
                width=6,
                colors={"ok": "green", "invalid": "red"},
            )
        )
        .with_panel(
            graph(
                "Age",
                "How long it has run, and since when it has had its configuration.",
                "s",
                [
                    ('time() - process_start_time_seconds{job="lb", instance=~"$instance"}', "process"),
                    (f"time() - lb_config_last_reload_success_timestamp_seconds{ONE}", "configuration"),
                ],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Series",
                "Series that Prometheus gets from it. More containers are more of them; one that is gone takes its own along.",
                "short",
                [('scrape_samples_scraped{job="lb", instance=~"$instance"}', "{{container}}")],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Traces",
                "Requests that were traced, by what became of their spans: the collector took them (ok), didn't (failed), or there were too many (dropped). Without a collector (--traces) there is nothing.",
                "reqps",
                [(f"sum by (outcome) (rate(lb_traces_exported_total{ONE}[$__rate_interval]))", "{{outcome}}")],
                width=6,
                colors={"ok": "green", "failed": "red", "dropped": "orange"},
            )
        )
        .with_panel(
            rows(
                "Versions",
                "What runs.",
                "short",
                [(f"lb_build_info{ONE}", "Runs")],
                hide=["Value", "job", "compose_project", "compose_service"],
                width=18,
            )
        )
    )
