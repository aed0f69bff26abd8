use std::sync::{Arc, Mutex};

#[cfg(lb_loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(lb_loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

use super::Outcome;
use crate::sync::lock;

/// How the requests of one endpoint ended. The counts only grow.
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

/// Requests that have begun, and those that have ended, by how they did. What is
/// in flight is the difference, so no end has to be written twice.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Tally {
    begun: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    consecutive: AtomicU32,
    /// Looked at by failures only.
    alert: Mutex<Option<(u32, Arc<Notify>)>>,
}

impl Tally {
    #[inline]
    pub(super) fn in_flight(&self) -> usize {
        // Who has ended is looked at first, so it has begun by the second look;
        // were the two reordered, the difference might be less than none.
        let ended = self.ended();
        let begun = self.begun.load(Ordering::Relaxed);
        usize::try_from(begun.saturating_sub(ended)).unwrap_or(usize::MAX)
    }

    #[inline]
    fn ended(&self) -> u64 {
        self.succeeded.load(Ordering::Acquire)
            + self.failed.load(Ordering::Acquire)
            + self.cancelled.load(Ordering::Acquire)
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
            let in_flight = begun.saturating_sub(self.ended());
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
                self.succeeded.fetch_add(1, Ordering::Release);
            }
            Some(Outcome::Failure | Outcome::RetryAfter(_)) => self.failure(),
            None => {
                self.cancelled.fetch_add(1, Ordering::Release);
            }
        }
    }

    fn failure(&self) {
        self.failed.fetch_add(1, Ordering::Release);
        let run = self.consecutive.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if let Some((threshold, alert)) = &*lock(&self.alert)
            && run >= *threshold
        {
            alert.notify_one();
        }
    }

    pub(super) fn results(&self) -> Results {
        Results {
            successes: self.succeeded.load(Ordering::Relaxed),
            failures: self.failed.load(Ordering::Relaxed),
            consecutive_failures: self.consecutive.load(Ordering::Relaxed),
        }
    }

    pub(super) fn alert(&self, consecutive: u32, alert: Arc<Notify>) {
        *lock(&self.alert) = Some((consecutive, alert));
    }
}
