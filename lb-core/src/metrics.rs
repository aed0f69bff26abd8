//! The names of what lb-core records, their descriptions, and handles that are
//! registered once, so that a request only adds to a counter it holds.
//!
//! Series that carry an `endpoint` label are recorded through handles that live
//! as long as the endpoint does; an exporter that follows its handles can let go
//! of them at the same time. Gauges are set by [`Plane::observe`] when somebody
//! looks, and cost the request path nothing.
//!
//! [`Plane::observe`]: crate::http::Plane::observe

use std::sync::Arc;

use ::http::StatusCode;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::http::{Refusal, Truncation};

/// What a metric is, for descriptions and documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution, in buckets.
    Histogram,
}

/// One metric: what it is called and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says, in its unit.
    pub help: &'static str,
}

const REQUESTS: &str = "lb_requests_total";
const DURATION: &str = "lb_request_duration_seconds";
const CONNECT: &str = "lb_upstream_connect_duration_seconds";
const CONNECTS: &str = "lb_upstream_connects_total";
const RETRIES: &str = "lb_retries_total";
const DENIED: &str = "lb_retries_denied_total";
const WAITED: &str = "lb_request_wait_duration_seconds";
const EJECTIONS: &str = "lb_ejections_total";
const REPLIES: &str = "lb_local_replies_total";
const TRUNCATED: &str = "lb_truncated_answers_total";
const WAITING: &str = "lb_requests_waiting";
const IN_FLIGHT: &str = "lb_requests_in_flight";
const IDLE: &str = "lb_upstream_idle_connections";
const ENDPOINTS: &str = "lb_endpoints";
const QUARANTINED: &str = "lb_quarantined";
const ACME_ORDERS: &str = "lb_acme_orders_total";
const ACME_HOSTS: &str = "lb_acme_hosts";
const LOG_DROPPED: &str = "lb_access_log_dropped_total";

/// Everything that lb-core records.
pub const ALL: &[Description] = &[
    Description {
        name: REQUESTS,
        kind: Kind::Counter,
        labels: &["service", "endpoint", "code"],
        help: "Requests answered, by class of status (2xx). The endpoint is empty where the balancer itself answered, the service where no route was found.",
    },
    Description {
        name: DURATION,
        kind: Kind::Histogram,
        labels: &["service"],
        help: "Time from the head of a request to the last byte of its answer, in seconds.",
    },
    Description {
        name: CONNECT,
        kind: Kind::Histogram,
        labels: &["service"],
        help: "Time to open a connection to an endpoint, in seconds.",
    },
    Description {
        name: CONNECTS,
        kind: Kind::Counter,
        labels: &["endpoint", "outcome"],
        help: "Connections opened to an endpoint (ok), refused, timed out, without a TLS handshake (tls) or failed otherwise (error).",
    },
    Description {
        name: RETRIES,
        kind: Kind::Counter,
        labels: &["service", "reason"],
        help: "Attempts repeated: after a failed connect, on a pooled connection that had gone stale, after a reset before the answer or a refusal (of HTTP/2), because the endpoint hangs (silent) or has ended (left).",
    },
    Description {
        name: DENIED,
        kind: Kind::Counter,
        labels: &["service"],
        help: "Requests that could have been sent again, and were not because the budget for retries was spent.",
    },
    Description {
        name: WAITED,
        kind: Kind::Histogram,
        labels: &["service"],
        help: "Time that requests waited for an endpoint to become ready, in seconds; those that had not to wait are not counted.",
    },
    Description {
        name: EJECTIONS,
        kind: Kind::Counter,
        labels: &["endpoint", "reason"],
        help: "Times an endpoint was ejected: for failures in a row, for a success rate below that of the others, for giving no answer (silent).",
    },
    Description {
        name: REPLIES,
        kind: Kind::Counter,
        labels: &["reason"],
        help: "Requests that the balancer answered itself, by reason.",
    },
    Description {
        name: TRUNCATED,
        kind: Kind::Counter,
        labels: &["reason"],
        help: "Answers that ended before their end, as the endpoint broke off (upstream_reset) or nothing more came in time (upstream_idle).",
    },
    Description {
        name: WAITING,
        kind: Kind::Gauge,
        labels: &["service"],
        help: "Requests that wait for an endpoint to become ready.",
    },
    Description {
        name: IN_FLIGHT,
        kind: Kind::Gauge,
        labels: &["endpoint"],
        help: "Requests sent to an endpoint and not yet finished.",
    },
    Description {
        name: IDLE,
        kind: Kind::Gauge,
        labels: &["endpoint"],
        help: "Open connections to an endpoint that wait for a request.",
    },
    Description {
        name: ENDPOINTS,
        kind: Kind::Gauge,
        labels: &["service", "state"],
        help: "Endpoints of a service by state: ready, connecting, ejected, draining or down.",
    },
    Description {
        name: QUARANTINED,
        kind: Kind::Gauge,
        labels: &[],
        help: "Instances that ask to be routed in a way that can't be understood.",
    },
    Description {
        name: ACME_ORDERS,
        kind: Kind::Counter,
        labels: &["outcome"],
        help: "Certificates ordered from an ACME server, by outcome: issued or failed.",
    },
    Description {
        name: ACME_HOSTS,
        kind: Kind::Gauge,
        labels: &["state"],
        help: "Hosts there are to be certificates of an ACME server for, by state: valid, waiting, ordering, failed, left_alone (another certificate is there), refused (there can be none) or unreadable.",
    },
    Description {
        name: LOG_DROPPED,
        kind: Kind::Counter,
        labels: &[],
        help: "Lines of the access log lost because it was not written fast enough.",
    },
];

