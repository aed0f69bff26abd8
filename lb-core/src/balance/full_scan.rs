use std::cmp::Ordering;

use super::{Balancer, Candidate, PickContext, least_request::compare_load};

/// The least busy of all candidates, for its weight; of those that tie, any, as
/// often as its weight says.
///
/// What nginx and HAProxy call least connections. One balancer that sees all
/// requests does a little better with it than with [`LeastRequest`]; several
/// that each see a part gain little. A pick looks at every
/// candidate, so its cost grows with the cluster.
///
/// [`LeastRequest`]: super::LeastRequest
#[derive(Debug, Default)]
pub struct FullScan(());

impl FullScan {
    /// Breaks ties by the thread's `fastrand` generator, which tests can seed.
    pub fn new() -> Self {
        Self(())
    }
}

impl Balancer for FullScan {
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut tied = 0;
        for (at, candidate) in candidates.iter().enumerate().filter(|(_, one)| cx.allows(one)) {
            let weight = u64::from(candidate.weight);
            let order = best.map(|best| compare_load(candidate, &candidates[best]));
            match order {
                Some(Ordering::Greater) => continue,
                // Each of those that tie is kept as often as its weight says.
                Some(Ordering::Equal) => {
                    tied += weight;
                    if fastrand::u64(..tied) >= weight {
                        continue;
                    }
                }
                Some(Ordering::Less) | None => tied = weight,
            }
            best = Some(at);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::test_support::{candidates, weighted};

    #[test]
    fn requests_that_stay_are_even_within_one_for_each_weight() {
        let candidates = weighted([1, 2, 3]);
        let mut leases = Vec::new();
        for _ in 0..60 {
            let at = FullScan::new().pick(&candidates, &PickContext::new()).unwrap();
            leases.push(candidates[at].load.lease());
        }
        let loads: Vec<_> = candidates.iter().map(|one| one.load.in_flight()).collect();
        assert_eq!(loads, [10, 20, 30]);
    }

    #[test]
    fn the_only_idle_one_is_found() {
        let candidates = candidates(50);
        let _leases: Vec<_> =
            (0..50).filter(|&i| i != 37).map(|i| candidates[i].load.lease()).collect();
        assert_eq!(FullScan::new().pick(&candidates, &PickContext::new()), Some(37));
    }
}
