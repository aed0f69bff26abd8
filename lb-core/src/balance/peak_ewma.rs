use super::{Balancer, Candidate, PickContext, draw::Draw, least_request::compare_load};
use crate::{clock, load::Timing};

/// The cheaper of two candidates drawn by weight, where cost is latency times
/// requests in flight.
///
/// Latency is a moving average that rises to a peak at once and forgets it with
/// time, so an endpoint in trouble is left alone after its first slow answer
/// and tried again later (Finagle's `PeakEwma`). A request that failed counts as
/// a slow one ([`Timing::failure_penalty`]), so failing at once attracts nothing,
/// and an endpoint that asked for a pause by
/// [`RetryAfter`](crate::load::Outcome::RetryAfter) gets it while there are
/// others. One that is cancelled counts as long as it had waited.
///
/// Only an idle endpoint is forgiven with time. One that hangs collects requests
/// in flight and stays as dear as they make it.
///
/// Right for servers whose speed differs or changes. Costs two looks at the
/// clock for each request. An endpoint that has not answered yet is compared by
/// its requests in flight alone.
#[derive(Debug)]
pub struct PeakEwma {
    draw: Draw,
    timing: Timing,
    mean_weight: f64,
}

impl PeakEwma {
    /// With the [timing](Timing) that suits most.
    pub fn new(candidates: &[Candidate]) -> Self {
        Self::with_timing(candidates, Timing::default())
    }

    /// With a timing of your own.
    pub fn with_timing(candidates: &[Candidate], timing: Timing) -> Self {
        let weights: f64 = candidates.iter().map(|candidate| f64::from(candidate.weight)).sum();
        let mean_weight = weights / candidates.len().max(1) as f64;
        Self { draw: Draw::by_weight(candidates), timing, mean_weight }
    }
}

impl Balancer for PeakEwma {
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        let (first, second) = self.draw.two(candidates, cx)?;
        if first == second {
            return Some(first);
        }
        let (a, b) = (&candidates[first], &candidates[second]);
        let now = clock::nanos(cx.now());
        let cost = |one: &Candidate| one.load.cost(self.mean_weight / f64::from(one.weight), now);
        let dearer = match (cost(a), cost(b)) {
            (Some(a), Some(b)) => a > b,
            // Of one that has not answered yet nothing is known but this; one
            // that wants to be left alone is left alone all the same.
            (Some(a), None) if a.is_infinite() => true,
            (None, Some(b)) if b.is_infinite() => false,
            _ => compare_load(a, b).is_gt(),
        };
        Some(if dearer { second } else { first })
    }

    fn timing(&self) -> Option<Timing> {
        Some(self.timing)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{
        balance::test_support::candidates,
        load::{Load, Outcome},
    };

    fn ended(load: &std::sync::Arc<Load>, start: Instant, took: u64, outcome: Outcome) {
        let lease = load.try_lease(usize::MAX, Some(start)).unwrap();
        lease.finish_at(outcome, start + Duration::from_millis(took));
    }

    /// How many of 1000 picks go to the first of two.
    fn first_of_two(candidates: &[Candidate], now: Instant) -> usize {
        fastrand::seed(3);
        let balancer = PeakEwma::new(candidates);
        let cx = PickContext::new().at(now);
        (0..1000).filter(|_| balancer.pick(candidates, &cx) == Some(0)).count()
    }

    #[test]
    fn the_slower_one_is_left_alone_and_tried_again_later() {
        let candidates = candidates(2);
        let start = Instant::now();
        ended(&candidates[0].load, start, 1000, Outcome::Success);
        ended(&candidates[1].load, start, 10, Outcome::Success);
        let soon = start + Duration::from_secs(2);
        assert_eq!(first_of_two(&candidates, soon), 0);
        // The other one goes on answering, the slow one's past is forgotten.
        let later = start + Duration::from_secs(60);
        ended(&candidates[1].load, later, 10, Outcome::Success);
        assert_eq!(first_of_two(&candidates, later + Duration::from_millis(10)), 1000);
    }

    #[test]
    fn failing_at_once_attracts_nothing() {
        let candidates = candidates(2);
        let start = Instant::now();
        ended(&candidates[0].load, start, 1, Outcome::Failure);
        ended(&candidates[1].load, start, 100, Outcome::Success);
        assert_eq!(first_of_two(&candidates, start + Duration::from_secs(1)), 0);
    }

    #[test]
    fn who_asks_for_a_pause_gets_it() {
        let candidates = candidates(2);
        let start = Instant::now();
        ended(&candidates[0].load, start, 1, Outcome::Success);
        ended(&candidates[1].load, start, 100, Outcome::Success);
        let pause = Duration::from_secs(5);
        ended(&candidates[0].load, start, 1, Outcome::RetryAfter(pause));
        assert_eq!(first_of_two(&candidates, start + Duration::from_secs(4)), 0);
        assert_eq!(first_of_two(&candidates, start + Duration::from_secs(6)), 1000);
        let others = [candidates[1].id.clone()];
        let cx = PickContext::new().at(start).avoid(&others);
        assert_eq!(PeakEwma::new(&candidates).pick(&candidates, &cx), Some(0), "none else is left");
    }

    #[test]
    fn one_that_hangs_is_not_forgiven_while_it_does() {
        let candidates = candidates(2);
        let start = Instant::now();
        for candidate in &candidates {
            ended(&candidate.load, start, 10, Outcome::Success);
        }
        let _hanging: Vec<_> = (0..5).map(|_| candidates[0].load.lease()).collect();
        let later = start + Duration::from_secs(600);
        ended(&candidates[1].load, later, 10, Outcome::Success);
        assert_eq!(first_of_two(&candidates, later + Duration::from_millis(10)), 0);
    }

    #[test]
    fn only_the_ratio_of_weights_matters() {
        for weight in [1, 1000, u32::MAX] {
            let candidates = crate::balance::test_support::weighted([weight, weight]);
            let start = Instant::now();
            ended(&candidates[0].load, start, 10, Outcome::Success);
            ended(&candidates[1].load, start, 11, Outcome::Success);
            let balancer = PeakEwma::new(&candidates);
            let cx = PickContext::new().at(start + Duration::from_millis(12));
            let leases: Vec<_> = (0..100)
                .map(|_| candidates[balancer.pick(&candidates, &cx).unwrap()].load.lease())
                .collect();
            assert_eq!(candidates[0].load.in_flight(), 52, "weight {weight}");
            drop(leases);
        }
    }

    #[test]
    fn requests_in_flight_count() {
        let candidates = candidates(2);
        let start = Instant::now();
        for candidate in &candidates {
            ended(&candidate.load, start, 10, Outcome::Success);
        }
        let _busy = candidates[0].load.lease();
        assert_eq!(first_of_two(&candidates, start + Duration::from_secs(1)), 0);
    }
}
