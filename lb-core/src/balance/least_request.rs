use super::{Balancer, Candidate, PickContext, draw::Draw};

/// The less busy, for its weight, of two candidates drawn at random.
///
/// Right where requests or servers differ in cost: a slow server collects
/// requests in flight and is left alone. Two random choices find a good server
/// almost as well as looking at all of them, at a cost that doesn't grow with
/// the cluster, and without the herd that all clients picking the same minimum
/// would form (Mitzenmacher, "The Power of Two Choices in Randomized Load
/// Balancing", IEEE TPDS 12(10), 2001).
///
/// Unequal weights follow Envoy's rule for them: idle endpoints get requests as
/// their weights say, busy ones as weight over requests in flight says. Envoy
/// does that with a schedule; here both are drawn by weight, and the one with
/// fewer requests in flight for its weight is taken.
///
/// An endpoint that fails at once is never busy. Where endpoints may do that,
/// take [`PeakEwma`](super::PeakEwma) or have outliers ejected.
#[derive(Debug)]
pub struct LeastRequest(Draw);

impl LeastRequest {
    /// Draws from the thread's `fastrand` generator, which tests can seed.
    pub fn new(candidates: &[Candidate]) -> Self {
        Self(Draw::by_weight(candidates))
    }
}

impl Balancer for LeastRequest {
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        let (first, second) = self.0.two(candidates, cx)?;
        let busier = is_busier(&candidates[first], &candidates[second]);
        Some(if busier { second } else { first })
    }
}

/// Whether `a` has more requests in flight for its weight than `b`, without
/// dividing.
#[inline]
pub(super) fn is_busier(a: &Candidate, b: &Candidate) -> bool {
    let cost =
        |of: &Candidate, other: &Candidate| of.load.in_flight() as u128 * u128::from(other.weight);
    cost(a, b) > cost(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::test_support::{candidates, counts, weighted};

    #[test]
    fn idle_equals_are_picked_evenly() {
        fastrand::seed(7);
        let candidates = candidates(5);
        let counts = counts(&LeastRequest::new(&candidates), &candidates, 100_000);
        assert!(counts.iter().all(|&n| (19_000..21_000).contains(&n)), "{counts:?}");
    }

    #[test]
    fn idle_unequals_are_picked_by_weight() {
        fastrand::seed(7);
        let candidates = weighted([1, 3]);
        let counts = counts(&LeastRequest::new(&candidates), &candidates, 100_000);
        assert!((24_000..26_000).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn the_busier_of_two_is_never_picked() {
        let candidates = candidates(2);
        let _busy = candidates[0].load.lease();
        assert_eq!(counts(&LeastRequest::new(&candidates), &candidates, 100), [0, 100]);
    }

    #[test]
    fn load_follows_weight() {
        let candidates = weighted([1, 3]);
        let balancer = LeastRequest::new(&candidates);
        let mut leases = Vec::new();
        for _ in 0..400 {
            let at = balancer.pick(&candidates, &PickContext::new()).unwrap();
            leases.push(candidates[at].load.lease());
        }
        let heavy = candidates[1].load.in_flight();
        assert!((295..=305).contains(&heavy), "{heavy}");
    }
}
