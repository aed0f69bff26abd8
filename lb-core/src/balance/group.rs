use std::{fmt, sync::Arc};

use super::{Balancer, BalancerFactory, Candidate, PickContext, census::Census};
use crate::load::Timing;

/// Some of the candidates, with a balancer of their own.
pub(super) struct Group {
    /// Where each stands among all candidates.
    places: Vec<usize>,
    candidates: Vec<Candidate>,
    balancer: Arc<dyn Balancer>,
    census: Census,
}

impl Group {
    pub(super) fn new(
        members: impl IntoIterator<Item = (usize, Candidate)>,
        factory: &dyn BalancerFactory,
    ) -> Self {
        let (places, candidates): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let balancer = factory.build(&candidates);
        let census = Census::new(&candidates);
        Self { places, candidates, balancer, census }
    }

    /// Picks one of the group, as its place among all candidates.
    pub(super) fn pick(&self, cx: &PickContext<'_>) -> Option<usize> {
        self.places.get(self.balancer.pick(&self.candidates, cx)?).copied()
    }

    /// The weight of those that are ready.
    pub(super) fn ready(&self) -> f64 {
        self.census.ready(&self.candidates)
    }

    /// The weight of all.
    pub(super) fn weights(&self) -> f64 {
        self.census.weights()
    }

    pub(super) fn timing(&self) -> Option<Timing> {
        self.balancer.timing()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("places", &self.places).finish_non_exhaustive()
    }
}

/// A number from 0 to 1 by which a request chooses its group: always the same
/// for requests that are kept together.
pub(super) fn lot(cx: &PickContext<'_>) -> f64 {
    match cx.hash {
        // Of other bits than those that choose within the group.
        Some(hash) => (super::hash::mix(hash, 0x6c6f_7421) >> 11) as f64 / (1_u64 << 53) as f64,
        None => fastrand::f64(),
    }
}