/// Tells the recorder in force what each metric means. Call it once, when the
/// recorder is installed.
pub fn describe() {
    for metric in ALL {
        let unit = metric.name.ends_with("_seconds").then_some(Unit::Seconds);
        match (metric.kind, unit) {
            (Kind::Counter, _) => describe_counter!(metric.name, metric.help),
            (Kind::Gauge, _) => describe_gauge!(metric.name, metric.help),
            (Kind::Histogram, Some(unit)) => {
                describe_histogram!(metric.name, unit, metric.help);
            }
            (Kind::Histogram, None) => describe_histogram!(metric.name, metric.help),
        }
    }
}

/// Requests of one endpoint for one service, by class of status.
pub(crate) struct Classes([Counter; 5]);

impl Classes {
    pub(crate) fn new(service: &Arc<str>, endpoint: &Arc<str>) -> Self {
        let counter = |code| counter!(REQUESTS, "service" => service.clone(), "endpoint" => endpoint.clone(), "code" => code);
        Self(["1xx", "2xx", "3xx", "4xx", "5xx"].map(counter))
    }

    pub(crate) fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.0[class - 1].increment(1);
    }
}

/// Handles of one service.
pub(crate) struct Service {
    pub(crate) duration: Histogram,
    pub(crate) connect: Histogram,
    pub(crate) retried_connect: Counter,
    pub(crate) retried_stale: Counter,
    pub(crate) retried_reset: Counter,
    pub(crate) retried_refused: Counter,
    pub(crate) retried_silent: Counter,
    pub(crate) retried_left: Counter,
    pub(crate) denied: Counter,
    pub(crate) waited: Histogram,
    pub(crate) waiting: Gauge,
    /// What the balancer answered in this service's name.
    pub(crate) local: Classes,
    endpoints: [Gauge; 5],
}

