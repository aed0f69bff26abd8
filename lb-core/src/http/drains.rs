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
            let cut_off = upstream.was_cut_short();
            let ended = cut_off || upstream.load.in_flight() == 0;
            if ended {
                self.metrics.ended(cut_off, now.saturating_duration_since(*since));
            }
            !ended
        });
        self.look_at = now + LOOK;
    }
}
