use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::pause::after;
use crate::{endpoint::EndpointId, load::Load};

/// How the share of a newly ready endpoint grows to a full one.
///
/// A server that has just started is slower than it will be: caches are cold,
/// pools empty, code not compiled yet. The formula is Envoy's
/// ([slow start mode](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/slow_start)):
/// `max(min_share, (elapsed / window) ^ (1 / aggression))`. Envoy counts the
/// first second as past; here `min_share` alone is the floor.
///
/// Shares are relative: where all endpoints are new, all have the same.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SlowStart {
    /// How long it takes to reach a full share.
    pub window: Duration,
    /// The share to begin with, from 0 to 1; 0.1.
    pub min_share: f64,
    /// The shape of the growth: 1 is linear, more is faster at first, less is
    /// slower at first; 1. What is not above 0 is read as 1.
    pub aggression: f64,
}

impl SlowStart {
    /// Linear growth over `window`, from a tenth.
    pub fn new(window: Duration) -> Self {
        Self { window, min_share: 0.1, aggression: 1.0 }
    }

    /// Sets the [share](Self#structfield.min_share) to begin with.
    #[must_use]
    pub fn min_share(mut self, share: f64) -> Self {
        self.min_share = share;
        self
    }

    /// Sets the [shape](Self#structfield.aggression) of the growth.
    #[must_use]
    pub fn aggression(mut self, aggression: f64) -> Self {
        self.aggression = aggression;
        self
    }

    /// The share, from 0 to 1, of an endpoint that has been ready for `elapsed`.
    pub fn share(&self, elapsed: Duration) -> f64 {
        if elapsed >= self.window {
            return 1.0;
        }
        let aggression = if self.aggression > 0.0 { self.aggression } else { 1.0 };
        let passed = elapsed.as_secs_f64() / self.window.as_secs_f64();
        passed.powf(1.0 / aggression).max(self.min_share).clamp(0.0, 1.0)
    }
}

impl From<Duration> for SlowStart {
    fn from(window: Duration) -> Self {
        Self::new(window)
    }
}

/// The endpoints of a pool that are warming up.
#[derive(Debug)]
pub(super) struct Warmup {
    slow_start: SlowStart,
    warming: HashMap<EndpointId, (Instant, Arc<Load>)>,
    next_at: Option<Instant>,
}

impl Warmup {
    pub(super) fn new(slow_start: SlowStart) -> Self {
        Self { slow_start, warming: HashMap::new(), next_at: None }
    }

    /// The share of one that isn't ready yet, so that it is small from its very
    /// first request on.
    pub(super) fn await_ready(&self, load: &Load) {
        load.set_share(self.slow_start.share(Duration::ZERO));
    }

    pub(super) fn begin(&mut self, now: Instant, id: EndpointId, load: Arc<Load>) {
        self.await_ready(&load);
        self.warming.insert(id, (now, load));
        self.next_at.get_or_insert(after(now, self.step()));
    }

    /// It is not ready any more. In a panic it counts in full.
    pub(super) fn cancel(&mut self, id: &EndpointId) {
        if let Some((_, load)) = self.warming.remove(id) {
            load.set_share(1.0);
        }
    }

    /// When to [advance](Self::advance).
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.next_at
    }

    pub(super) fn advance(&mut self, now: Instant) {
        if self.next_at.is_none_or(|at| now < at) {
            return;
        }
        let Self { slow_start, warming, .. } = self;
        warming.retain(|_, (since, load)| {
            let elapsed = now.saturating_duration_since(*since);
            load.set_share(slow_start.share(elapsed));
            elapsed < slow_start.window
        });
        self.next_at = (!self.warming.is_empty()).then(|| after(now, self.step()));
    }

    /// Fine enough that no step is felt.
    fn step(&self) -> Duration {
        (self.slow_start.window / 100).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn shares(slow_start: SlowStart) -> [f64; 5] {
        [0, 6, 15, 30, 60].map(|secs| slow_start.share(Duration::from_secs(secs)))
    }

    #[test]
    fn grows_in_a_line_from_a_tenth() {
        assert_eq!(shares(MINUTE.into()), [0.1, 0.1, 0.25, 0.5, 1.0]);
    }

    #[test]
    fn aggression_bends_the_line() {
        let bent = |aggression| shares(SlowStart { aggression, ..SlowStart::new(MINUTE) });
        assert_eq!(bent(2.0)[2], 0.5);
        assert_eq!(bent(0.5)[3], 0.25);
    }

    #[test]
    fn no_window_is_no_slow_start() {
        assert_eq!(SlowStart::new(Duration::ZERO).share(Duration::ZERO), 1.0);
    }

    proptest! {
        #[test]
        fn never_shrinks_and_stays_a_share(
            window in 0_u64..1_000_000,
            min_share in 0.0..=1.0,
            aggression in 0.01..100.0,
            mut elapsed in proptest::collection::vec(0_u64..1_100_000, 1..50),
        ) {
            let window = Duration::from_millis(window);
            let slow_start = SlowStart { window, min_share, aggression };
            elapsed.sort_unstable();
            let mut last = min_share;
            for elapsed in elapsed {
                let share = slow_start.share(Duration::from_millis(elapsed));
                prop_assert!(share >= last && share <= 1.0);
                last = share;
            }
        }

        #[test]
        fn any_numbers_give_a_share(
            window: Duration, min_share: f64, aggression: f64, elapsed: Duration,
        ) {
            let slow_start = SlowStart { window, min_share, aggression };
            prop_assert!((0.0..=1.0).contains(&slow_start.share(elapsed)));
        }
    }
}
