use std::sync::atomic::{AtomicU64, Ordering};

use super::Candidate;
use crate::load::epoch;

/// How much of a group's weight is ready, counted again only when readiness has
/// changed somewhere.
#[derive(Debug)]
pub(super) struct Census {
    ready: AtomicU64,
    /// The epoch at which it was counted.
    at: AtomicU64,
    weights: u64,
}

impl Census {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let weights = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
        Self { ready: AtomicU64::new(0), at: AtomicU64::new(u64::MAX), weights }
    }

    /// The weight of those that are ready.
    #[inline]
    pub(super) fn ready(&self, candidates: &[Candidate]) -> u64 {
        let now = epoch();
        // Taken before counting: a flip meanwhile has the next one count again.
        // Others use the old count while one counts.
        if self.at.load(Ordering::Relaxed) != now && self.at.swap(now, Ordering::Relaxed) != now {
            let ready = candidates
                .iter()
                .filter(|candidate| candidate.load.is_ready())
                .map(|candidate| u64::from(candidate.weight))
                .sum();
            self.ready.store(ready, Ordering::Relaxed);
        }
        self.ready.load(Ordering::Relaxed)
    }

    /// The weight of all.
    pub(super) fn weights(&self) -> u64 {
        self.weights
    }
}
