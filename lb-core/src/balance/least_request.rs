use super::{Balancer, Candidate, PickContext};

/// The less busy, for its weight, of two candidates drawn at random.
///
/// Right where requests or servers differ in cost: a slow server collects
/// requests in flight and is left alone. Two random choices find a good server
/// almost as well as looking at all of them, at a cost that doesn't grow with
/// the cluster, and without the herd that all clients picking the same minimum
/// would form (Mitzenmacher, "The Power of Two Choices in Randomized Load
/// Balancing", IEEE TPDS 12(10), 2001).
#[derive(Debug, Default)]
pub struct LeastRequest(());

impl LeastRequest {
    /// Draws from the thread's `fastrand` generator, which tests can seed.
    pub fn new() -> Self {
        Self(())
    }
}

/// Draws before a cluster with few allowed members is searched instead.
const DRAWS: usize = 4;

impl Balancer for LeastRequest {
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        let n = candidates.len();
        if n == 0 {
            return None;
        }
        let mut first = None;
        for _ in 0..DRAWS {
            let at = fastrand::usize(..n);
            if !cx.allows(&candidates[at]) {
                continue;
            }
            match first {
                None => first = Some(at),
                Some(other) if other != at => return Some(less_busy(candidates, other, at)),
                Some(_) => {}
            }
        }
        // One of a few, or one of many that are mostly unready.
        let from = fastrand::usize(..n);
        let found = (0..n)
            .map(|i| (from + i) % n)
            .find(|&at| Some(at) != first && cx.allows(&candidates[at]));
        match (first, found) {
            (Some(a), Some(b)) => Some(less_busy(candidates, a, b)),
            (one, other) => one.or(other),
        }
    }
}

/// Compares (in flight + 1) / weight without dividing. The one added makes an
/// idle heavy server better than an idle light one.
fn less_busy(candidates: &[Candidate], a: usize, b: usize) -> usize {
    let cost = |of: usize, other: usize| {
        (candidates[of].load.in_flight() as u64 + 1)
            .saturating_mul(u64::from(candidates[other].weight))
    };
    if cost(b, a) < cost(a, b) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::test_support::{candidates, counts};

    #[test]
    fn idle_equals_are_picked_evenly() {
        fastrand::seed(7);
        let counts = counts(&LeastRequest::new(), &candidates(5), 100_000);
        assert!(counts.iter().all(|&n| (19_000..21_000).contains(&n)), "{counts:?}");
    }

    #[test]
    fn the_busier_of_two_is_never_picked() {
        let candidates = candidates(2);
        let _busy = candidates[0].load.lease();
        assert_eq!(counts(&LeastRequest::new(), &candidates, 100), [0, 100]);
    }

    #[test]
    fn load_follows_weight() {
        let mut candidates = candidates(2);
        candidates[1].weight = 3;
        let mut leases = Vec::new();
        for _ in 0..400 {
            let at = LeastRequest::new().pick(&candidates, &PickContext::new()).unwrap();
            leases.push(candidates[at].load.lease());
        }
        let heavy = candidates[1].load.in_flight();
        assert!((295..=305).contains(&heavy), "{heavy}");
    }
}
