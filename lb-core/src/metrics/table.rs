use metrics::Unit;

use super::{
    Description, Label,
    Topic::{AccessLog, Discovery, Drains, Endpoints, Pool, Retries, Services, Tls, Upstream},
};
use crate::http::{Refusal, Standing, Truncation};

pub(super) const REQUESTS: &str = "lb_requests_total";
pub(super) const DURATION: &str = "lb_request_duration_seconds";
pub(super) const RESPONSE_BYTES: &str = "lb_response_bytes_total";
pub(super) const REPLIES: &str = "lb_local_replies_total";
pub(super) const UPSTREAM_DURATION: &str = "lb_upstream_request_duration_seconds";
pub(super) const IN_FLIGHT: &str = "lb_requests_in_flight";
pub(super) const ENDPOINTS: &str = "lb_endpoints";
pub(super) const TRUNCATED: &str = "lb_truncated_answers_total";
pub(super) const CONNECT: &str = "lb_upstream_connect_duration_seconds";
pub(super) const FIRST_BYTE: &str = "lb_upstream_first_byte_duration_seconds";
pub(super) const RETRIES: &str = "lb_retries_total";
pub(super) const DENIED: &str = "lb_retries_denied_total";
pub(super) const EJECTIONS: &str = "lb_ejections_total";
pub(super) const DRAINS: &str = "lb_drains_total";
pub(super) const DRAIN_DURATION: &str = "lb_drain_duration_seconds";
pub(super) const WAITING: &str = "lb_requests_waiting";
pub(super) const WAITED: &str = "lb_request_wait_duration_seconds";
pub(super) const CONNECTS: &str = "lb_upstream_connects_total";
pub(super) const REUSED: &str = "lb_upstream_reused_connections_total";
pub(super) const IDLE: &str = "lb_upstream_idle_connections";
pub(super) const READY_DURATION: &str = "lb_endpoint_ready_duration_seconds";
pub(super) const QUARANTINED: &str = "lb_quarantined";
pub(super) const HANDSHAKES: &str = "lb_tls_handshakes_total";
pub(super) const HANDSHAKE_DURATION: &str = "lb_tls_handshake_duration_seconds";
pub(super) const ACME_ORDERS: &str = "lb_acme_orders_total";
pub(super) const ACME_HOSTS: &str = "lb_acme_hosts";
pub(super) const LOG_DROPPED: &str = "lb_access_log_dropped_total";

