use super::{Balancer, Candidate, PickContext, least_request::is_busier};

/// The least busy of all candidates, for its weight; ties are broken at random.
///
/// What nginx and HAProxy call least connections. One balancer that sees all
/// requests does a little better with it than with [`LeastRequest`]; several
/// that each see a part herd onto the same endpoint. A pick looks at every
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
        let n = candidates.len();
        let from = if n == 0 { 0 } else { fastrand::usize(..n) };
        (from..n).chain(0..from).filter(|&at| cx.allows(&candidates[at])).reduce(|best, at| {
            if is_busier(&candidates[best], &candidates[at]) { at } else { best }
        })
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
