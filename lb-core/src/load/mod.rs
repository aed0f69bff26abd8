//! How busy an endpoint is, how quick, and whether it may be picked: what
//! balancers read and requests write.

#[cfg(feature = "http-types")]
mod body;
mod latency;
mod lease;
mod results;
mod standing;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::clock;
use latency::Latency;
use results::Tally;
use standing::{Standing, Word};

pub(crate) use standing::{FULL_SHARE, epoch};

#[cfg(feature = "http-types")]
pub use body::{LeasedBody, OnBodyEnd, outcome};
pub use latency::Timing;
pub use lease::{Lease, Outcome};
pub use results::Results;

/// The live side of one endpoint, shared by every snapshot it appears in, so
/// that it survives each rebuild of its cluster.
///
/// Reading never writes: picks on many threads don't contend here.
// In this order what picks read lies together, in as few cache lines as it can.
#[derive(Debug)]
#[repr(C)]
pub struct Load {
    standing: Standing,
    tally: Tally,
    latency: Latency,
}

impl Load {
    /// The load of an idle endpoint that may, or may not yet, be picked.
    pub fn new(ready: bool) -> Self {
        Self { standing: Standing::new(ready), latency: Latency::new(), tally: Tally::default() }
    }

    /// Requests sent to this endpoint and not yet finished.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.tally.in_flight()
    }

    /// Whether a balancer may pick this endpoint: its owner wants it used, and
    /// it is neither unhealthy nor ejected, or there is
    /// [panic](Self::set_panic).
    ///
    /// Pairs with the setters: who sees the endpoint ready sees all that was
    /// done before it was made so.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.standing.is_ready()
    }

    /// Whether its owner wants it used, whatever its health.
    pub fn is_wanted(&self) -> bool {
        self.standing.says(Word::Wanted)
    }

    /// The owner's word on whether this endpoint is to be used. Takes effect at
    /// once, in every snapshot; the order of the others is not disturbed. Says
    /// whether this changed anything.
    pub fn set_ready(&self, ready: bool) -> bool {
        self.standing.set(Word::Wanted, ready)
    }

    /// The word of active health checks; true until one says otherwise. Says
    /// whether this changed anything.
    pub fn set_healthy(&self, healthy: bool) -> bool {
        self.standing.set(Word::Unhealthy, !healthy)
    }

    /// The word of passive outlier detection. Says whether this changed
    /// anything.
    pub fn set_ejected(&self, ejected: bool) -> bool {
        self.standing.set(Word::Ejected, ejected)
    }

    /// The word of who listens whether it answers at all, as
    /// [`Silence`](crate::health::Silence) does. Says whether this changed
    /// anything.
    pub fn set_silent(&self, silent: bool) -> bool {
        self.standing.set(Word::Silent, silent)
    }

    /// Whether it hangs.
    pub(crate) fn is_silent(&self) -> bool {
        self.standing.says(Word::Silent)
    }

    /// Whether it might be picked if it didn't hang.
    #[cfg(feature = "http")]
    pub(crate) fn is_usable(&self) -> bool {
        self.standing.is_ready_but_for(Word::Silent)
    }

    /// While there is panic, health and ejection count for nothing: so few
    /// endpoints are left that sparing the others would only bring them down.
    /// Says whether this changed anything.
    pub fn set_panic(&self, panic: bool) -> bool {
        self.standing.set(Word::Panic, panic)
    }

    /// The part of its usual requests that a cluster gives this endpoint, from
    /// 0 to 1, while it warms up. Works with all algorithms that draw or take
    /// turns; those that hash keep a key where it belongs, and a full scan keeps
    /// to the least busy.
    pub fn set_share(&self, share: f64) {
        self.standing.set_share(share);
    }

    /// Counts one more request in flight, until the lease ends.
    #[inline]
    pub fn lease(self: &Arc<Self>) -> Lease {
        self.tally.begin(usize::MAX);
        Lease::new(Arc::clone(self), None)
    }

    /// A lease, unless `most` requests are in flight already. With the time at
    /// which it begins, how long it takes goes into the endpoint's
    /// [latency](Self::latency).
    #[inline]
    pub fn try_lease(self: &Arc<Self>, most: usize, started: Option<Instant>) -> Option<Lease> {
        self.tally.begin(most).then(|| Lease::new(Arc::clone(self), started))
    }

    /// How leases are timed that know when they began, from now on. A cluster
    /// sets this to what its balancer asks for.
    pub fn set_timing(&self, timing: &Timing) {
        self.latency.set_timing(timing);
    }

    /// The peak-sensitive moving average of how long requests took, as of
    /// `now`; `None` before the first. Only timed leases count.
    pub fn latency(&self, now: Instant) -> Option<Duration> {
        self.latency.at(clock::nanos(now)).map(|nanos| Duration::from_secs_f64(nanos / 1e9))
    }

    /// What a new endpoint is taken for before it has answered, such as the
    /// average of the others. Without effect once it has answered.
    pub fn assume_latency(&self, latency: Duration, now: Instant) {
        self.latency.assume(latency, clock::nanos(now));
    }

    /// Whether it has asked, by [`Outcome::RetryAfter`], to be left alone now.
    pub fn rests(&self, now: Instant) -> bool {
        self.latency.rests(clock::nanos(now))
    }

    /// How its requests ended, so far.
    pub fn results(&self) -> Results {
        self.tally.results()
    }

    /// Has `alert` notified by each failure that makes a run of at least
    /// `consecutive`. The last call counts.
    pub fn alert(&self, consecutive: u32, alert: Arc<Notify>) {
        self.tally.alert(consecutive, alert);
    }

    /// What one more request costs: the latency, and `share` of it for each that
    /// is in flight. `None` where no latency is known.
    ///
    /// Infinite while the endpoint has asked to be left alone. `now` is by
    /// [`clock::nanos`].
    #[inline]
    pub(crate) fn cost(&self, share: f64, now: u64) -> Option<f64> {
        if self.latency.rests(now) {
            return Some(f64::INFINITY);
        }
        // One that is idle is forgiven with time. One that isn't says itself how
        // quick it is, unless it hangs; then time must not make it look better.
        let in_flight = self.in_flight();
        let latency = if in_flight == 0 { self.latency.at(now) } else { self.latency.undecayed() };
        Some(latency? * (1.0 + in_flight as f64 * share))
    }

    /// In 1/256.
    #[inline]
    pub(crate) fn share(&self) -> u16 {
        self.standing.share()
    }
}

#[cfg(all(test, not(lb_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_flip_is_told_from_a_repetition() {
        let load = Load::new(false);
        assert!(load.set_ready(true));
        assert!(!load.set_ready(true));
        assert!(load.is_ready());
    }

    #[test]
    fn every_word_counts_and_panic_outranks_health_alone() {
        let load = Load::new(true);
        load.set_healthy(false);
        assert!(!load.is_ready());
        load.set_panic(true);
        assert!(load.is_ready());
        load.set_ejected(true);
        load.set_healthy(true);
        assert!(load.is_ready());
        load.set_ready(false);
        assert!(!load.is_ready(), "what its owner doesn't want is left alone in a panic too");
        load.set_ready(true);
        load.set_panic(false);
        assert!(!load.is_ready(), "still ejected");
    }
}
