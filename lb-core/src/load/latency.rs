#[cfg(lb_loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(lb_loom))]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Outcome;

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
    born: Instant,
    /// Nanoseconds, as the bits of an f64; negative before the first.
    average: AtomicU64,
    /// When it was last merged into, in nanoseconds since `born`.
    merged: AtomicU64,
    /// Until when the endpoint has asked to be left alone, likewise.
    resumes: AtomicU64,
    /// The timing, in nanoseconds.
    decay: AtomicU64,
    penalty: AtomicU64,
}

const NONE: f64 = -1.0;

impl Latency {
    pub(super) fn new(born: Instant) -> Self {
        let timing = Timing::default();
        Self {
            born,
            average: AtomicU64::new(NONE.to_bits()),
            merged: AtomicU64::new(0),
            resumes: AtomicU64::new(0),
            decay: AtomicU64::new(nanos(timing.decay)),
            penalty: AtomicU64::new(nanos(timing.failure_penalty)),
        }
    }

    pub(super) fn set_timing(&self, timing: &Timing) {
        self.decay.store(nanos(timing.decay), Ordering::Relaxed);
        self.penalty.store(nanos(timing.failure_penalty), Ordering::Relaxed);
    }

    /// The average as of `now`, in nanoseconds.
    pub(super) fn at(&self, now: Instant) -> Option<f64> {
        let average = f64::from_bits(self.average.load(Ordering::Relaxed));
        if average < 0.0 {
            return None;
        }
        let age = self.nanos(now).saturating_sub(self.merged.load(Ordering::Relaxed));
        Some(average * self.kept(age))
    }

    /// Whether the endpoint has asked to be left alone now.
    pub(super) fn rests(&self, now: Instant) -> bool {
        let resumes = self.resumes.load(Ordering::Relaxed);
        resumes != 0 && self.nanos(now) < resumes
    }

    pub(super) fn assume(&self, latency: Duration, now: Instant) {
        let assumed = nanos(latency) as f64;
        let assume = self.average.compare_exchange(
            NONE.to_bits(),
            assumed.to_bits(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if assume.is_ok() {
            self.merged.fetch_max(self.nanos(now), Ordering::Relaxed);
        }
    }

    /// A request has ended; one without an outcome was cancelled.
    pub(super) fn ended(&self, started: Instant, now: Instant, outcome: Option<Outcome>) {
        let took = nanos(now.saturating_duration_since(started));
        match outcome {
            Some(Outcome::Success) => self.observe(took, now),
            Some(Outcome::Failure) => {
                self.observe(took.max(self.penalty.load(Ordering::Relaxed)), now);
            }
            Some(Outcome::RetryAfter(pause)) => {
                let until = now + pause.min(Timing::MAX_RETRY_AFTER);
                self.resumes.fetch_max(self.nanos(until), Ordering::Relaxed);
            }
            // It would have taken at least this long. That it was cut short
            // must not make a hanging endpoint look quick.
            None if self.at(now).is_some_and(|known| took as f64 > known) => {
                self.observe(took, now);
            }
            None => {}
        }
    }

    fn observe(&self, nanos: u64, now: Instant) {
        let latency = nanos as f64;
        let now = self.nanos(now);
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
    fn kept(&self, age: u64) -> f64 {
        let decay = self.decay.load(Ordering::Relaxed).max(1);
        let ages = age as f64 / decay as f64;
        // Spares the exponential where it makes no difference that shows.
        if ages < 1e-4 { 1.0 - ages } else { (-ages).exp() }
    }

    fn nanos(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.born))
    }
}

/// Enough for 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(lb_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn average(latency: &Latency, now: Instant) -> f64 {
        latency.at(now).map_or(f64::NAN, |nanos| nanos / 1e6)
    }

    fn success(latency: &Latency, now: Instant, took: Duration) {
        latency.ended(now - took, now, Some(Outcome::Success));
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_with_time() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let latency = Latency::new(start);
        assert_eq!(latency.at(start), None);
        success(&latency, at(1), ms(10));
        success(&latency, at(1), ms(500));
        assert_eq!(average(&latency, at(1)).round(), 500.0);
        success(&latency, at(11), ms(10));
        let expected = 10.0 + 490.0 / std::f64::consts::E;
        assert!((average(&latency, at(11)) - expected).abs() < 0.1);
        assert!(average(&latency, at(71)) < 1.0, "an idle one gets another chance");
    }

    #[test]
    fn a_quick_failure_counts_as_a_slow_answer() {
        let start = Instant::now();
        let latency = Latency::new(start);
        success(&latency, start, ms(10));
        latency.ended(start, start + ms(1), Some(Outcome::Failure));
        assert_eq!(average(&latency, start + ms(1)).round(), 1000.0);
    }

    #[test]
    fn a_cancelled_request_tells_only_that_it_took_longer() {
        let start = Instant::now();
        let latency = Latency::new(start);
        latency.ended(start, start + ms(5), None);
        assert_eq!(latency.at(start), None, "nothing is known of the first");
        success(&latency, start + ms(10), ms(10));
        latency.ended(start + ms(10), start + ms(15), None);
        assert_eq!(average(&latency, start + ms(15)).round(), 10.0);
        latency.ended(start + ms(15), start + ms(3015), None);
        assert_eq!(average(&latency, start + ms(3015)).round(), 3000.0);
    }

    #[test]
    fn retry_after_is_granted_up_to_a_limit() {
        let start = Instant::now();
        let latency = Latency::new(start);
        let asks = |pause| {
            latency.ended(start, start, Some(Outcome::RetryAfter(pause)));
        };
        asks(ms(2000));
        assert!(latency.rests(start + ms(1999)));
        assert!(!latency.rests(start + ms(2000)));
        asks(Duration::MAX);
        assert!(latency.rests(start + Timing::MAX_RETRY_AFTER - ms(1)));
        assert!(!latency.rests(start + Timing::MAX_RETRY_AFTER));
    }

    #[test]
    fn an_assumption_gives_way_to_what_is_known() {
        let start = Instant::now();
        let latency = Latency::new(start);
        latency.assume(ms(20), start);
        assert_eq!(average(&latency, start).round(), 20.0);
        success(&latency, start, ms(50));
        latency.assume(ms(20), start);
        assert_eq!(average(&latency, start).round(), 50.0);
    }

    proptest! {
        /// Whatever is observed in whatever order, the average is a number
        /// between 0 and the slowest.
        #[test]
        fn stays_within_what_was_observed(
            steps in prop::collection::vec((0..100_000_u64, 0..10_000_u64), 1..200),
        ) {
            let start = Instant::now();
            let latency = Latency::new(start);
            let mut slowest = 0;
            for (at, took) in steps {
                slowest = slowest.max(took);
                let now = start + ms(at + took);
                latency.ended(start + ms(at), now, Some(Outcome::Success));
                let known = average(&latency, now);
                prop_assert!((0.0..=slowest as f64 * 1.000_001).contains(&known), "{known}");
            }
        }
    }
}

/// Run by `RUSTFLAGS="--cfg lb_loom" cargo test -p lb-core --lib loom`.
#[cfg(all(test, lb_loom))]
mod loom_tests {
    use loom::thread;

    use super::*;

    #[test]
    fn no_observation_is_lost_and_none_decays_twice() {
        loom::model(|| {
            let start = Instant::now();
            let latency = loom::sync::Arc::new(Latency::new(start));
            latency.observe(100_000_000, start);
            let later = start + Duration::from_secs(10);
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
