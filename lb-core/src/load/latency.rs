#[cfg(lb_loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(lb_loom))]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Outcome;
use crate::clock::duration_nanos as nanos;

/// How requests are timed, for a balancer that wants to know how quick its
/// candidates are.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Timing {
    /// In this time an old observation loses all but 1/e of its weight.
    pub decay: Duration,
    /// A request that failed counts as one that took this long, or as long as
    /// it did take if that was longer. Otherwise an endpoint that fails at once
    /// would look like the quickest of all.
    pub failure_penalty: Duration,
}

impl Timing {
    /// What an endpoint asks for in `Retry-After` is granted up to this.
    pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
}

/// Ten seconds of decay, and a penalty of one second.
impl Default for Timing {
    fn default() -> Self {
        Self { decay: Duration::from_secs(10), failure_penalty: Duration::from_secs(1) }
    }
}

/// A moving average that rises to a peak at once and falls with time.
///
/// Two atomics, without a lock between them. A writer first claims the time
/// since the last observation, so no interval decays the average twice, and
/// then merges its own into it, so none is lost. A reader in between sees an
/// average that is one observation too old or decayed one interval too far,
/// which the next read mends.
#[derive(Debug)]
pub(super) struct Latency {
    /// Nanoseconds, as the bits of an f64; negative before the first.
    average: AtomicU64,
    /// When it was last merged into, by [`clock::nanos`](crate::clock::nanos).
    merged: AtomicU64,
    /// 1 / decay, for each nanosecond, as the bits of an f64.
    rate: AtomicU64,
    /// Until when the endpoint has asked to be left alone.
    resumes: AtomicU64,
    /// For failures, in nanoseconds.
    penalty: AtomicU64,
}

const NONE: f64 = -1.0;

impl Latency {
    pub(super) fn new() -> Self {
        let this = Self {
            average: AtomicU64::new(NONE.to_bits()),
            merged: AtomicU64::new(0),
            resumes: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            penalty: AtomicU64::new(0),
        };
        this.set_timing(&Timing::default());
        this
    }

    pub(super) fn set_timing(&self, timing: &Timing) {
        let rate = 1.0 / (nanos(timing.decay).max(1) as f64);
        self.rate.store(rate.to_bits(), Ordering::Relaxed);
        self.penalty.store(nanos(timing.failure_penalty), Ordering::Relaxed);
    }

    /// The average as of `now`, in nanoseconds.
    #[inline]
    pub(super) fn at(&self, now: u64) -> Option<f64> {
        let average = self.undecayed()?;
        let age = now.saturating_sub(self.merged.load(Ordering::Relaxed));
        Some(average * self.kept(age))
    }

    /// The average as of the last observation, in nanoseconds.
    #[inline]
    pub(super) fn undecayed(&self) -> Option<f64> {
        let average = f64::from_bits(self.average.load(Ordering::Relaxed));
        (average >= 0.0).then_some(average)
    }

    /// Whether the endpoint has asked to be left alone now.
    #[inline]
    pub(super) fn rests(&self, now: u64) -> bool {
        now < self.resumes.load(Ordering::Relaxed)
    }

