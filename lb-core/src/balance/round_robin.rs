use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Balancer, Candidate, PickContext, draw::any};

/// Each candidate in turn, whatever its weight or load.
///
/// Right where requests cost about the same and so do servers. Each pick takes
/// a ticket; a ticket whose candidate isn't allowed is thrown away and another
/// taken, so that the turns of those left out are shared by all the others and
/// don't all fall to their neighbours.
#[derive(Debug)]
pub struct RoundRobin {
    next: AtomicUsize,
}

impl RoundRobin {
    /// Starts at a random candidate: a cluster that is rebuilt often would
    /// otherwise favour its first ones.
    pub fn new() -> Self {
        Self { next: AtomicUsize::new(fastrand::usize(..)) }
    }
}

impl Default for RoundRobin {
    fn default() -> Self {
        Self::new()
    }
}

impl Balancer for RoundRobin {
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        let n = candidates.len();
        take_turn(&self.next, n, |ticket| ticket % n, candidates, cx)
    }
}

/// Tickets that one pick may take: other threads want them, too.
const TICKETS: usize = 64;

/// Takes tickets until one is for a candidate that is allowed. `turns` is how
/// many there are before they repeat.
#[inline]
pub(super) fn take_turn(
    next: &AtomicUsize,
    turns: usize,
    candidate: impl Fn(usize) -> usize,
    candidates: &[Candidate],
    cx: &PickContext<'_>,
) -> Option<usize> {
    for _ in 0..turns.min(2 * candidates.len()).min(TICKETS) {
        let at = candidate(next.fetch_add(1, Ordering::Relaxed));
        if cx.allows(&candidates[at]) {
            return Some(at);
        }
    }
    // Others were taking tickets meanwhile and may have had the allowed ones
    // each time, or few are left.
    any(candidates, |at| cx.allows(&candidates[at]), |_| 1)
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::test_support::{candidates, counts};

    #[test]
    fn any_number_of_picks_is_even_within_one() {
        let candidates = candidates(7);
        let counts = counts(&RoundRobin::new(), &candidates, 1000);
        assert!(counts.iter().all(|&n| n == 142 || n == 143), "{counts:?}");
    }

    #[test]
    fn the_turns_of_an_unready_one_are_shared_by_all() {
        let candidates = candidates(4);
        candidates[1].load.set_ready(false);
        assert_eq!(counts(&RoundRobin::new(), &candidates, 900), [300, 0, 300, 300]);
    }

    #[test]
    fn the_position_wraps_without_a_panic() {
        let candidates = candidates(3);
        let balancer = RoundRobin { next: AtomicUsize::new(usize::MAX) };
        assert!(balancer.pick(&candidates, &PickContext::new()).is_some());
        assert!(balancer.pick(&candidates, &PickContext::new()).is_some());
    }
}
