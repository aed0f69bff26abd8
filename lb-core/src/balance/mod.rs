//! Who is next: the [`Balancer`] trait, its algorithms, and [`Balance`], the
//! tower service that puts one in front of a cluster.
//!
//! The control path and the request path meet in one place. A [`Driver`] reads
//! a [`Discovery`](crate::Discovery), builds a [`Cluster`] and publishes it with
//! one atomic store; a request loads that snapshot, picks, takes a
//! [`Lease`](crate::load::Lease) and calls. Nothing on the request path locks.

mod algorithm;
mod cluster;
mod driver;
mod error;
mod least_request;
mod round_robin;
mod service;

use std::sync::Arc;

use crate::{endpoint::EndpointId, load::Load};

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use cluster::{Cluster, Member};
pub use driver::Driver;
pub use error::Error;
pub use least_request::LeastRequest;
pub use round_robin::RoundRobin;
pub use service::{Balance, ResponseFuture};

/// Picks one of several candidates.
///
/// A balancer is built for one set of candidates and is only ever asked about
/// that set, in that order. Picking is on the path of every request: it must
/// not allocate, lock or wait. State, such as a position, lives in atomics.
pub trait Balancer: Send + Sync {
    /// The index of the candidate to use, which `cx` must
    /// [allow](PickContext::allows), or `None` if it allows none of them.
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize>;
}

/// Builds a [`Balancer`] for each new set of candidates, off the request path.
pub trait BalancerFactory: Send + Sync {
    /// A balancer for exactly these candidates, which may be none.
    fn build(&self, candidates: &[Candidate]) -> Arc<dyn Balancer>;
}

impl<F> BalancerFactory for F
where
    F: Fn(&[Candidate]) -> Arc<dyn Balancer> + Send + Sync,
{
    fn build(&self, candidates: &[Candidate]) -> Arc<dyn Balancer> {
        self(candidates)
    }
}

/// One endpoint as a balancer sees it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Who it is; stable across rebuilds, so fit for hashing.
    pub id: EndpointId,
    /// Its share relative to the others. Never 0: such an endpoint is not
    /// [ready](Load::is_ready), and its weight reads as 1.
    pub weight: u32,
    /// Its requests in flight and its readiness.
    pub load: Arc<Load>,
}

/// What a balancer may know of the request it picks for.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PickContext<'a> {
    /// Endpoints that this request has already tried in vain.
    pub avoid: &'a [EndpointId],
}

impl<'a> PickContext<'a> {
    /// A first attempt: every endpoint that is ready will do.
    pub fn new() -> Self {
        Self::default()
    }

    /// A further attempt, which stays away from these.
    #[must_use]
    pub fn avoid(mut self, tried: &'a [EndpointId]) -> Self {
        self.avoid = tried;
        self
    }

    /// Whether `candidate` is ready and has not been tried.
    pub fn allows(&self, candidate: &Candidate) -> bool {
        candidate.load.is_ready() && !self.avoid.contains(&candidate.id)
    }
}

#[cfg(test)]
mod test_support {
    use super::*;

    pub(super) fn candidates(n: usize) -> Vec<Candidate> {
        (0..n)
            .map(|i| Candidate {
                id: i.to_string().into(),
                weight: 1,
                load: Arc::new(Load::new(true)),
            })
            .collect()
    }

    /// How often each candidate is picked.
    pub(super) fn counts(
        balancer: &dyn Balancer,
        candidates: &[Candidate],
        picks: usize,
    ) -> Vec<usize> {
        let mut counts = vec![0; candidates.len()];
        for _ in 0..picks {
            counts[balancer.pick(candidates, &PickContext::new()).unwrap()] += 1;
        }
        counts
    }
}