    pub(super) fn assume(&self, latency: Duration, now: u64) {
        let assumed = nanos(latency) as f64;
        let assume = self.average.compare_exchange(
            NONE.to_bits(),
            assumed.to_bits(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if assume.is_ok() {
            self.merged.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// A request has ended `now` that took so long, in nanoseconds; one without an
    /// outcome was cancelled.
    pub(super) fn ended(&self, took: u64, now: u64, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Success) => self.observe(took, now),
            // No pause at all is no request for one.
            Some(Outcome::RetryAfter(pause)) if !pause.is_zero() => {
                let until = now.saturating_add(nanos(pause.min(Timing::MAX_RETRY_AFTER)));
                self.resumes.fetch_max(until, Ordering::Relaxed);
            }
            Some(Outcome::Failure | Outcome::RetryAfter(_)) => {
                self.observe(took.max(self.penalty.load(Ordering::Relaxed)), now);
            }
            // It would have taken at least this long. That it was cut short
            // must not make a hanging endpoint look quick.
            None if self.at(now).is_some_and(|known| took as f64 > known) => {
                self.observe(took, now);
            }
            None => {}
        }
    }

    fn observe(&self, took: u64, now: u64) {
        let latency = took as f64;
        let before = self.merged.fetch_max(now, Ordering::Relaxed);
        let kept = self.kept(now.saturating_sub(before));
        let merge = |average: f64| {
            if average < latency { latency } else { latency + (average - latency) * kept }
        };
        let mut bits = self.average.load(Ordering::Relaxed);
        while let Err(changed) = self.average.compare_exchange_weak(
            bits,
            merge(f64::from_bits(bits)).to_bits(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            bits = changed;
        }
    }

    /// What is left of an observation of this age.
    #[inline]
    fn kept(&self, age: u64) -> f64 {
        let ages = age as f64 * f64::from_bits(self.rate.load(Ordering::Relaxed));
        // Spares the exponential where it makes no difference that shows.
        if ages < 1e-3 { 1.0 - ages } else { (-ages).exp() }
    }
}

#[cfg(all(test, not(lb_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1000 * MS;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn average(latency: &Latency, now: u64) -> f64 {
        latency.at(now).map_or(f64::NAN, |nanos| nanos / 1e6)
    }

    fn success(latency: &Latency, now: u64, took: Duration) {
        latency.ended(nanos(took), now, Some(Outcome::Success));
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_with_time() {
        let latency = Latency::new();
        assert_eq!(latency.at(0), None);
        success(&latency, SECOND, ms(10));
        success(&latency, SECOND, ms(500));
        assert_eq!(average(&latency, SECOND).round(), 500.0);
        success(&latency, 11 * SECOND, ms(10));
        let expected = 10.0 + 490.0 / std::f64::consts::E;
        assert!((average(&latency, 11 * SECOND) - expected).abs() < 0.1);
        assert!(average(&latency, 71 * SECOND) < 1.0, "an idle one gets another chance");
    }

    #[test]
    fn a_quick_failure_counts_as_a_slow_answer() {
        let latency = Latency::new();
        success(&latency, 0, ms(10));
        latency.ended(MS, MS, Some(Outcome::Failure));
        assert_eq!(average(&latency, MS).round(), 1000.0);
    }

    #[test]
    fn a_cancelled_request_tells_only_that_it_took_longer() {
        let latency = Latency::new();
        latency.ended(5 * MS, 5 * MS, None);
        assert_eq!(latency.at(5 * MS), None, "nothing is known of the first");
        success(&latency, 10 * MS, ms(10));
        latency.ended(5 * MS, 15 * MS, None);
        assert_eq!(average(&latency, 15 * MS).round(), 10.0);
        latency.ended(3000 * MS, 3015 * MS, None);
        assert_eq!(average(&latency, 3015 * MS).round(), 3000.0);
    }

    #[test]
    fn retry_after_is_granted_up_to_a_limit() {
        let latency = Latency::new();
        let asks = |pause| latency.ended(MS, 0, Some(Outcome::RetryAfter(pause)));
        assert!(!latency.rests(0));
        asks(ms(2000));
        assert!(latency.rests(1999 * MS));
        assert!(!latency.rests(2000 * MS));
        asks(Duration::MAX);
        assert!(latency.rests(60 * SECOND - 1));
        assert!(!latency.rests(60 * SECOND));
    }

    #[test]
    fn an_assumption_gives_way_to_what_is_known() {
        let latency = Latency::new();
        latency.assume(ms(20), 0);
        assert_eq!(average(&latency, 0).round(), 20.0);
        success(&latency, 0, ms(50));
        latency.assume(ms(20), 0);
        assert_eq!(average(&latency, 0).round(), 50.0);
    }

    #[test]
    fn a_decay_of_nothing_forgets_at_once_and_is_no_number_nowhere() {
        let latency = Latency::new();
        latency.set_timing(&Timing { decay: Duration::ZERO, failure_penalty: Duration::MAX });
        success(&latency, SECOND, ms(50));
        success(&latency, 2 * SECOND, ms(10));
        assert_eq!(average(&latency, 2 * SECOND).round(), 10.0);
        latency.ended(MS, u64::MAX, Some(Outcome::Failure));
        assert!(average(&latency, u64::MAX).is_finite());
    }

    proptest! {
        /// Whatever is observed in whatever order, the average is a number
        /// between 0 and the slowest.
        #[test]
        fn stays_within_what_was_observed(
            steps in prop::collection::vec((0..100_000_u64, 0..10_000_u64), 1..200),
        ) {
            let latency = Latency::new();
            let mut slowest = 0;
            for (at, took) in steps {
                slowest = slowest.max(took);
                let now = (at + took) * MS;
                success(&latency, now, ms(took));
                let known = average(&latency, now);
                prop_assert!((0.0..=slowest as f64 * 1.000_001).contains(&known), "{known}");
            }
        }
    }
}

/// Run by `RUSTFLAGS="--cfg lb_loom" cargo test -p lb-core --lib loom`.
#[cfg(all(test, lb_loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    #[test]
    fn no_observation_is_lost_and_none_decays_twice() {
        loom::model(|| {
            let latency = Arc::new(Latency::new());
            latency.observe(100_000_000, 0);
            let later = 10_000_000_000;
            let other = latency.clone();
            let there = thread::spawn(move || other.observe(10_000_000, later));
            latency.observe(20_000_000, later);
            let read = latency.at(later).unwrap() / 1e6;
            assert!((5.0..=100.0).contains(&read), "{read}");
            there.join().unwrap();
            // Ten seconds went by once: the 100 ms keep 1/e of their weight,
            // whichever of the two claimed the interval, and the other one
            // moves nothing unless it is a peak.
            let average = latency.at(later).unwrap() / 1e6;
            assert!((40.0..60.0).contains(&average), "{average}");
        });
    }
}
