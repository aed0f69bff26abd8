//! Who is next: the [`Balancer`] trait, its algorithms, and [`Balance`], the
//! tower service that puts one in front of a cluster.
//!
//! The control path and the request path meet in one place. A [`Driver`] reads
//! a [`Discovery`](crate::Discovery), builds a [`Cluster`] and publishes it with
//! one atomic store; a request loads that snapshot, picks, takes a
//! [`Lease`](crate::load::Lease) and calls. Nothing on the path of a request
//! locks, but for the list that attempts at the same request share.

#[cfg(feature = "http-types")]
pub mod affinity;
mod algorithm;
mod aperture;
mod attempt;
mod bound;
mod census;
mod cluster;
mod draw;
mod driver;
mod error;
mod full_scan;
mod group;
pub mod hash;
mod least_request;
mod maglev;
mod peak_ewma;
mod priority;
mod random;
mod rendezvous;
mod ring_hash;
mod room;
mod round_robin;
mod service;
mod shared;
mod slots;
mod weighted_random;
mod weighted_round_robin;
mod zone_aware;

use std::{sync::Arc, time::Instant};

use crate::{
    clock,
    endpoint::{Endpoint, EndpointId},
    load::{Load, Timing},
};

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use aperture::Aperture;
pub use attempt::{Attempt, Attempts, Tried};
pub use cluster::{Cluster, Member};
pub use driver::Driver;
pub use error::Error;
pub use full_scan::FullScan;
pub use least_request::LeastRequest;
pub use maglev::Maglev;
pub use peak_ewma::PeakEwma;
pub(crate) use priority::OVERPROVISIONING;
pub use random::Random;
pub use rendezvous::Rendezvous;
pub use ring_hash::RingHash;
#[cfg(feature = "http")]
pub(crate) use room::Room;
pub use round_robin::RoundRobin;
pub use service::{Balance, ResponseFuture};
pub use weighted_random::WeightedRandom;
pub use weighted_round_robin::WeightedRoundRobin;
pub use zone_aware::ZoneAware;

/// Picks one of several candidates.
///
/// A balancer is built for one set of candidates and is only ever asked about
/// that set, in that order. Picking is on the path of every request: it must
/// not allocate, lock or wait. State, such as a position, lives in atomics.
pub trait Balancer: Send + Sync {
    /// The index of the candidate to use, which `cx` must
    /// [allow](PickContext::allows), or `None` if it allows none of them.
    fn pick(&self, candidates: &[Candidate], cx: &PickContext<'_>) -> Option<usize>;

    /// How requests are to be timed, if this balancer wants to know how long
    /// they take. Reading the clock costs more than most picks.
    fn timing(&self) -> Option<Timing> {
        None
    }
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
#[non_exhaustive]
pub struct Candidate {
    /// Who it is; stable across rebuilds.
    pub id: EndpointId,
    /// A hash of its identity, the same in every process.
    pub hash: u64,
    /// Its share relative to the others. Never 0: such an endpoint is no
    /// candidate.
    pub weight: u32,
    /// The level it belongs to, 0 being the first choice.
    pub priority: u32,
    /// Where it runs, if that is known.
    pub zone: Option<Arc<str>>,
    /// Its requests in flight, latency and readiness.
    pub load: Arc<Load>,
}

impl Candidate {
    /// A candidate that stands for `endpoint`, whatever its target.
    #[inline]
    pub fn new<T>(id: EndpointId, endpoint: &Endpoint<T>, load: Arc<Load>) -> Self {
        Self {
            hash: hash::of(id.as_str().as_bytes()),
            id,
            weight: endpoint.weight.max(1),
            priority: endpoint.priority,
            zone: endpoint.zone.clone(),
            load,
        }
    }
}

/// What a balancer may know of the request it picks for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PickContext<'a> {
    /// Endpoints that this request has already tried in vain.
    pub avoid: &'a [EndpointId],
    /// What requests that belong together have in common; see [`hash::of`].
    /// Without one, balancers that hash pick at random.
    pub hash: Option<u64>,
    /// What time it is, if the caller knows.
    pub now: Option<Instant>,
    /// An endpoint with this many requests in flight gets no more.
    pub max_in_flight: usize,
}

impl<'a> PickContext<'a> {
    /// A first attempt: every endpoint that is ready will do.
    pub fn new() -> Self {
        Self { avoid: &[], hash: None, now: None, max_in_flight: usize::MAX }
    }

    /// A further attempt, which stays away from these.
    #[must_use]
    pub fn avoid(mut self, tried: &'a [EndpointId]) -> Self {
        self.avoid = tried;
        self
    }

    /// A request that belongs to others of the same hash.
    #[must_use]
    #[inline]
    pub fn hash(mut self, hash: Option<u64>) -> Self {
        self.hash = hash;
        self
    }

    /// Saves balancers that need the time from reading the clock.
    #[must_use]
    pub fn at(mut self, now: Instant) -> Self {
        self.now = Some(now);
        self
    }

    /// Keeps away from endpoints with this many requests in flight.
    #[must_use]
    #[inline]
    pub fn max_in_flight(mut self, most: usize) -> Self {
        self.max_in_flight = most;
        self
    }

    /// Whether `candidate` is ready, has room and has not been tried.
    #[inline]
    pub fn allows(&self, candidate: &Candidate) -> bool {
        self.allows_load(&candidate.load)
            && (self.avoid.is_empty() || !self.avoid.contains(&candidate.id))
    }

    #[inline]
    fn allows_load(&self, load: &Load) -> bool {
        load.is_ready()
            && (self.max_in_flight == usize::MAX || load.in_flight() < self.max_in_flight)
    }

    /// The time as given, or as the clock has it.
    pub fn now(&self) -> Instant {
        self.now.unwrap_or_else(clock::now)
    }
}

impl Default for PickContext<'_> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod test_support {
    use super::*;

    pub(super) fn candidates(n: usize) -> Vec<Candidate> {
        weighted(std::iter::repeat_n(1, n))
    }

    pub(super) fn weighted(weights: impl IntoIterator<Item = u32>) -> Vec<Candidate> {
        let candidate = |(i, weight): (usize, u32)| {
            let load = Arc::new(Load::new(true));
            Candidate::new(i.to_string().into(), &Endpoint::new(()).weight(weight), load)
        };
        weights.into_iter().enumerate().map(candidate).collect()
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
