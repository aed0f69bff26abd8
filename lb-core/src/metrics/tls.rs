use std::time::Instant;

use metrics::{Counter, Histogram, counter, histogram};
#[cfg(feature = "acme")]
use metrics::{Gauge, gauge};

#[cfg(feature = "acme")]
use super::table::{ACME_HOSTS, ACME_ORDERS};
use super::table::{HANDSHAKE_DURATION, HANDSHAKES};
#[cfg(feature = "acme")]
use crate::acme::State;
use crate::{clock, tls::HandshakeError};

/// Handles of handshakes with clients.
#[derive(Debug)]
pub(crate) struct Handshakes {
    full: Counter,
    resumed: Counter,
    no_certificate: Counter,
    failed: Counter,
    left: Counter,
    duration: Histogram,
}

impl Handshakes {
    pub(crate) fn new() -> Self {
        let handshakes = |outcome| counter!(HANDSHAKES, "outcome" => outcome);
        Self {
            full: handshakes("full"),
            resumed: handshakes("resumed"),
            no_certificate: handshakes("no_certificate"),
            failed: handshakes("failed"),
            left: handshakes("left"),
            duration: histogram!(HANDSHAKE_DURATION),
        }
    }

    /// One that was begun then has ended: in a session, resumed or not, or in an error.
    pub(crate) fn count(&self, ended: Result<bool, &HandshakeError>, began: Instant) {
        match ended {
            Ok(resumed) => {
                if resumed { &self.resumed } else { &self.full }.increment(1);
                self.duration.record(clock::now().saturating_duration_since(began));
            }
            Err(HandshakeError::NoCertificate { .. }) => self.no_certificate.increment(1),
            // That was what it was for.
            Err(HandshakeError::Challenge { .. }) => {}
            Err(error) if error.has_left() => self.left.increment(1),
            Err(_) => self.failed.increment(1),
        }
    }
}

/// Handles of orders, and of the hosts they are for.
#[cfg(feature = "acme")]
pub(crate) struct Acme {
    issued: Counter,
    failed: Counter,
    hosts: [(&'static str, Gauge); State::NAMES.len()],
}

#[cfg(feature = "acme")]
impl Acme {
    pub(crate) fn new() -> Self {
        let orders = |outcome| counter!(ACME_ORDERS, "outcome" => outcome);
        Self {
            issued: orders("issued"),
            failed: orders("failed"),
            hosts: State::NAMES.map(|name| (name, gauge!(ACME_HOSTS, "state" => name))),
        }
    }

    /// An order has ended.
    pub(crate) fn ordered(&self, issued: bool) {
        if issued { &self.issued } else { &self.failed }.increment(1);
    }

    /// Sets the number of hosts by state.
    pub(crate) fn hosts<'a>(&self, states: &(impl Iterator<Item = &'a State> + Clone)) {
        for (name, gauge) in &self.hosts {
            let number = states.clone().filter(|state| state.name() == *name).count();
            gauge.set(number as f64);
        }
    }
}