impl Service {
    pub(crate) fn new(service: &Arc<str>) -> Self {
        let retried = |reason| counter!(RETRIES, "service" => service.clone(), "reason" => reason);
        let state = |state| gauge!(ENDPOINTS, "service" => service.clone(), "state" => state);
        Self {
            duration: histogram!(DURATION, "service" => service.clone()),
            connect: histogram!(CONNECT, "service" => service.clone()),
            retried_connect: retried("connect"),
            retried_stale: retried("stale"),
            retried_reset: retried("reset"),
            retried_refused: retried("refused"),
            retried_silent: retried("silent"),
            retried_left: retried("left"),
            denied: counter!(DENIED, "service" => service.clone()),
            waited: histogram!(WAITED, "service" => service.clone()),
            waiting: gauge!(WAITING, "service" => service.clone()),
            local: Classes::new(service, &Arc::from("")),
            endpoints: ["ready", "connecting", "ejected", "draining", "down"].map(state),
        }
    }

    /// Sets the number of endpoints that are ready, connecting, ejected, draining,
    /// down.
    pub(crate) fn endpoints(&self, numbers: [usize; 5]) {
        for (gauge, number) in self.endpoints.iter().zip(numbers) {
            gauge.set(number as f64);
        }
    }
}

/// Handles of one endpoint.
pub(crate) struct Upstream {
    pub(crate) connected: Counter,
    pub(crate) refused: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) insecure: Counter,
    pub(crate) failed: Counter,
    pub(crate) ejected_failures: Counter,
    pub(crate) ejected_rate: Counter,
    pub(crate) ejected_silent: Counter,
    pub(crate) in_flight: Gauge,
    pub(crate) idle: Gauge,
}

impl Upstream {
    pub(crate) fn new(endpoint: &Arc<str>) -> Self {
        let connects =
            |outcome| counter!(CONNECTS, "endpoint" => endpoint.clone(), "outcome" => outcome);
        let ejected =
            |reason| counter!(EJECTIONS, "endpoint" => endpoint.clone(), "reason" => reason);
        Self {
            connected: connects("ok"),
            refused: connects("refused"),
            timed_out: connects("timeout"),
            insecure: connects("tls"),
            failed: connects("error"),
            ejected_failures: ejected("failures"),
            ejected_rate: ejected("success_rate"),
            ejected_silent: ejected("silent"),
            in_flight: gauge!(IN_FLIGHT, "endpoint" => endpoint.clone()),
            idle: gauge!(IDLE, "endpoint" => endpoint.clone()),
        }
    }
}

/// Handles of what belongs to no service.
pub(crate) struct Global {
    pub(crate) unrouted: Classes,
    pub(crate) quarantined: Gauge,
    local: [Counter; Refusal::ALL.len()],
    truncated: [Counter; Truncation::ALL.len()],
}

impl Global {
    pub(crate) fn new() -> Self {
        let none = Arc::from("");
        Self {
            unrouted: Classes::new(&none, &none),
            quarantined: gauge!(QUARANTINED),
            local: Refusal::ALL.map(|refusal| counter!(REPLIES, "reason" => refusal.reason())),
            truncated: Truncation::ALL.map(|why| counter!(TRUNCATED, "reason" => why.reason())),
        }
    }

    /// An answer ended early.
    pub(crate) fn truncated(&self, why: Truncation) {
        self.truncated[why as usize].increment(1);
    }

    /// The balancer itself has answered, for this reason.
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.local[refusal as usize].increment(1);
    }
}

/// Lines of the access log that were lost.
pub(crate) fn log_dropped() -> Counter {
    counter!(LOG_DROPPED)
}

/// An order of a certificate has ended.
#[cfg(feature = "acme")]
pub(crate) fn acme_ordered(issued: bool) {
    counter!(ACME_ORDERS, "outcome" => if issued { "issued" } else { "failed" }).increment(1);
}

/// Sets the number of hosts by state.
#[cfg(feature = "acme")]
pub(crate) fn acme_hosts(states: impl Iterator<Item = &'static str>) {
    let mut numbers = crate::acme::State::NAMES.map(|name| (name, 0_u32));
    for state in states {
        for (name, number) in &mut numbers {
            *number += u32::from(*name == state);
        }
    }
    for (name, number) in numbers {
        gauge!(ACME_HOSTS, "state" => name).set(number);
    }
}
