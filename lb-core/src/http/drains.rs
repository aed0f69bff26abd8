use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::upstream::Upstream;
use crate::metrics;

/// Endpoints that get no more requests, until their last one has ended.
///
/// Requests end without a word to anybody, as it would cost each of them something.
/// So somebody looks, for as long as there is anybody to look at.
pub(super) struct Drains {
    under_way: Vec<Drain>,
    look_at: Instant,
    metrics: metrics::Drains,
}

struct Drain {
    upstream: Arc<Upstream>,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Finished,
    /// It had ended, and what it still had was given up.
    CutOff,
}

/// How often somebody looks.
const LOOK: Duration = Duration::from_millis(25);

impl Drains {
    pub(super) fn new(now: Instant) -> Self {
        Self { under_way: Vec::new(), look_at: now, metrics: metrics::Drains::new() }
    }

    /// It gets no more requests from now on.
    pub(super) fn begin(&mut self, upstream: &Arc<Upstream>, now: Instant) {
        if !self.under_way.iter().any(|drain| Arc::ptr_eq(&drain.upstream, upstream)) {
            self.under_way.push(Drain { upstream: Arc::clone(upstream), since: now });
            self.look_at = now;
        }
    }

    /// It is wanted again.
    pub(super) fn end(&mut self, upstream: &Arc<Upstream>) {
        self.under_way.retain(|drain| !Arc::ptr_eq(&drain.upstream, upstream));
    }

    /// When to look next, if there is anything to see.
    pub(super) fn look_at(&self) -> Option<Instant> {
        (!self.under_way.is_empty()).then_some(self.look_at)
    }

    /// Counts those that have come to their end.
    pub(super) fn look(&mut self, now: Instant) {
        self.under_way.retain(|Drain { upstream, since }| {
            let end = end(upstream);
            if let Some(end) = end {
                self.metrics.ended(end == End::CutOff, now.saturating_duration_since(*since));
            }
            end.is_none()
        });
        self.look_at = now + LOOK;
    }
}

/// How its drain has ended, if it has.
fn end(upstream: &Upstream) -> Option<End> {
    if upstream.was_cut_short() {
        return Some(End::CutOff);
    }
    (upstream.load.in_flight() == 0).then_some(End::Finished)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::registry::Transport;

    fn upstream() -> Upstream {
        let key = ("a".into(), ([127, 0, 0, 1], 80).into(), Transport::default());
        Upstream::new(key, "a".into(), 1, mpsc::unbounded_channel().0)
    }

    #[test]
    fn a_drain_ends_with_its_last_request() {
        let upstream = upstream();
        let (one, other) = (upstream.load.lease(), upstream.load.lease());
        assert_eq!(end(&upstream), None);
        drop(one);
        assert_eq!(end(&upstream), None);
        drop(other);
        assert_eq!(end(&upstream), Some(End::Finished));
    }

    #[test]
    fn one_that_is_cut_off_with_requests_under_way_is_not_finished() {
        let (busy, idle) = (upstream(), upstream());
        let lease = busy.load.lease();
        for upstream in [&busy, &idle] {
            upstream.cut_off();
        }
        assert_eq!(end(&idle), Some(End::Finished));
        assert_eq!(end(&busy), Some(End::CutOff));
        // They leave at once.
        drop(lease);
        assert_eq!(end(&busy), Some(End::CutOff));
    }
}
