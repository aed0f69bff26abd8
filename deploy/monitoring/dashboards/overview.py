"""How all services are, at a glance."""

from parts import (
    ERRORS,
    NONE_IS_BAD,
    NONE_IS_GOOD,
    OVERVIEW,
    STATES,
    board,
    graph,
    number,
    row,
    rows,
    to_container,
    to_service,
    variable,
)


def overview():
    services = '{service=~"$service"}'
    return (
        board(
            OVERVIEW,
            "lb / Overview",
            "Requests, errors and times of all services, the containers behind them, the balancer and its machine.",
            [variable("service", "Service", 'label_values(lb_requests_total{service!=""}, service)', many=True)],
        )
        .with_row(row("Now"))
        .with_panel(
            number(
                "Requests",
                "Requests that were answered, over the last minute.",
                "reqps",
                f"sum(service:lb_requests:rate1m{services})",
            )
        )
        .with_panel(
            number(
                "Errors",
                "The share of requests that were answered 5xx, by containers or by the balancer, over the last minute.",
                "percentunit",
                """sum(rate(lb_requests_total{service=~"$service", code="5xx"}[1m]))
                    / sum(rate(lb_requests_total{service=~"$service"}[1m]))""",
                steps=ERRORS,
            )
        )
        .with_panel(
            number(
                "Slowest hundredth",
                "One of a hundred requests takes this long or longer, from its head to the last byte of its answer.",
                "s",
                f"histogram_quantile(0.99, sum by (le) (rate(lb_request_duration_seconds_bucket{services}[1m])))",
            )
        )
        .with_panel(
            number(
                "Ready",
                "Containers that can take requests.",
                "short",
                'max(sum by (instance) (lb_endpoints{service=~"$service", state="ready"}))',
                steps=NONE_IS_BAD,
            )
        )
        .with_panel(
            number("Clients", "Connections of clients that are open.", "short", "sum(lb_client_connections)")
        )
        .with_panel(
            number(
                "Alerts",
                "Alerts that fire. The table below says which.",
                "short",
                'count(ALERTS{alertstate="firing"}) or vector(0)',
                steps=NONE_IS_GOOD,
            )
        )
        .with_panel(
            rows(
                "Alerts",
                "What fires, or is about to (pending). docs/operations.md says what each means, and what to do.",
                "short",
                [("ALERTS", "Active")],
                hide=["Value", "job", "compose_project", "compose_service"],
                height=6,
            )
        )
        .with_row(row("Services"))
        .with_panel(
            rows(
                "Services",
                "Each service over the last minute. Its name leads to its own dashboard.",
                "short",
                [
                    (f"sum by (service) (service:lb_requests:rate1m{services})", "Requests"),
                    (f"sum by (service) (service:lb_request_errors:ratio_rate1m{services})", "Errors"),
                    (f"sum by (service) (service:lb_request_duration_seconds:p50_1m{services})", "Half of them in"),
                    (f"sum by (service) (service:lb_request_duration_seconds:p90_1m{services})", "90 % in"),
                    (f"sum by (service) (service:lb_request_duration_seconds:p99_1m{services})", "99 % in"),
                    (f"sum by (service) (service:lb_endpoints_ready:ratio{services})", "Containers ready"),
                    (f"sum by (service) (service:lb_retries:ratio_rate1m{services})", "Sent again"),
                ],
                units={
                    "Requests": "reqps",
                    "Errors": "percentunit",
                    "Half of them in": "s",
                    "90 % in": "s",
                    "99 % in": "s",
                    "Containers ready": "percentunit",
                    "Sent again": "percentunit",
                },
                links={"service": to_service("${__value.text}")},
            )
        )
        .with_panel(
            graph(
                "Requests",
                "Requests answered, by service.",
                "reqps",
                [(f"sum by (service) (rate(lb_requests_total{services}[$__rate_interval]))", "{{service}}")],
                link=to_service("${__field.labels.service}"),
            )
        )
        .with_panel(
            graph(
                "Errors",
                "The share of requests that were answered 5xx, by service.",
                "percentunit",
                [
                    (
                        """sum by (service) (rate(lb_requests_total{service=~"$service", code="5xx"}[$__rate_interval]))
                            / sum by (service) (rate(lb_requests_total{service=~"$service"}[$__rate_interval]))""",
                        "{{service}}",
                    )
                ],
                link=to_service("${__field.labels.service}"),
            )
        )
        .with_panel(
            graph(
                "Slowest hundredth",
                "99 of a hundred requests take less, by service.",
                "s",
                [
                    (
                        f"""histogram_quantile(0.99, sum by (service, le)
                            (rate(lb_request_duration_seconds_bucket{services}[$__rate_interval])))""",
                        "{{service}}",
                    )
                ],
                link=to_service("${__field.labels.service}"),
            )
        )
        .with_row(row("Containers"))
        .with_panel(
            graph(
                "Requests of each container",
                "How requests are shared out.",
                "reqps",
                [
                    (
                        """sum by (endpoint) (rate(lb_requests_total{service=~"$service", endpoint!=""}[$__rate_interval]))""",
                        "{{endpoint}}",
                    )
                ],
                link=to_container("${__field.labels.endpoint}"),
            )
        )
        .with_panel(
            graph(
                "Slowest hundredth of each container",
                "99 of a hundred requests that were sent to it take less, from then to the last byte of the answer.",
                "s",
                [
                    (
                        f"""histogram_quantile(0.99, sum by (endpoint, le)
                            (rate(lb_upstream_request_duration_seconds_bucket{services}[$__rate_interval])))""",
                        "{{endpoint}}",
                    )
                ],
                link=to_container("${__field.labels.endpoint}"),
            )
        )
        .with_panel(
            graph(
                "States",
                "Containers by what the balancer knows of them. Connecting: it doesn't accept yet. Ejected: it hung or failed, and is left alone for a while. Draining: it was told to stop.",
                "short",
                [(f"max by (state) (sum by (instance, state) (lb_endpoints{services}))", "{{state}}")],
                stack=True,
                colors=STATES,
            )
        )
        .with_panel(
            graph(
                "Processor of each container",
                "Processors that it takes up: 1 is one of them, all of the time.",
                "short",
                [
                    (
                        'sum by (container) (rate(container_cpu_usage_seconds_total{container!=""}[$__rate_interval]))',
                        "{{container}}",
                    )
                ],
                width=12,
                link=to_container("${__field.labels.container}"),
            )
        )
        .with_panel(
            graph(
                "Memory of each container",
                "Without the cache of files that could be given up (the working set).",
                "bytes",
                [('sum by (container) (container_memory_working_set_bytes{container!=""})', "{{container}}")],
                width=12,
                link=to_container("${__field.labels.container}"),
            )
        )
        .with_row(row("The balancer's machine"))
        .with_panel(
            graph(
                "Processors",
                "How busy they are.",
                "percentunit",
                [
                    (
                        '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))',
                        "the machine",
                    ),
                    ("instance:lb_cpu:ratio_rate1m", "the balancer's workers {{container}}"),
                ],
                width=6,
                most=1,
            )
        )
        .with_panel(
            graph(
                "Load",
                "Processes that run or wait, over 1 and 5 minutes, and how many processors there are.",
                "short",
                [
                    ("node_load1", "1 minute"),
                    ("node_load5", "5 minutes"),
                    ('count by (instance) (node_cpu_seconds_total{mode="idle"})', "processors"),
                ],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Memory",
                "What the machine has, and what of it is in use and can't be had back.",
                "bytes",
                [
                    ("node_memory_MemTotal_bytes", "all"),
                    ("node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes", "in use"),
                ],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Disks",
                "How full they are.",
                "percentunit",
                [
                    (
                        """1 - node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|squashfs|iso9660|overlay"}
                            / (node_filesystem_size_bytes > 0)""",
                        "{{mountpoint}}",
                    )
                ],
                width=6,
                most=1,
            )
        )
    )
