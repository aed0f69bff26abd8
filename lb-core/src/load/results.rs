use std::sync::{Arc, OnceLock};

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

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

#[derive(Debug, Default)]
pub(super) struct Tally {
    successes: AtomicU64,
    failures: AtomicU64,
    consecutive: AtomicU32,
    alert: OnceLock<(u32, Arc<Notify>)>,
}

impl Tally {
    pub(super) fn success(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        // Nearly always 0 already, and a load is cheaper than a store.
        if self.consecutive.load(Ordering::Relaxed) != 0 {
            self.consecutive.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let run = self.consecutive.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if let Some((threshold, alert)) = self.alert.get()
            && run >= *threshold
        {
            alert.notify_one();
        }
    }

    pub(super) fn results(&self) -> Results {
        Results {
            successes: self.successes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            consecutive_failures: self.consecutive.load(Ordering::Relaxed),
        }
    }

    pub(super) fn alert(&self, consecutive: u32, alert: Arc<Notify>) {
        let _ = self.alert.set((consecutive, alert));
    }
}