/// The values of `code`.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Seconds, for requests and what they wait for.
const REQUEST: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Seconds, for opening a connection.
const OPENING: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Seconds, from an endpoint with nothing to do to one with a tunnel or a download.
const DRAIN: &[f64] = &[0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// Seconds, from a server that listens at once to one that first warms up.
const READY: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

const REPLIED: [&str; Refusal::ALL.len()] = {
    let mut reasons = [""; Refusal::ALL.len()];
    let mut at = 0;
    while at < reasons.len() {
        reasons[at] = Refusal::ALL[at].reason();
        at += 1;
    }
    reasons
};

const BROKEN_OFF: [&str; Truncation::ALL.len()] =
    [Truncation::ALL[0].reason(), Truncation::ALL[1].reason()];

/// Everything that lb-core records.
pub const ALL: &[Description] = &[
    Description::counter(
        Services,
        REQUESTS,
        "Requests answered, by class of status. The endpoint is empty where the balancer itself answered, the service where no route was found.",
    )
    .by(&[Label::SERVICE, Label::ENDPOINT, Label::one_of("code", &CLASSES)]),
    Description::seconds(
        Services,
        DURATION,
        REQUEST,
        "Time from the head of a request to the last byte of its answer.",
    )
    .by(&[Label::SERVICE]),
    Description::counter(
        Services,
        RESPONSE_BYTES,
        "Bytes sent to clients in the bodies of answers.",
    )
    .of(Unit::Bytes)
    .by(&[Label::SERVICE]),
    Description::counter(
        Services,
        REPLIES,
        "Requests that the balancer answered itself, by reason.",
    )
    .by(&[Label::one_of("reason", &REPLIED)]),
    Description::counter(
        Services,
        TRUNCATED,
        "Answers that ended before their end, as the endpoint broke off (upstream_reset) or nothing more came in time (upstream_idle).",
    )
    .by(&[Label::one_of("reason", &BROKEN_OFF)]),
    Description::seconds(
        Endpoints,
        UPSTREAM_DURATION,
        REQUEST,
        "Time from handing a request to an endpoint to the last byte of its answer.",
    )
    .by(&[Label::SERVICE, Label::ENDPOINT]),
    Description::gauge(
        Endpoints,
        IN_FLIGHT,
        "Requests sent to an endpoint and not yet finished. Over HTTP/1 each has a connection of its own.",
    )
    .by(&[Label::ENDPOINT]),
    Description::gauge(Endpoints, ENDPOINTS, "Endpoints of a service by state.")
        .by(&[Label::SERVICE, Label::one_of("state", &Standing::NAMES)]),
    Description::seconds(
        Upstream,
        CONNECT,
        OPENING,
        "Time to open a connection to an endpoint, with its TLS handshake where there is one.",
    )
    .by(&[Label::SERVICE]),
    Description::seconds(
        Upstream,
        FIRST_BYTE,
        REQUEST,
        "Time from handing a request to an endpoint to the head of its answer.",
    )
    .by(&[Label::SERVICE]),
    Description::counter(
        Retries,
        RETRIES,
        "Attempts repeated: after a failed connect, on a pooled connection that had gone stale, after a reset before the answer or a refusal (of HTTP/2), because the endpoint hangs (silent) or has ended (left).",
    )
    .by(&[
        Label::SERVICE,
        Label::one_of("reason", &["connect", "stale", "reset", "refused", "silent", "left"]),
    ]),
    Description::counter(
        Retries,
        DENIED,
        "Requests that could have been sent again, and were not because the budget for retries was spent.",
    )
    .by(&[Label::SERVICE]),
    Description::counter(
        Retries,
        EJECTIONS,
        "Times an endpoint was ejected: for failures in a row, for a success rate below that of the others, for giving no answer (silent).",
    )
    .by(&[
        Label::ENDPOINT,
        Label::one_of("reason", &["failures", "success_rate", "silent"]),
    ]),
    Description::counter(
        Drains,
        DRAINS,
        "Endpoints that were told to leave, or were taken away, and have come to the end of it: their last request was finished, or what they still had was cut off as they had ended.",
    )
    .by(&[Label::one_of("outcome", &["finished", "cut_off"])]),
    Description::seconds(
        Drains,
        DRAIN_DURATION,
        DRAIN,
        "Time from an endpoint getting no more requests to the end of its last one.",
    ),
    Description::gauge(
        Drains,
        WAITING,
        "Requests that wait for an endpoint to become ready.",
    )
    .by(&[Label::SERVICE]),
    Description::seconds(
        Drains,
        WAITED,
        REQUEST,
        "Time that requests waited for an endpoint to become ready; those that had not to wait are not counted.",
    )
    .by(&[Label::SERVICE]),
    Description::counter(
        Pool,
        CONNECTS,
        "Connections opened to an endpoint (ok), refused, timed out, without a TLS handshake (tls) or failed otherwise (error).",
    )
    .by(&[
        Label::ENDPOINT,
        Label::one_of("outcome", &["ok", "refused", "timeout", "tls", "error"]),
    ]),
    Description::counter(
        Pool,
        REUSED,
        "Requests sent to an endpoint over a connection that was open already.",
    )
    .by(&[Label::ENDPOINT]),
    Description::gauge(
        Pool,
        IDLE,
        "Open connections to an endpoint that wait for a request, and those of HTTP/2, which carry others meanwhile.",
    )
    .by(&[Label::ENDPOINT]),
    Description::seconds(
        Discovery,
        READY_DURATION,
        READY,
        "Time from when an endpoint that can be reached is wanted first (its source knows its address and calls it healthy, and it is neither drained nor of weight 0) to the first connection it accepted, from when on it gets requests.",
    )
    .by(&[Label::SOURCE]),
    Description::gauge(
        Discovery,
        QUARANTINED,
        "Instances that ask to be routed in a way that can't be understood.",
    ),
    Description::counter(
        Tls,
        HANDSHAKES,
        "Handshakes with clients that were made in full, resumed a session, ended for want of a certificate for the host, failed, or ended as the client left.",
    )
    .by(&[Label::one_of(
        "outcome",
        &["full", "resumed", "no_certificate", "failed", "left"],
    )]),
    Description::seconds(
        Tls,
        HANDSHAKE_DURATION,
        OPENING,
        "Time that handshakes with clients took that were made.",
    ),
    Description::counter(
        Tls,
        ACME_ORDERS,
        "Certificates ordered from an ACME server, by outcome.",
    )
    .by(&[Label::one_of("outcome", &["issued", "failed"])]),
    Description::gauge(
        Tls,
        ACME_HOSTS,
        "Hosts there are to be certificates of an ACME server for, by state; left_alone: another certificate is there; refused: there can be none.",
    )
    .by(&[Label::one_of(
        "state",
        &["refused", "left_alone", "unreadable", "waiting", "ordering", "valid", "failed"],
    )]),
    Description::counter(
        AccessLog,
        LOG_DROPPED,
        "Lines of the access log lost because it was not written fast enough, or could not be written at all: the disk is full, or fails.",
    ),
];
