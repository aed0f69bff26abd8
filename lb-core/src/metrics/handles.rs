use std::{sync::Arc, time::Duration};

use ::http::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::table::{
    CLASSES, CONNECT, CONNECTS, DENIED, DRAIN_DURATION, DRAINS, DURATION, EJECTIONS, ENDPOINTS,
    FIRST_BYTE, IDLE, IN_FLIGHT, LOG_DROPPED, QUARANTINED, READY_DURATION, REPLIES, REQUESTS,
    RESPONSE_BYTES, RETRIES, REUSED, TRUNCATED, UPSTREAM_DURATION, WAITED, WAITING,
};
use crate::http::{Refusal, Standing, Truncation};

/// Requests of one endpoint for one service, by class of status.
pub(crate) struct Classes([Counter; 5]);

impl Classes {
    pub(crate) fn new(service: &Arc<str>, endpoint: &Arc<str>) -> Self {
        let counter = |code| counter!(REQUESTS, "service" => service.clone(), "endpoint" => endpoint.clone(), "code" => code);
        Self(CLASSES.map(counter))
    }

    pub(crate) fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.0[class - 1].increment(1);
    }
}

/// Handles of one endpoint in the role it has for one service.
pub(crate) struct Target {
    pub(crate) classes: Classes,
    /// From handing a request over to the end of its answer.
    pub(crate) duration: Histogram,
}

impl Target {
    pub(crate) fn new(service: &Arc<str>, endpoint: &Arc<str>) -> Self {
        Self {
            classes: Classes::new(service, endpoint),
            duration: histogram!(UPSTREAM_DURATION, "service" => service.clone(), "endpoint" => endpoint.clone()),
        }
    }
}

/// Handles of one service.
pub(crate) struct Service {
    pub(crate) duration: Histogram,
    pub(crate) sent: Counter,
    pub(crate) connect: Histogram,
    pub(crate) first_byte: Histogram,
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
            sent: counter!(RESPONSE_BYTES, "service" => service.clone()),
            connect: histogram!(CONNECT, "service" => service.clone()),
            first_byte: histogram!(FIRST_BYTE, "service" => service.clone()),
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
            endpoints: Standing::NAMES.map(state),
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
    pub(crate) reused: Counter,
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
            reused: counter!(REUSED, "endpoint" => endpoint.clone()),
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

/// Handles of endpoints that leave.
pub(crate) struct Drains {
    finished: Counter,
    cut_off: Counter,
    duration: Histogram,
}

impl Drains {
    pub(crate) fn new() -> Self {
        let drains = |outcome| counter!(DRAINS, "outcome" => outcome);
        Self {
            finished: drains("finished"),
            cut_off: drains("cut_off"),
            duration: histogram!(DRAIN_DURATION),
        }
    }

    /// One has come to its end, after so long.
    pub(crate) fn ended(&self, cut_off: bool, took: Duration) {
        if cut_off { &self.cut_off } else { &self.finished }.increment(1);
        self.duration.record(took);
    }
}

/// How long endpoints of this source take to be ready.
pub(crate) fn ready(source: &Arc<str>) -> Histogram {
    histogram!(READY_DURATION, "source" => source.clone())
}

/// Lines of the access log that were lost.
pub(crate) fn log_dropped() -> Counter {
    counter!(LOG_DROPPED)
}
