use std::{
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::Load;
use crate::clock;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The endpoint did what was asked of it.
    Success,
    /// It did not: a broken connection, an error, an HTTP status of 500 or more.
    Failure,
    /// It asked to be left alone for this long, as HTTP's `Retry-After` does. A
    /// failure to all; only `peak_ewma` grants the pause, up to
    /// [`Timing::MAX_RETRY_AFTER`](super::Timing::MAX_RETRY_AFTER).
    RetryAfter(Duration),
}

/// One request in flight on one endpoint.
///
/// It ends when it is [finished](Self::finish) or dropped. One that is dropped
/// without an outcome was cancelled: it says nothing about the endpoint but that
/// it took at least so long. Hold it until the last byte of the answer has
/// passed, or a slow download counts as no load at all.
#[derive(Debug)]
#[must_use = "a lease that is dropped at once counts nothing"]
pub struct Lease {
    load: Arc<Load>,
    /// By [`clock::nanos`], if it is timed. A lease is small: it is moved more
    /// often than it is looked at.
    started: Option<NonZeroU64>,
    outcome: Option<Outcome>,
    freed: Option<Arc<Notify>>,
}

impl Lease {
    /// Ends the request now.
    #[inline]
    pub fn finish(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// Ends the request as of `now`, for those who keep their own time.
    pub fn finish_at(mut self, outcome: Outcome, now: Instant) {
        self.outcome = Some(outcome);
        self.time(|| now);
    }

    /// How the request will have ended when the lease is dropped, unless told
    /// otherwise until then.
    #[inline]
    pub fn record(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }

    /// The same, where nothing has been recorded yet.
    #[cfg(feature = "http-types")]
    pub(super) fn record_first(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }

    /// Nothing is known yet of how it will have ended.
    #[cfg(feature = "http-types")]
    pub(super) fn forget_outcome(&mut self) {
        self.outcome = None;
    }

    /// The endpoint it counts for.
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// `load` has counted it already.
    #[inline]
    pub(super) fn new(load: Arc<Load>, started: Option<Instant>) -> Self {
        let nanos = |at| NonZeroU64::new(clock::nanos(at)).unwrap_or(NonZeroU64::MIN);
        Self { load, started: started.map(nanos), outcome: None, freed: None }
    }

    /// Wakes one that waits for room when this lease ends.
    #[inline]
    pub(crate) fn frees(mut self, freed: &Arc<Notify>) -> Self {
        self.freed = Some(Arc::clone(freed));
        self
    }

    #[inline]
    fn time(&mut self, now: impl FnOnce() -> Instant) {
        if let Some(started) = self.started.take() {
            let now = clock::nanos(now());
            self.load.latency.ended(now.saturating_sub(started.get()), now, self.outcome);
        }
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        self.time(clock::now);
        self.load.tally.end(self.outcome);
        if let Some(freed) = &self.freed {
            freed.notify_one();
        }
    }
}

#[cfg(all(test, not(lb_loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_while_it_lives() {
        let load = Arc::new(Load::new(true));
        let (a, b) = (load.lease(), load.lease());
        assert_eq!(load.in_flight(), 2);
        drop(a);
        assert_eq!(load.in_flight(), 1);
        b.finish(Outcome::Success);
        assert_eq!(load.in_flight(), 0);
    }

    #[test]
    fn each_end_is_counted_as_what_it_was() {
        let load = Arc::new(Load::new(true));
        load.lease().finish(Outcome::Success);
        load.lease().finish(Outcome::Failure);
        load.lease().finish(Outcome::RetryAfter(Duration::ZERO));
        drop(load.lease());
        let mut recorded = load.lease();
        recorded.record(Outcome::Failure);
        drop(recorded);
        let results = load.results();
        assert_eq!((results.successes, results.failures), (1, 3));
        assert_eq!(results.consecutive_failures, 3);
        load.lease().finish(Outcome::Success);
        assert_eq!(load.results().consecutive_failures, 0);
    }

    #[test]
    fn a_timed_lease_tells_how_long_it_took() {
        let load = Arc::new(Load::new(true));
        let start = Instant::now();
        let end = start + Duration::from_millis(30);
        load.try_lease(1, Some(start)).unwrap().finish_at(Outcome::Success, end);
        assert_eq!(load.latency(end), Some(Duration::from_millis(30)));
        load.lease().finish(Outcome::Success);
        assert_eq!(load.latency(end), Some(Duration::from_millis(30)));
    }

    #[test]
    fn there_are_never_more_than_the_most() {
        let load = Arc::new(Load::new(true));
        let leases: Vec<_> = (0..5).filter_map(|_| load.try_lease(3, None)).collect();
        assert_eq!(leases.len(), 3);
        drop(leases);
        assert!(load.try_lease(3, None).is_some());
    }

    #[tokio::test]
    async fn a_run_of_failures_gives_the_alert() {
        let load = Arc::new(Load::new(true));
        let alert = Arc::new(Notify::new());
        load.alert(3, Arc::clone(&alert));
        load.lease().finish(Outcome::Failure);
        load.lease().finish(Outcome::Failure);
        assert!(futures_util::FutureExt::now_or_never(alert.notified()).is_none());
        load.lease().finish(Outcome::Failure);
        assert!(futures_util::FutureExt::now_or_never(alert.notified()).is_some());
    }
}

/// Run by `RUSTFLAGS="--cfg lb_loom" cargo test -p lb-core --lib loom`.
#[cfg(all(test, lb_loom))]
mod loom_tests {
    use loom::thread;

    use super::*;

    #[test]
    fn every_interleaving_ends_at_zero() {
        loom::model(|| {
            let load = Arc::new(Load::new(true));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let load = load.clone();
                    thread::spawn(move || {
                        let lease = load.lease();
                        assert!(load.in_flight() >= 1);
                        drop(lease);
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(load.in_flight(), 0);
        });
    }

    #[test]
    fn one_of_two_gets_the_last_place() {
        loom::model(|| {
            let load = Arc::new(Load::new(true));
            let other = load.clone();
            let there = thread::spawn(move || other.try_lease(1, None));
            let here = load.try_lease(1, None);
            let there = there.join().unwrap();
            assert!(here.is_some() ^ there.is_some());
        });
    }

    #[test]
    fn one_of_two_flips_is_the_change() {
        loom::model(|| {
            let load = Arc::new(Load::new(false));
            let other = load.clone();
            let there = thread::spawn(move || other.set_ready(true));
            let here = load.set_ready(true);
            assert!(here ^ there.join().unwrap());
        });
    }
}
