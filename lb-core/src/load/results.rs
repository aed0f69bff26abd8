use std::sync::{Arc, OnceLock};

#[cfg(lb_loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(lb_loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::Outcome;

/// How the requests of one endpoint ended.
///
/// Counts are taken while requests end, so those of one moment may be off by the
/// few that are ending just then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Results {
    /// Requests that succeeded.
    pub successes: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Failures since the last success.
    pub consecutive_failures: u32,
}

#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Tally {
    /// Requests that have begun, and those of them that have ended: what is in
    /// flight is the difference, and what succeeded needs no count of its own.
    begun: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    consecutive: AtomicU32,
    alert: OnceLock<(u32, Arc<Notify>)>,
}

impl Tally {
    #[inline]
    pub(super) fn in_flight(&self) -> usize {
        // Who has ended is looked at first, so it has begun by the second look;
        // were the two reordered, the difference might be less than none.
        let ended = self.ended.load(Ordering::Acquire);
        let begun = self.begun.load(Ordering::Relaxed);
        usize::try_from(begun.saturating_sub(ended)).unwrap_or(usize::MAX)
    }

    /// One more in flight, unless there are `most` already.
    #[inline]
    pub(super) fn begin(&self, most: usize) -> bool {
        if most == usize::MAX {
            self.begun.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let more = |begun: u64| {
            // Others may end meanwhile, which only makes room.
            let in_flight = begun.saturating_sub(self.ended.load(Ordering::Acquire));
            (in_flight < most as u64).then_some(begun + 1)
        };
        self.begun.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    #[inline]
    pub(super) fn end(&self, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Success) => {
                // Nearly always 0 already, and a load is cheaper than a store.
                if self.consecutive.load(Ordering::Relaxed) != 0 {
                    self.consecutive.store(0, Ordering::Relaxed);
                }
            }
            Some(Outcome::Failure | Outcome::RetryAfter(_)) => self.failure(),
            None => {
                self.cancelled.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.ended.fetch_add(1, Ordering::Release);
    }

    fn failure(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let run = self.consecutive.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if let Some((threshold, alert)) = self.alert.get()
            && run >= *threshold
        {
            alert.notify_one();
        }
    }

    pub(super) fn results(&self) -> Results {
        let ended = self.ended.load(Ordering::Acquire);
        let failures = self.failed.load(Ordering::Relaxed);
        let cancelled = self.cancelled.load(Ordering::Relaxed);
        Results {
            // One that is about to end may be among the others already.
            successes: ended.saturating_sub(failures).saturating_sub(cancelled),
            failures,
            consecutive_failures: self.consecutive.load(Ordering::Relaxed),
        }
    }

    pub(super) fn alert(&self, consecutive: u32, alert: Arc<Notify>) {
        let _ = self.alert.set((consecutive, alert));
    }
}
