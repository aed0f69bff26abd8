"""One container: what the balancer sees of it, what it takes, and what it says itself."""

from parts import (
    CLASSES,
    CONTAINER,
    ERRORS,
    NONE_IS_GOOD,
    board,
    graph,
    number,
    row,
    spread,
    variable,
)


def container():
    return (
        board(
            CONTAINER,
            "lb / Container",
            "One container: its requests as the balancer sees them, its processor, memory and network, and what it says itself.",
            [variable("container", "Container", 'label_values(lb_requests_total{endpoint!=""}, endpoint)')],
        )
        .with_row(row("As the balancer sees it"))
        .with_panel(
            number(
                "Requests",
                "Requests that it has answered, over the last minute.",
                "reqps",
                'sum(endpoint:lb_requests:rate1m{endpoint="$container"})',
            )
        )
        .with_panel(
            number(
                "Errors",
                "The share of them that it answered 5xx.",
                "percentunit",
                'max(endpoint:lb_request_errors:ratio_rate1m{endpoint="$container"})',
                steps=ERRORS,
            )
        )
        .with_panel(
            number(
                "Half of them in",
                "The median, from handing a request over to the last byte of the answer.",
                "s",
                'max(endpoint:lb_upstream_request_duration_seconds:p50_1m{endpoint="$container"})',
            )
        )
        .with_panel(
            number(
                "99 % in",
                "One of a hundred takes this long or longer.",
                "s",
                'max(endpoint:lb_upstream_request_duration_seconds:p99_1m{endpoint="$container"})',
            )
        )
        .with_panel(
            number(
                "In flight",
                "Requests that were sent to it and aren't finished.",
                "short",
                'sum(endpoint:lb_requests_in_flight:sum{endpoint="$container"})',
            )
        )
        .with_panel(
            number(
                "Left alone",
                "How often it was ejected in the last hour, as it hung or failed.",
                "short",
                'sum(increase(lb_ejections_total{endpoint="$container"}[1h]))',
                steps=NONE_IS_GOOD,
            )
        )
        .with_panel(
            graph(
                "Answers by status",
                "Requests that it answered, by class of status.",
                "reqps",
                [
                    (
                        'sum by (code) (rate(lb_requests_total{endpoint="$container"}[$__rate_interval]))',
                        "{{code}}",
                    )
                ],
                stack=True,
                colors=CLASSES,
            )
        )
        .with_panel(
            spread(
                "Times",
                "How many requests took how long, from handing them over to the last byte of the answer: the stronger the colour, the more.",
                'sum by (le) (rate(lb_upstream_request_duration_seconds_bucket{endpoint="$container"}[$__rate_interval]))',
                width=8,
            )
        )
        .with_panel(
            graph(
                "In flight",
                "Requests that were sent to it and aren't finished, and open connections that wait for one.",
                "short",
                [
                    ('sum(lb_requests_in_flight{endpoint="$container"})', "requests"),
                    ('sum(lb_upstream_idle_connections{endpoint="$container"})', "idle connections"),
                ],
            )
        )
        .with_panel(
            graph(
                "Connections opened",
                "By what became of them. `tls`: the handshake failed.",
                "ops",
                [
                    (
                        'sum by (outcome) (rate(lb_upstream_connects_total{endpoint="$container"}[$__rate_interval]))',
                        "{{outcome}}",
                    )
                ],
                colors={"ok": "green", "refused": "red", "timeout": "orange"},
            )
        )
        .with_panel(
            graph(
                "Connections used again",
                "The share of requests that found a connection open.",
                "percentunit",
                [
                    (
                        """sum(rate(lb_upstream_reused_connections_total{endpoint="$container"}[$__rate_interval]))
                            / (sum(rate(lb_upstream_reused_connections_total{endpoint="$container"}[$__rate_interval]))
                            + sum(rate(lb_upstream_connects_total{endpoint="$container", outcome="ok"}[$__rate_interval])))""",
                        "used again",
                    )
                ],
                most=1,
            )
        )
        .with_panel(
            graph(
                "Left alone",
                "How often it was ejected in five minutes: for failing in a row, for failing more often than others, for giving no answer (silent).",
                "short",
                [('sum by (reason) (increase(lb_ejections_total{endpoint="$container"}[5m]))', "{{reason}}")],
            )
        )
        .with_row(row("What it takes"))
        .with_panel(
            graph(
                "Processor",
                "Processors that it takes up: 1 is one of them, all of the time.",
                "short",
                [
                    (
                        'sum(rate(container_cpu_usage_seconds_total{container="$container"}[$__rate_interval]))',
                        "used",
                    ),
                    (
                        'sum(rate(container_cpu_system_seconds_total{container="$container"}[$__rate_interval]))',
                        "in the kernel",
                    ),
                ],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Memory",
                "Without the cache of files that could be given up, and the limit, if it has one.",
                "bytes",
                [
                    ('sum(container_memory_working_set_bytes{container="$container"})', "used"),
                    ('sum(container_spec_memory_limit_bytes{container="$container"} > 0)', "limit"),
                ],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Network",
                "Bytes that it receives and sends.",
                "Bps",
                [
                    (
                        'sum(rate(container_network_receive_bytes_total{container="$container"}[$__rate_interval]))',
                        "received",
                    ),
                    (
                        'sum(rate(container_network_transmit_bytes_total{container="$container"}[$__rate_interval]))',
                        "sent",
                    ),
                ],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Age",
                "How long it has run.",
                "s",
                [('time() - max(container_start_time_seconds{container="$container"})', "age")],
                width=6,
            )
        )
        .with_row(row("What it says itself, if it is scraped (prometheus-job)"))
        .with_panel(
            graph(
                "Requests by status",
                "As app-bin counts them. `none`: not answered, as the client had left or it was stopped.",
                "reqps",
                [
                    (
                        'sum by (code) (rate(app_requests_total{container="$container"}[$__rate_interval]) > 0)',
                        "{{code}}",
                    )
                ],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Times",
                "As app-bin measures them, from the head of a request to the head of its answer.",
                "s",
                [
                    (
                        """histogram_quantile(0.5, sum by (le)
                            (rate(app_request_duration_seconds_bucket{container="$container"}[$__rate_interval])))""",
                        "50 %",
                    ),
                    (
                        """histogram_quantile(0.99, sum by (le)
                            (rate(app_request_duration_seconds_bucket{container="$container"}[$__rate_interval])))""",
                        "99 %",
                    ),
                ],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Processor of its process",
                "Processors that it takes up, by its own account.",
                "short",
                [
                    (
                        'rate(process_cpu_seconds_total{container="$container"}[$__rate_interval])',
                        "{{job}}",
                    )
                ],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Memory of its process",
                "Resident, by its own account.",
                "bytes",
                [('process_resident_memory_bytes{container="$container"}', "{{job}}")],
                width=6,
            )
        )
    )
