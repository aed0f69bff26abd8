use std::{collections::BTreeMap, sync::Arc};

use super::{
    Balancer, BalancerFactory, Candidate, PickContext,
    group::{Group, lot},
};
use crate::load::Timing;

/// A balancer for candidates that may belong to several priorities: one for each
/// of them, and the requests spill over from one to the next as it fails.
///
/// A level takes all the requests it can until less than 1 / 1.4 of its weight
/// is ready (71 %), then a part in proportion; what is left over goes to the next
/// level. When all levels together can't take everything, each takes more, in
/// proportion to what it has. This is Envoy's rule, with its overprovisioning
/// factor, by weight instead of by number:
/// <https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority>.
pub(super) fn build(candidates: &[Candidate], factory: &dyn BalancerFactory) -> Arc<dyn Balancer> {
    if candidates.windows(2).all(|pair| pair[0].priority == pair[1].priority) {
        return factory.build(candidates);
    }
    let mut levels: BTreeMap<u32, Vec<(usize, Candidate)>> = BTreeMap::new();
    for (at, candidate) in candidates.iter().enumerate() {
        levels.entry(candidate.priority).or_default().push((at, candidate.clone()));
    }
    Arc::new(Levels(levels.into_values().map(|level| Group::new(level, factory)).collect()))
}

pub(crate) const OVERPROVISIONING: f64 = 1.4;

/// The levels, the first choice first.
#[derive(Debug)]
struct Levels(Vec<Group>);

impl Levels {
    /// The part of all requests that each level could take.
    fn health(&self) -> impl Iterator<Item = f64> {
        self.0.iter().map(|level| (OVERPROVISIONING * level.ready() / level.weights()).min(1.0))
    }
}

impl Balancer for Levels {
    fn pick(&self, _: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        let total = self.health().sum::<f64>().min(1.0);
        let mut lot = lot(cx) * total;
        let chosen = self.health().position(|health| {
            let mine = lot < health;
            lot -= health;
            mine
        });
        // Who was chosen may have nobody left that is allowed.
        let chosen = chosen.and_then(|level| self.0[level].pick(cx));
        chosen.or_else(|| self.0.iter().find_map(|level| level.pick(cx)))
    }

    fn timing(&self) -> Option<Timing> {
        self.0.first().and_then(Group::timing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{
        Algorithm,
        test_support::{candidates, counts},
    };

    /// The share of requests of the first of two levels of ten, of which so many
    /// are ready.
    fn share(ready: [usize; 2]) -> f64 {
        let mut candidates = candidates(20);
        for (at, candidate) in candidates.iter_mut().enumerate() {
            candidate.priority = u32::from(at >= 10);
            candidate.load.set_ready(at % 10 < ready[at / 10]);
        }
        let balancer = build(&candidates, &Algorithm::RoundRobin);
        fastrand::seed(11);
        let counts = counts(&*balancer, &candidates, 10_000);
        counts[..10].iter().sum::<usize>() as f64 / 10_000.0
    }

    #[test]
    fn requests_spill_over_as_the_first_level_fails() {
        assert_eq!(share([10, 10]), 1.0);
        assert_eq!(share([8, 10]), 1.0, "some may fail without notice");
        assert!((share([5, 10]) - 0.7).abs() < 0.02);
        assert_eq!(share([0, 10]), 0.0);
        assert_eq!(share([1, 0]), 1.0);
        // 0.14 and 0.28 of what is needed: a third and two thirds of what comes.
        assert!((share([1, 2]) - 1.0 / 3.0).abs() < 0.02);
    }

    #[test]
    fn a_level_that_was_tried_gives_way_to_the_next() {
        let mut candidates = candidates(2);
        candidates[1].priority = 7;
        let balancer = build(&candidates, &Algorithm::LeastRequest);
        let tried = [candidates[0].id.clone()];
        assert_eq!(balancer.pick(&candidates, &PickContext::new()), Some(0));
        assert_eq!(balancer.pick(&candidates, &PickContext::new().avoid(&tried)), Some(1));
    }

    #[test]
    fn a_key_stays_with_its_level() {
        let mut candidates = candidates(20);
        for (at, candidate) in candidates.iter_mut().enumerate() {
            candidate.priority = u32::from(at >= 10);
            candidate.load.set_ready(at >= 5);
        }
        let balancer = build(&candidates, &Algorithm::RingHash);
        for key in 0..100 {
            let cx = PickContext::new().hash(Some(key));
            let first = balancer.pick(&candidates, &cx);
            assert!((0..10).all(|_| balancer.pick(&candidates, &cx) == first));
        }
    }
}
