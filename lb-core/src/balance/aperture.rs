use std::{fmt, sync::Arc};

use super::{Balancer, BalancerFactory, Candidate, PickContext, group::Group};
use crate::load::Timing;

/// A part of the endpoints for each of many clients, such that together they use
/// all endpoints evenly.
///
/// With thousands of clients and endpoints, connecting each to each costs memory
/// on both sides, and every client sees too little of each endpoint to judge it.
/// Endpoints lie side by side on a circle, in an order that all clients agree
/// on; client `peer` of `peers` uses the arc that begins at its place, and counts
/// an endpoint that is cut by its ends for the part that is inside. Arcs are
/// whole numbers of clients long, so every endpoint lies in equally many of
/// them. This is Finagle's deterministic aperture:
/// <https://twitter.github.io/finagle/guide/ApertureLoadBalancers.html>.
///
/// While no endpoint of the arc can be picked, all of them are used. Within the
/// arc another algorithm picks; it has to be one that
/// [weighs](super::Algorithm::weighs).
pub struct Aperture {
    peer: usize,
    peers: usize,
    least: usize,
    inner: Box<dyn BalancerFactory>,
}

impl Aperture {
    /// For client number `peer` of `peers`, counted from 0. A number beyond the
    /// last begins anew.
    pub fn new(peer: usize, peers: usize, inner: impl BalancerFactory + 'static) -> Self {
        let peers = peers.max(1);
        Self { peer: peer % peers, peers, least: 12, inner: Box::new(inner) }
    }

    /// How many endpoints a client uses at least, if there are so many; 12
    /// unless set here.
    #[must_use]
    pub fn least(mut self, endpoints: usize) -> Self {
        self.least = endpoints.max(1);
        self
    }

    /// Where the arc begins and how long it is, as parts of the circle.
    fn arc(&self, endpoints: usize) -> (f64, f64) {
        let peers = self.peers as f64;
        let clients = (self.least as f64 / endpoints as f64 * peers).ceil();
        (self.peer as f64 / peers, (clients / peers).min(1.0))
    }
}

/// Weights are whole numbers, and a part of a weight has to be one, too: fewer
/// parts only where weights are so large that they need none.
const PARTS: f64 = 1024.0;

impl BalancerFactory for Aperture {
    fn build(&self, candidates: &[Candidate]) -> Arc<dyn Balancer> {
        let n = candidates.len();
        if n == 0 {
            return self.inner.build(candidates);
        }
        let (begin, length) = self.arc(n);
        let heaviest = candidates.iter().map(|candidate| candidate.weight).max().unwrap_or(1);
        let parts = PARTS.min(f64::from(u32::MAX) / f64::from(heaviest));
        let mut circle: Vec<_> = candidates.iter().cloned().enumerate().collect();
        circle.sort_unstable_by(|(_, a), (_, b)| (a.hash, &a.id).cmp(&(b.hash, &b.id)));
        let inside = circle.into_iter().enumerate().filter_map(|(place, (at, mut candidate))| {
            let part = overlap(place as f64, n as f64, begin, length);
            let weight = (f64::from(candidate.weight) * part * parts).round();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates"
            )]
            let weight = weight as u32;
            candidate.weight = weight;
            (weight > 0).then_some((at, candidate))
        });
        Arc::new(Opening {
            inside: Group::new(inside, &*self.inner),
            all: Group::new(candidates.iter().cloned().enumerate(), &*self.inner),
        })
    }
}

/// The part of an endpoint that lies in an arc which may go round the circle's
/// end.
fn overlap(place: f64, n: f64, begin: f64, length: f64) -> f64 {
    let (from, to) = (place / n, (place + 1.0) / n);
    let within = |begin: f64, end: f64| (to.min(end) - from.max(begin)).max(0.0);
    let end = begin + length;
    (within(begin, end.min(1.0)) + within(0.0, end - 1.0)) * n
}

impl fmt::Debug for Aperture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aperture")
            .field("peer", &self.peer)
            .field("peers", &self.peers)
            .field("least", &self.least)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Opening {
    inside: Group,
    all: Group,
}

impl Balancer for Opening {
    fn pick(&self, _: &[Candidate], cx: &PickContext<'_>) -> Option<usize> {
        self.inside.pick(cx).or_else(|| self.all.pick(cx))
    }

    fn timing(&self) -> Option<Timing> {
        self.all.timing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{
        Algorithm,
        test_support::{candidates, counts},
    };

    #[test]
    fn clients_use_a_part_each_and_all_of_it_together_evenly() {
        fastrand::seed(2);
        let candidates = candidates(31);
        let peers = 7;
        let mut total = vec![0; 31];
        for peer in 0..peers {
            let aperture = Aperture::new(peer, peers, Algorithm::WeightedRandom).least(5);
            let counts = counts(&*aperture.build(&candidates), &candidates, 70_000);
            // Five of 31 are more than one client's seventh: two sevenths.
            let used = counts.iter().filter(|&&n| n > 0).count();
            assert!((9..=10).contains(&used), "{used}");
            total.iter_mut().zip(counts).for_each(|(total, n)| *total += n);
        }
        let even: usize = 490_000 / 31;
        assert!(total.iter().all(|&n| even.abs_diff(n) < even / 20), "{total:?}");
    }

    #[test]
    fn who_finds_nobody_in_its_arc_uses_all() {
        let candidates = candidates(20);
        let aperture = Aperture::new(0, 10, Algorithm::LeastRequest).least(2);
        let balancer = aperture.build(&candidates);
        let used = balancer.pick(&candidates, &PickContext::new()).unwrap();
        candidates.iter().for_each(|one| _ = one.load.set_ready(false));
        let other = (used + 1) % 20;
        candidates[other].load.set_ready(true);
        assert_eq!(balancer.pick(&candidates, &PickContext::new()), Some(other));
    }
}
