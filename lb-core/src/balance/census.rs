#[cfg(lb_loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(lb_loom))]
use std::sync::atomic::{AtomicU64, Ordering};

use super::Candidate;
use crate::load::epoch;

/// How much of a group's weight is ready, counted again only when readiness has
/// changed somewhere.
///
/// The count and the epoch for which it holds are one atomic, so that a count
/// which took long never stands for a later epoch.
#[derive(Debug)]
pub(super) struct Census {
    /// The epoch's lower half, and the part that is ready as the bits of an f32.
    cell: AtomicU64,
    weights: u64,
}

impl Census {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let weights = candidates.iter().map(|candidate| u64::from(candidate.weight)).sum();
        let cell = AtomicU64::new(count(epoch(), weights, candidates));
        Self { cell, weights }
    }

    /// The weight of those that are ready.
    #[inline]
    pub(super) fn ready(&self, candidates: &[Candidate]) -> f64 {
        let now = epoch();
        let mut cell = self.cell.load(Ordering::Relaxed);
        if cell >> 32 != now & LOWER {
            let counted = count(now, self.weights, candidates);
            // If another one was quicker, its count is as good or better.
            let _ = self.cell.compare_exchange(cell, counted, Ordering::Relaxed, Ordering::Relaxed);
            cell = counted;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
        let part = f32::from_bits(cell as u32);
        f64::from(part) * self.weights as f64
    }

    /// The weight of all.
    pub(super) fn weights(&self) -> f64 {
        self.weights as f64
    }
}

const LOWER: u64 = 0xffff_ffff;

fn count(epoch: u64, weights: u64, candidates: &[Candidate]) -> u64 {
    let ready: u64 = candidates
        .iter()
        .filter(|candidate| candidate.load.is_ready())
        .map(|candidate| u64::from(candidate.weight))
        .sum();
    #[expect(clippy::cast_possible_truncation, reason = "a part of 1")]
    let part = (ready as f64 / weights.max(1) as f64) as f32;
    (epoch & LOWER) << 32 | u64::from(part.to_bits())
}

/// Run by `RUSTFLAGS="--cfg lb_loom" cargo test -p lb-core --lib loom`.
#[cfg(all(test, lb_loom))]
mod loom_tests {
    use std::sync::Arc;

    use loom::thread;

    use super::*;
    use crate::balance::test_support::candidates;

    #[test]
    fn no_count_outlives_what_it_counted() {
        loom::model(|| {
            let candidates = Arc::new(candidates(2));
            let census = Census::new(&candidates);
            let flips = {
                let candidates = candidates.clone();
                thread::spawn(move || {
                    candidates[0].load.set_healthy(false);
                    candidates[1].load.set_healthy(false);
                    candidates[0].load.set_healthy(true);
                })
            };
            // One count that the flips may overtake, and one when they are over.
            assert!((0.0..=2.0).contains(&census.ready(&candidates)));
            flips.join().unwrap();
            assert_eq!(census.ready(&candidates), 1.0);
        });
    }
}
