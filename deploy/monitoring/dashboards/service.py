"""One service: its requests, what they wait for, and the containers that answer them."""

from parts import (
    CLASSES,
    ERRORS,
    SERVICE,
    STATES,
    board,
    graph,
    number,
    row,
    rows,
    spread,
    to_container,
    variable,
)


def service():
    return (
        board(
            SERVICE,
            "lb / Service",
            "Rate, errors and duration of one service, where the time goes, and its containers.",
            [variable("service", "Service", 'label_values(lb_requests_total{service!=""}, service)')],
        )
        .with_row(row("Now"))
        .with_panel(
            number(
                "Requests",
                "Requests that were answered, over the last minute.",
                "reqps",
                'service:lb_requests:rate1m{service="$service"}',
            )
        )
        .with_panel(
            number(
                "Errors",
                "The share of requests that were answered 5xx, over the last minute.",
                "percentunit",
                'service:lb_request_errors:ratio_rate1m{service="$service"}',
                steps=ERRORS,
            )
        )
        .with_panel(
            number(
                "Half of them in",
                "The median, from the head of a request to the last byte of its answer.",
                "s",
                'service:lb_request_duration_seconds:p50_1m{service="$service"}',
            )
        )
        .with_panel(
            number(
                "99 % in",
                "One of a hundred takes this long or longer.",
                "s",
                'service:lb_request_duration_seconds:p99_1m{service="$service"}',
            )
        )
        .with_panel(
            number(
                "Containers ready",
                "The share of its containers that can take requests.",
                "percentunit",
                'service:lb_endpoints_ready:ratio{service="$service"}',
                steps={None: "red", 0.5: "yellow", 1: "green"},
            )
        )
        .with_panel(
            number(
                "Waiting",
                "Requests that wait for a container to become ready.",
                "short",
                'sum(lb_requests_waiting{service="$service"})',
                steps={None: "green", 1: "yellow", 100: "red"},
            )
        )
        .with_row(row("Rate, errors, duration"))
        .with_panel(
            graph(
                "Answers by status",
                "Requests answered, by class of status. Those of the balancer itself are among them.",
                "reqps",
                [
                    (
                        'sum by (code) (rate(lb_requests_total{service="$service"}[$__rate_interval]))',
                        "{{code}}",
                    )
                ],
                stack=True,
                colors=CLASSES,
            )
        )
        .with_panel(
            graph(
                "Errors",
                "The share of requests that were answered 5xx: by all, by containers, and by the balancer itself where no container could.",
                "percentunit",
                [
                    (
                        """sum(rate(lb_requests_total{service="$service", code="5xx"}[$__rate_interval]))
                            / sum(rate(lb_requests_total{service="$service"}[$__rate_interval]))""",
                        "all",
                    ),
                    (
                        """sum(rate(lb_requests_total{service="$service", code="5xx", endpoint!=""}[$__rate_interval]))
                            / sum(rate(lb_requests_total{service="$service"}[$__rate_interval]))""",
                        "of containers",
                    ),
                    (
                        """sum(rate(lb_requests_total{service="$service", code="5xx", endpoint=""}[$__rate_interval]))
                            / sum(rate(lb_requests_total{service="$service"}[$__rate_interval]))""",
                        "of the balancer",
                    ),
                ],
            )
        )
        .with_panel(
            graph(
                "Budget of errors",
                "The share of errors over different times. The alerts ErrorBudgetBurnsFast (1.44 % over 5 m and 1 h) and ErrorBudgetBurnsSlowly (0.6 % over 30 m and 6 h) look at these.",
                "percentunit",
                [
                    ('service:lb_request_errors:ratio_rate5m{service="$service"}', "5 minutes"),
                    ('service:lb_request_errors:ratio_rate30m{service="$service"}', "30 minutes"),
                    ('service:lb_request_errors:ratio_rate1h{service="$service"}', "1 hour"),
                    ('service:lb_request_errors:ratio_rate6h{service="$service"}', "6 hours"),
                ],
            )
        )
        .with_panel(
            spread(
                "Times",
                "How many requests took how long: the stronger the colour, the more.",
                'sum by (le) (rate(lb_request_duration_seconds_bucket{service="$service"}[$__rate_interval]))',
            )
        )
        .with_panel(
            graph(
                "Times",
                "So many of a hundred requests take less.",
                "s",
                [
                    (quantile(0.5, "lb_request_duration_seconds"), "50 %"),
                    (quantile(0.9, "lb_request_duration_seconds"), "90 %"),
                    (quantile(0.99, "lb_request_duration_seconds"), "99 %"),
                ],
                width=12,
            )
        )
        .with_row(row("Where the time goes"))
        .with_panel(
            graph(
                "Half of them",
                "The median of each part: opening a connection to a container (where none was open), from handing a request over to the first byte of the answer, and the whole of it as clients see it.",
                "s",
                phases(0.5),
                width=6,
            )
        )
        .with_panel(
            graph(
                "The slowest hundredth",
                "The same parts, of which 99 of a hundred take less.",
                "s",
                phases(0.99),
                width=6,
            )
        )
        .with_panel(
            graph(
                "Waiting for a container",
                "Requests that wait for one to become ready.",
                "short",
                [('sum(lb_requests_waiting{service="$service"})', "waiting")],
                width=6,
            )
        )
        .with_panel(
            graph(
                "Had to wait",
                "How long those waited that had to; 99 of a hundred of them less.",
                "s",
                [(quantile(0.99, "lb_request_wait_duration_seconds"), "99 %")],
                width=6,
            )
        )
        .with_row(row("Containers"))
        .with_panel(
            rows(
                "Containers",
                "Each container over the last minute, as the balancer sees it. Its name leads to its own dashboard.",
                "short",
                [
                    ('sum by (endpoint) (endpoint:lb_requests:rate1m{service="$service"})', "Requests"),
                    ('sum by (endpoint) (endpoint:lb_request_errors:ratio_rate1m{service="$service"})', "Errors"),
                    ('sum by (endpoint) (endpoint:lb_upstream_request_duration_seconds:p50_1m{service="$service"})', "Half of them in"),
                    ('sum by (endpoint) (endpoint:lb_upstream_request_duration_seconds:p99_1m{service="$service"})', "99 % in"),
                ],
                units={
                    "Requests": "reqps",
                    "Errors": "percentunit",
                    "Half of them in": "s",
                    "99 % in": "s",
                },
                links={"endpoint": to_container("${__value.text}")},
            )
        )
        .with_panel(
            graph(
                "Requests of each",
                "How requests are shared out.",
                "reqps",
                [
                    (
                        """sum by (endpoint) (rate(lb_requests_total{service="$service", endpoint!=""}[$__rate_interval]))""",
                        "{{endpoint}}",
                    )
                ],
                link=to_container("${__field.labels.endpoint}"),
            )
        )
        .with_panel(
            graph(
                "States",
                "Its containers by what the balancer knows of them.",
                "short",
                [('max by (state) (sum by (instance, state) (lb_endpoints{service="$service"}))', "{{state}}")],
                stack=True,
                colors=STATES,
            )
        )
        .with_panel(
            graph(
                "Sent again",
                "Attempts that were repeated, by what the first one met, and those for which the budget was spent (denied).",
                "reqps",
                [
                    (
                        'sum by (reason) (rate(lb_retries_total{service="$service"}[$__rate_interval]))',
                        "{{reason}}",
                    ),
                    ('sum(rate(lb_retries_denied_total{service="$service"}[$__rate_interval]))', "denied"),
                ],
            )
        )
        .with_panel(
            graph(
                "Bytes of answers",
                "Bodies that were sent to clients.",
                "Bps",
                [('sum(rate(lb_response_bytes_total{service="$service"}[$__rate_interval]))', "sent")],
                width=24,
            )
        )
    )


def quantile(share, histogram):
    return f"""histogram_quantile({share}, sum by (le)
        (rate({histogram}_bucket{{service="$service"}}[$__rate_interval])))"""


def phases(share):
    return [
        (quantile(share, "lb_upstream_connect_duration_seconds"), "connection"),
        (quantile(share, "lb_upstream_first_byte_duration_seconds"), "first byte"),
        (quantile(share, "lb_request_duration_seconds"), "all"),
    ]
