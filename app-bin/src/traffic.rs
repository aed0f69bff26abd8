//! The requests a server has seen and has yet to answer.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::StatusCode;

use crate::metrics::Metrics;

/// Counts the requests of one server, with and without a metrics recorder.
#[derive(Debug)]
pub(crate) struct Traffic {
    requests: AtomicU64,
    in_flight: AtomicU64,
    since: Instant,
    first: OnceLock<Duration>,
    metrics: Metrics,
}

impl Traffic {
    /// No request yet, of a server that listens since now.
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self {
            requests: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            since: Instant::now(),
            first: OnceLock::new(),
            metrics,
        }
    }

    /// Requests received since the start.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests received and not answered yet.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Time from listening to the first request, once there was one.
    pub(crate) fn first(&self) -> Option<Duration> {
        self.first.get().copied()
    }

    /// Counts a connection as open, until that is dropped.
    pub(crate) fn connect(&self) -> Connection<'_> {
        self.metrics.connected();
        Connection(self)
    }

    /// Counts a request that comes in, until the visit is dropped.
    pub(crate) fn enter(&self) -> Visit<'_> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.first.get_or_init(|| self.since.elapsed());
        self.metrics.began();
        Visit { traffic: self, since: self.metrics.is_on().then(Instant::now), answer: None }
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection<'a>(&'a Traffic);

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.0.metrics.disconnected();
    }
}

/// A request in flight.
///
/// A visit that is dropped without an answer counts as such: that is how a
/// request ends whose client has left.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    traffic: &'a Traffic,
    since: Option<Instant>,
    answer: Option<StatusCode>,
}

impl Visit<'_> {
    /// Ends the visit with an answer.
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.answer = Some(status);
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let after = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        self.traffic.metrics.ended(self.answer, after);
        self.traffic.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_in_flight_until_they_end() {
        let traffic = Traffic::new(Metrics::default());
        assert_eq!(traffic.first(), None);
        let answered = traffic.enter();
        let first = traffic.first();
        let abandoned = traffic.enter();
        assert!(first.is_some() && traffic.first() == first, "the first stays the first");
        assert_eq!((traffic.requests(), traffic.in_flight()), (2, 2));
        answered.answered(StatusCode::OK);
        drop(abandoned);
        assert_eq!((traffic.requests(), traffic.in_flight()), (2, 0));
    }
}
